"""Every lesson on a stand-in for the real checkpoints and the scoring CLAP: their format, with tiny random weights.

    python -m pytest tests/test_standin.py -k 01_first     run a lesson with its solutions, as on the real ones

The files are those of `tests.checkpoints`, served by `tests.hub` under the real names. The weights are random, so that
it obeys no word; and to save time the regime is 0.64 s and 3 steps (6 where an exercise counts them), the real ones'
10.24 s and 25, no training takes more than 5 steps and no clip of a sweep more than 3, whatever its table says.
A lesson must get through it without an error, and accept its own solutions.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.checkpoints import UNET
from tools import lessons
from tools.notebook import exercises, solution

REGIME = {"num_inference_steps": 3, "audio_length_in_s": 0.64}
LONGER = {"03_steps_and_length": {"num_inference_steps": 6}}  # an exercise of it stops after five
PROJECT = ("mini", "notebooks", "playground", "requirements.txt", "utils")  # the part that a lesson needs
# Run in the kernel after the set-up cell: the original's heads are as much narrower here as all the rest.
IN_THE_KERNEL = f"""
import utils.loading
def original_heads(channels, real=utils.loading.original_heads):
    return [count // 2 for count in channels] if tuple(channels) in {set(UNET.values())} else real(channels)
utils.loading.original_heads = original_heads
"""
FASTER = """
utils.loading.REAL_REGIME.update(REGIME)
utils.loading.MINI_REGIME.update(REGIME)
from dataclasses import replace
from functools import partial
import utils.sweeps
import utils.training
utils.sweeps.sweep = partial(utils.sweeps.sweep, batch_size=32)
def _few(*arguments, steps, real=utils.training.train, **options):
    return real(*arguments, steps=min(steps, 5), **options)
utils.train = _few
def _quick(*arguments, num_inference_steps, real=utils.sweeps.generate_batch, **options):
    clips = real(*arguments, num_inference_steps=min(num_inference_steps, 3), **options)
    return [replace(clip, settings={**clip.settings, "num_inference_steps": num_inference_steps}) for clip in clips]
utils.sweeps.generate_batch = _quick
"""


def run_lesson(path: Path, settings: dict[str, str], real: bool = False) -> tuple[bool, str]:
    """Run a lesson with its solutions, in a folder with nothing but the project; to its end in spite of errors.

    Return whether nothing failed and all checks said Right, and a report: the counts, then a line for each fault.
    With `real` nothing of it is made shorter, for real checkpoints (`tools/real.py`).
    """
    notebook = lessons.read(path)
    for cells in exercises(notebook):
        cells["exercise"].source = solution(cells["solution"])
    regime = {**REGIME, **LONGER.get(path.stem, {})}
    meant = [index for index, cell in enumerate(notebook.cells) if "raises-exception" in lessons.tags(cell)]
    for cell in notebook.cells:
        cell.metadata["tags"] = [*lessons.tags(cell), "raises-exception"]
        if "setup" in lessons.tags(cell) and not real:
            cell.source += IN_THE_KERNEL + FASTER.replace("REGIME)", f"{regime})")
    faults, right, start = [], 0, time.perf_counter()
    with TemporaryDirectory() as folder:
        for part in PROJECT:
            (Path(folder) / part).symlink_to(lessons.ROOT / part)
        try:
            notebook = lessons.run(notebook, Path(folder), settings)
        except Exception as error:  # a cell without an end, or a kernel that died
            return False, f"{path.stem}: NOT OK, {type(error).__name__}: {str(error)[-500:]}"
    for index, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", ()):
            if output.output_type == "error" and index not in meant:
                line = cell.source.strip().splitlines()[0]
                faults.append(f"cell {cell.execution_count} ({line}): {output.ename}: {output.evalue[:300]}")
        if "check" in lessons.tags(cell):
            said = "".join(output.get("text") or output.get("evalue", "") for output in cell.outputs).strip()
            if said.startswith("Right"):
                right += 1
            else:
                faults.append(f"check in cell {cell.execution_count}: {said.splitlines()[0] if said else '-'}")
    seconds = time.perf_counter() - start
    verdict = f"{path.stem}: {'NOT OK' if faults else 'ok'}, {right} checks said Right, {seconds:.0f} s"
    return not faults, "\n    ".join([verdict, *faults])
