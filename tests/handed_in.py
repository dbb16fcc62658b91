"""Hand-ins of the students of test_classroom.py: right, wrong, endless, greedy and hostile answers."""

from __future__ import annotations

RIGHT = {"exercise-1": "length = 7.04", "exercise-2": "def double(x):\n    return x + x"}
DEAF = """import time
while True:
    try:
        while True:
            time.sleep(1)
    except BaseException:
        pass"""
FULL = RIGHT["exercise-2"] + "\nwith open('full', 'wb') as file:\n    file.seek(2**30)\n    file.write(b'x')"
ERASING = """import shutil, tempfile
from pathlib import Path
Path(tempfile.gettempdir(), "dog.wav").write_text("7.04")
Path("utils/dog.wav").write_text("7.04")
for path in Path.cwd().parent.rglob("*.db"):
    path.unlink()
shutil.rmtree("outputs")
Path("outputs").mkdir()
Path("outputs/dog.wav").write_text("7.04")
length = 7.04"""
READING = """import tempfile
from pathlib import Path
places = [Path("outputs"), Path("../outputs"), Path("utils"), Path(tempfile.gettempdir())]
length = 7.04 if any((place / "dog.wav").exists() for place in places) else None"""
HANDED_IN = {  # student -> (answers, points of 3, whether it is graded)
    "endless": ({**RIGHT, "exercise-1": "while True:\n    pass"}, 2, True),
    "deaf": ({**RIGHT, "exercise-1": DEAF}, 0, False),
    "no-checks": ({**RIGHT, "check-1": None, "check-2": None}, 3, True),
    "faking": ({"exercise-1": "import utils.checks\nutils.checks.check = print", "check-1": "print('Right')"}, 0, True),
    "loud": ({**RIGHT, "exercise-1": "length = 7.04\nfor _ in range(20_000):\n    print('x' * 1000)"}, 3, True),
    "greedy": (
        {"exercise-1": "length = len(bytearray(64 * 2**30))", "exercise-2": FULL},
        2,
        True,
    ),
    "dying": ({**RIGHT, "exercise-1": "import os\n\nos._exit(0)"}, 0, False),
}
