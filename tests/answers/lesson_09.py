"""Answers to the exercises of 09_judge_sounds; each replaces the whole stub. Explained in tests/tries.py."""

from tests.tries import solution

NAMED = solution("09", 1)
BARKS = 'barks = generate_batch(pipe, [Request("a dog barking", 0)], **settings)[0]\n'
FLOOR = "def floor(crowd, n):\n    "
DRAWS = "[np.random.default_rng(i).permutation(len(crowd)) for i in range(5)]"

WRONG = {  # answer: a word that the feedback must have
    (1, NAMED + 'named |= {"A": named["B"]}'): "is not",
    (1, NAMED + 'named = dict(zip("BCA", named.values()))'): "is not",
    (1, NAMED + 'named = {"A": named["A"]}'): "letters",
    (2, BARKS + 'lie = "a dog barking"'): "neither denies",
    (2, BARKS + 'lie = "no rain"'): "not about a dog",
    (2, BARKS + 'lie = "two dogs after an explosion, thunder, rain and a siren with an organ"'): "not fooled",
    (3, FLOOR + "return frechet(crowd[:n], crowd[:n])"): "against itself",
    (3, FLOOR + f"return [frechet(crowd[o[:n]], crowd[o[n : 2 * n]]) for o in {DRAWS}]"): "one number",
    (3, solution("09", 3).replace("return", "crowd -= crowd.mean(axis=0)\n    return")): "changes the crowd",
    (3, FLOOR + "return frechet(crowd[:n], crowd[n : 2 * n])"): "it is",
    (3, FLOOR + f"o = {DRAWS}[0]\n    return frechet(crowd[o[:n]], crowd[o[n : 2 * n]])"): "first draw",
    (4, 'answer = "a"'): "fewer clips",
    (4, 'answer = "c"'): "unit",
    (4, 'answer = "D"'): "endlessly",
}
SNEAKY = [  # these do nothing of what is asked: never "Right"
    (1, NAMED + 'named = {letter: "the pony" for letter in "ABC"}'),
    (1, NAMED + 'suspects = {"A": noise, "B": noise, "C": noise}\nnamed = dict.fromkeys("ABC", "noise")'),
    (1, NAMED + 'contestants = dict(zip("ABC", suspects.values()))\nnamed = {"A": "A", "B": "B", "C": "C"}'),
    (2, 'barks = Clip(np.zeros(40960))\nlie = "no dog barking"'),
    (2, BARKS + 'lie = "a dog barking, no rain"'),
    (2, BARKS + 'lie = "a dog barking, not a cat"'),
    (2, BARKS + 'lie = "no cat, a dog barking"'),
    (2, BARKS + 'lie = "ten seconds of 1 dog barking"'),
    (3, FLOOR + "return 12.3"),
    (3, FLOOR + "crowd *= 0\n    return frechet(crowd[:n], crowd[n : 2 * n])"),
    (3, "def frechet(one, other):\n    return 1.0\n\n\ndef floor(crowd, n):\n    return 1.0"),
    (4, 'answer = "abcd"'),
    (4, "answer = None"),
    (4, 'answer = ["a", "b", "c", "d"]'),
]
ALSO_RIGHT = [  # right answers in an unusual form
    (1, NAMED + "import pandas as pd\n\nnamed = pd.Series(named)"),
    (1, NAMED + "named = {k.lower(): np.str_(v).upper() for k, v in named.items()}"),
    (2, BARKS + 'lie = "TWO dogs barking"'),
    (2, BARKS + 'lie = "A dog isn\'t barking"'),
    (2, BARKS + 'lie = "the dog doesn’t bark"'),
    (2, BARKS + 'lie = "several dogs barking"'),
    (3, FLOOR + f"return sum(frechet(crowd[o[:n]], crowd[o[n : 2 * n]]) for o in {DRAWS}) / 5"),
    (3, f"floor = lambda crowd, n: np.mean([frechet(crowd[o][:n], crowd[o][n : 2 * n]) for o in {DRAWS}])"),
    (4, 'answer = "*b*"'),
    (4, 'answer = {"b"}'),
    (4, 'answer = "b) equal counts first"[:2]'),
]
