"""Answers to the exercises of 05_playground; each replaces the whole stub. Explained in tests/tries.py."""

SOLVED_2 = """\
needed = None
from scipy.stats import binomtest

from utils import plots

chances = [binomtest(k, 12, alternative="greater").pvalue for k in range(13)]
needed = next(k for k in range(13) if chances[k] < 0.05)
plots.curve({"coin tossers": (range(13), chances)}, "right answers of 12, or more", "share", knee=needed)
"""
WRONG: dict[int, dict[str, str]] = {  # answer: a word that the feedback must have
    1: {
        'prompt = "a cat meowing"': "no dog in",
        'prompt = "a dog barking, low quality"': "changes the noise floor by",
        'prompt = "a dog barking"': "changes the noise floor by +0 dB",
    },
    2: {
        SOLVED_2 + "needed = 7": "coin tossers",
        SOLVED_2 + "needed = 9": "7% get 9 of 12",
        SOLVED_2 + "needed = 12": "so does one fewer",
    },
    3: {
        "twin = generate(pipe, dog.settings['prompt'], seed=4)": "your seed is 4",
        "twin = generate(pipe, dog.settings['prompt'], seed=3, audio_length_in_s=1.28)": "lasts 1.28 s",
        "twin = generate(pipe, 'a cat', seed=3, audio_length_in_s=SECONDS)": "dB apart",
    },
}
SNEAKY: dict[int, list[str]] = {}  # these do nothing of what is asked: never "Right"
ALSO_RIGHT: dict[int, list[str]] = {}  # unusual, and right
