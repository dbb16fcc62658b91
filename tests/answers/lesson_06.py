"""Answers to the exercises of 06_inside_audioldm; each replaces the whole stub. Explained in tests/tries.py."""

from tests.tries import solution

SOLVED_5 = solution("06", 5)
WRONG: dict[int, dict[str, str]] = {  # answer: a word that the feedback must have
    1: {
        "first = 0": "there is still more sound",
        "first = 700": "not for the first time",
        "first = 1200": "run from 0 to 999",
        "first = NOISE > SIGNAL": "cannot use your answer",
    },
    2: {
        "pair = (0, 1)": "it can be smaller",
        "pair = (3, 3)": "number 3 twice",
        "pair = (6, 16)": "not 6 and 16",
        "pair = 6": "cannot use your answer",
    },
    3: {
        """\
def guide(untold, told, g):
    return told + g * (told - untold)""": "with g = 0 it must be the untold",
        """\
def guide(untold, told, g):
    return untold + g * told""": "with g = 1 it must be the told",
        """\
def guide(untold, told, g):
    return untold + min(g, 1) * (told - untold)""": "2.5 times as far",
    },
    4: {
        """\
def ddim_step(noisy, clean, t, s):
    return clean""": "off yours",
        """\
def ddim_step(noisy, clean, t, s):
    return SIGNAL[s] * clean + NOISE[s] * noisy""": "off yours",
        """\
def ddim_step(noisy, clean, t, s):
    return drown(clean, torch.randn_like(clean), s)""": "off yours",
        """\
def ddim_step(noisy, clean, t, s):
    return 5""": "cannot use your answer",
    },
    5: {
        SOLVED_5 + 'my_birds = my_generate("birds singing", seed=5, guidance_scale=1, **REGIME)': "without guidance",
        SOLVED_5 + 'my_birds = my_generate("birds singing", seed=6, **REGIME)': "samples differ from the pipeline's",
        SOLVED_5 + 'my_birds = my_generate("rain", seed=5, **REGIME)': "samples differ from the pipeline's",
        SOLVED_5 + 'my_birds = my_generate("birds singing", 5, STEPS, SECONDS / 2)': "cannot use your answer",
    },
}
SNEAKY: dict[int, list[str]] = {}  # these do nothing of what is asked: never "Right"
ALSO_RIGHT: dict[int, list[str]] = {}  # unusual, and right
