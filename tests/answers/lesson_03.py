"""Answers to the exercises of 03_steps_and_length; each replaces the whole stub. Explained in tests/tries.py."""

from tests.tries import solution

MADE, FAULTS = solution("03", 2), solution("03", 4)
STOP = "def stop_after(n):\n    def stop(step, timestep, latents):\n        {}\n\n    return stop"
CLASS = "class stop_after:\n    def __init__(self, n):\n        self.left = n\n\n    def __call__(self, *_):\n        "

WRONG = {  # answer: a word that the feedback must have
    (1, "def at_ease(seconds):\n    return seconds // 0.32 * 0.32"): "shorter",
    (1, "def at_ease(seconds):\n    return seconds"): "no multiple",
    (1, "def at_ease(seconds):\n    return (seconds // 0.32 + 2) * 0.32"): "will do",
    (2, MADE + "del distances_to_50[5]"): "are asked for",
    (2, MADE + "distances_to_50[5] += 1"): "dB from 50",
    (2, MADE + "enough = 50"): "not the first",
    (3, STOP.format("if step == n:\n            raise InterruptedError")): "let it make",
    (3, STOP.format("raise InterruptedError")): "let it make 1 steps",
    (3, STOP.format("if step + 1 == 5:\n            raise InterruptedError")): "",
    (4, FAULTS + 'faults |= {"A": faults["B"], "B": faults["A"]}'): "of three",
    (4, FAULTS + 'faults = dict(zip("BCA", faults.values()))'): "of three",
    (4, 'faults = {"A": "fine"}'): "letters",
}
SNEAKY = [  # these do nothing of what is asked: never "Right"
    (1, "def at_ease(seconds):\n    return float('nan')"),
    (1, "def at_ease(seconds):\n    return {7: 7.04}.get(seconds, 32.0)"),
    (1, "at_ease = 7.04"),
    (1, "at_ease = {7: 7.04, 0.1: 0.32, 1.0: 1.28, 0.64: 0.64, 9.9: 9.92, 5.13: 5.44, 30: 30.08}.get"),
    (2, "prompt = 'rain'\ndistances_to_50, enough = {2: 0, 5: 0, 10: 0, 25: 0}, 2"),
    (2, "prompt = 'rain'\ndistances_to_50, enough = {2: float('nan'), 5: 1, 10: 1, 25: 1}, None"),
    (2, MADE + "distances_to_50 = dict.fromkeys((2, 5, 10, 25), distances_to_50[10])\nenough = None"),
    (2, MADE + "enough += 0.9"),
    (2, "log_mel_distance = lambda *_: 0\ndistances_to_50, enough = {2: 0, 5: 0, 10: 0, 25: 0}, 2"),
    (3, "calls = 5\n\n\ndef stop_after(n):\n    return lambda *_: None"),
    (3, "def stop_after(n):\n    raise InterruptedError"),
    (3, STOP.format("latents.zero_()")),
    (3, STOP.format("if step == {5: 4, 2: 1}.get(n):\n            raise InterruptedError")),
    (4, 'faults = dict.fromkeys("ABC", "fine")'),
    (4, 'faults = {"A": "few steps", "B": "few steps", "C": "few steps"}'),
    (4, "faults = patients"),
]
ALSO_RIGHT = [  # right answers in an unusual form
    (1, "def at_ease(seconds):\n    return -(-round(seconds * 100) // 32) * 0.32"),
    (1, "import numpy as np\n\n\ndef at_ease(seconds):\n    return np.float32(np.ceil(seconds / 0.32 - 1e-6)) * 0.32"),
    (1, "from decimal import Decimal as D\n\nat_ease = lambda seconds: -(-round(seconds * 100) // 32) * D('0.32')"),
    (2, MADE + "distances_to_50[50] = 0.0"),
    (2, MADE + "distances_to_50 = {str(n): d for n, d in distances_to_50.items()}"),
    (2, MADE + "import pandas\n\ndistances_to_50 = pandas.Series(distances_to_50)"),
    (3, STOP.format("if step >= n - 1:\n            raise InterruptedError(f'{step} of {n}')")),
    (3, CLASS + "self.left -= 1\n        if not self.left:\n            raise InterruptedError"),
    (4, FAULTS + "faults = {bed.lower(): fault.upper() for bed, fault in faults.items()}"),
    (4, FAULTS + "faults = list(faults.items())"),
    (4, FAULTS + "faults = tuple(faults.values())"),
]
