"""Answers to the exercises of 09_judge_sounds; each replaces the whole stub. Explained in tests/tries.py."""

from tests.tries import solution

NAMED = solution("09", 1)
BARKS = 'barks = generate_batch(pipe, [Request("a dog barking", 0)], **settings)[0]\n'
DRAWS = "[np.random.default_rng(i).permutation(len(crowd)) for i in range(5)]"


WRONG: dict[int, dict[str, str]] = {  # answer: a word that the feedback must have
    1: {
        NAMED + 'named |= {"A": named["B"]}': "is not",
        NAMED + 'named = dict(zip("BCA", named.values()))': "is not",
        NAMED + 'named = {"A": named["A"]}': "letters",
    },
    2: {
        BARKS + 'lie = "a dog barking"': "neither denies",
        BARKS + 'lie = "no rain"': "not about a dog",
        BARKS + 'lie = "two dogs after an explosion, thunder, rain and a siren with an organ"': "not fooled",
    },
    3: {
        "def floor(crowd, n):\n    return frechet(crowd[:n], crowd[:n])": "against itself",
        "def floor(crowd, n):\n    return frechet(crowd[:n], crowd[n : 2 * n])": "it is",
        "def floor(crowd, n):\n    o = np.random.default_rng(0).permutation(len(crowd))\n"
        "    return frechet(crowd[o[:n]], crowd[o[n : 2 * n]])": "the first draw",
    },
    4: {'answer = "a"': "fewer clips", 'answer = "c"': "unit", 'answer = "D"': "endlessly"},
}
SNEAKY: dict[int, list[str]] = {  # these do nothing of what is asked: never "Right"
    1: [
        NAMED + 'named = {letter: "the pony" for letter in "ABC"}',
        NAMED + 'suspects = {"A": noise, "B": noise, "C": noise}\nnamed = dict.fromkeys("ABC", "noise")',
        NAMED + 'contestants = dict(zip("ABC", suspects.values()))\nnamed = {"A": "A", "B": "B", "C": "C"}',
    ],
    2: [
        'barks = Clip(np.zeros(40960))\nlie = "no dog barking"',
        BARKS + 'lie = "a dog barking, no rain"',
        BARKS + 'lie = "a dog barking, not a cat"',
    ],
    3: [
        "def floor(crowd, n):\n    return 12.3",
        "def floor(crowd, n):\n    crowd *= 0\n    return frechet(crowd[:n], crowd[n : 2 * n])",
        "def frechet(one, other):\n    return 1.0\n\n\ndef floor(crowd, n):\n    return 1.0",
    ],
    4: ['answer = "abcd"', "answer = None", 'answer = ["a", "b", "c", "d"]'],
}
ALSO_RIGHT: dict[int, list[str]] = {  # right answers in an unusual form
    1: [
        NAMED + "named = list(named.items())",
        NAMED + "named = {k.lower(): np.str_(v).upper() for k, v in named.items()}",
    ],
    2: [BARKS + 'lie = "TWO dogs barking"', BARKS + 'lie = "A dog isn\'t barking"'],
    3: [
        f"def floor(crowd, n):\n    return sum(frechet(crowd[o[:n]], crowd[o[n : 2 * n]]) for o in {DRAWS}) / 5",
        f"floor = lambda crowd, n: np.median([np.mean([frechet(crowd[o][:n], crowd[o][n : 2 * n]) for o in {DRAWS}])])",
    ],
    4: ['answer = "*b*"', 'answer = "b) equal counts first"[:2]'],
}
