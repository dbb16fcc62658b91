"""Answers to the exercises of 04_checkpoints; each replaces the whole stub. Explained in tests/tries.py."""

from tests.tries import solution

FAIR = """\
s, v2, m, large = "audioldm-s-full", "audioldm-s-full-v2", "audioldm-m-full", "audioldm-l-full"
"""
REPORTED = "reported = binomtest(18, 24).pvalue\n"
MYSTERY = solution("04", 4) + "place = 'ABCD'.index(guess)\n"

WRONG = {  # answer: a word that the feedback must have
    (1, "with torch.device('meta'):\n    total = millions(unet(64))"): "the UNet alone",
    (1, "total = sum(shared.values())"): "it is not",
    (1, "with torch.device('meta'):\n    total = 1e6 * (millions(unet(64)) + sum(shared.values()))"): "in millions",
    (2, FAIR + "fair = [(s, v2)]"): "another pair",
    (2, FAIR + "fair = [(s, v2), (s, m)]"): "differ in more than one thing",
    (2, "fair = [('mini-s', 'mini-s-v2')]"): "no pairs of",
    (3, REPORTED + "honest = reported * 2"): "doubling",
    (3, REPORTED + "honest = binomtest(9, 12, alternative='greater').pvalue"): "one-sided",
    (3, REPORTED + "honest = binomtest(9, 24).pvalue"): "count every prompt once",
    (4, MYSTERY + "guess = 'ABCD'[(place + 1) % 4]"): "is by",
    (4, MYSTERY + "guess = 'ABCD'[(place + 2) % 4]"): "is by",
    (4, MYSTERY + "guess = 'mini-s'"): "none of the four",
}
SNEAKY = [  # these do nothing of what is asked: never "Right"
    (1, "def millions(model):\n    return 0\n\n\ntotal = 235.9"),
    (1, "total = float('nan')"),
    (1, "total = [282.3, 46.4]"),
    (2, "fair = ['audioldm-s-full', 'audioldm-s-full-v2', 'audioldm-l-full']"),
    (2, "REAL = []\nfair = [('a', 'b')]"),
    (2, "fair = [('audioldm-s-full', 'audioldm-s-full-v2', 'audioldm-l-full')]"),
    (3, REPORTED + "honest = 0"),
    (3, REPORTED + "honest = float('nan')"),
    (3, REPORTED + "honest = 1.0"),
    (3, REPORTED + "honest = 0.14"),
    (4, MYSTERY + "guess = 'ABCD'"),
    (4, MYSTERY + "mystery = [clips[names[0]]['footsteps']] * 4\nguess = 'ABCD'[(place + 1) % 4]"),
    (4, MYSTERY + "mystery = mystery[::-1]\nguess = 'ABCD'[3 - place]"),
]
ALSO_RIGHT = [  # right answers in an unusual form
    (1, "total = torch.tensor(282.3)"),
    (1, "with torch.device('meta'):\n    total = sum(map(millions, (unet(64), vae, vocoder, text_encoder)))"),
    (1, "total = [282.3]"),
    (2, FAIR + "fair = {frozenset((large, s)), frozenset((v2, s))}"),
    (2, FAIR + "fair = [[v2, s], [s, v2], [s, large]]"),
    (2, FAIR + "fair = iter([(s, v2), (s, large)])"),
    (3, REPORTED + "honest = binomtest(3, 12)"),
    (3, REPORTED + "honest = 0.15"),
    (4, MYSTERY + "guess = 'abcd'[place]"),
    (4, MYSTERY + "guess = ' ABCD'[place + 1] + ' '"),
    (4, MYSTERY + "guess = {guess}"),
]
