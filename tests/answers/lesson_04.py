"""Answers to the exercises of 04_checkpoints; each replaces the whole stub. Explained in tests/tries.py."""

from tests.tries import solution

FAIR = """\
s, v2, m, large = "audioldm-s-full", "audioldm-s-full-v2", "audioldm-m-full", "audioldm-l-full"
"""
REPORTED = "reported = binomtest(18, 24).pvalue\n"
MYSTERY = solution("04", 4) + "place = 'ABCD'.index(guess)\n"

WRONG: dict[int, dict[str, str]] = {  # answer: a word that the feedback must have
    1: {
        "with torch.device('meta'):\n    total = millions(unet(64))": "the UNet alone",
        "total = sum(shared.values())": "it is not",
        "with torch.device('meta'):\n    total = 1e6 * (millions(unet(64)) + sum(shared.values()))": "in millions",
    },
    2: {
        FAIR + "fair = [(s, v2)]": "another pair",
        FAIR + "fair = [(s, v2), (s, m)]": "differ in more than one thing",
        "fair = [('mini-s', 'mini-s-v2')]": "no pairs of",
    },
    3: {
        REPORTED + "honest = reported * 2": "doubling",
        REPORTED + "honest = binomtest(9, 12, alternative='greater').pvalue": "one-sided",
        REPORTED + "honest = binomtest(9, 24).pvalue": "count every prompt once",
    },
    4: {
        MYSTERY + "guess = 'ABCD'[(place + 1) % 4]": "is by",
        MYSTERY + "guess = 'ABCD'[(place + 2) % 4]": "is by",
        MYSTERY + "guess = 'mini-s'": "none of the four",
    },
}
SNEAKY: dict[int, list[str]] = {  # these do nothing of what is asked: never "Right"
    1: ["def millions(model):\n    return 0\n\n\ntotal = 235.9", "total = float('nan')", "total = [282.3, 46.4]"],
    2: [
        "fair = ['audioldm-s-full', 'audioldm-s-full-v2', 'audioldm-l-full']",
        "REAL = []\nfair = [('a', 'b')]",
        "fair = [('audioldm-s-full', 'audioldm-s-full-v2', 'audioldm-l-full')]",
    ],
    3: [REPORTED + "honest = 0", REPORTED + "honest = float('nan')", REPORTED + "honest = 1.0"],
    4: [
        MYSTERY + "guess = 'ABCD'",
        MYSTERY + "mystery = [clips[names[0]]['footsteps']] * 4\nguess = 'ABCD'[(place + 1) % 4]",
        MYSTERY + "mystery = mystery[::-1]\nguess = 'ABCD'[3 - place]",
    ],
}
ALSO_RIGHT: dict[int, list[str]] = {  # right answers in an unusual form
    1: [
        "total = torch.tensor(282.3)",
        "with torch.device('meta'):\n    total = sum(map(millions, (unet(64), vae, vocoder, text_encoder)))",
    ],
    2: [FAIR + "fair = {frozenset((large, s)), frozenset((v2, s))}", FAIR + "fair = [[v2, s], [s, v2], [s, large]]"],
    3: [REPORTED + "honest = binomtest(3, 12)", REPORTED + "honest = 0.15"],
    4: [MYSTERY + "guess = 'abcd'[place]", MYSTERY + "guess = ' ABCD'[place + 1] + ' '"],
}
