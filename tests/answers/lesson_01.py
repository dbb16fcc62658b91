"""Answers to the exercises of 01_first_sound; each replaces the whole stub. Explained in tests/tries.py."""

from tests.tries import solution

NAMED = solution("01", 1)
LOW = solution("01", 4) + "low = [spectral_centroid_hz(one) for one in low_clips]\n"

WRONG = {  # answer: a word that the feedback must have
    (1, NAMED + 'named |= {"A": named["B"], "B": named["A"]}'): "2 of four",
    (1, 'named = dict.fromkeys("ABCD", "wind")'): "once",
    (1, 'named = {"A": "wind"}'): "letters",
    (2, 'high, low = "a high piano", "a gloomy piano"'): "word of the training",
    (2, 'high, low = "A squeaky siren", "A tired siren"'): "no clear failure",
    (2, 'high, low = "A squeaky flute", "A roaring engine"'): "same kind",
    (2, 'high, low = "A tiny bell tinkles", "A huge bell booms"'): "one of our pairs",
    (3, 'answer = "a"'): "nothing on this page",
    (3, 'answer = "C"'): "surer",
    (3, 'answer = "hiss"'): "none of the four",
    (4, "alone = change"): "against `calm`",
    (4, LOW + 'alone = interval(low, bright, unit="Hz")'): "`upbeat` minus",
    (4, LOW + 'alone = interval(bright[:4], low[:4], unit="Hz")'): "from 4 pairs",
    (4, LOW + "alone = float(np.mean(bright) - np.mean(low))"): "should be an interval",
}
SNEAKY = [  # these do nothing of what is asked: never "Right"
    (1, 'named = dict.fromkeys("ABCD", "a clock a siren an organ wind")'),
    (1, 'named = {letter: f"{i} clock siren organ wind" for i, letter in enumerate("ABCD")}'),
    (1, NAMED + 'named = {letter: f"{name}, or wind, or an organ" for letter, name in named.items()}'),
    (1, NAMED + 'named = {letter: f"not {name}" for letter, name in named.items()}'),
    (2, 'high, low = "silence piano", "piano silence"'),
    (2, 'high, low = "Techno that drags itself along", "techno that drags itself along!"'),
    (2, "def spectral_centroid_hz(one):\n    return 0\n\n\nhigh, low = 'a piano', 'an old piano'"),
    (2, 'high, low = "this drum", "this hiss of rain"'),
    (2, 'high, low = [f"{text}, please" for text in list(PAIRS.items())[0]]'),
    (2, 'high, low = "a high_pitched techno", "techno that drags itself along"'),
    (3, 'answer = "abcd"'),
    (3, "answer = True"),
    (3, 'answer = ["a", "b", "c", "d"]'),
    (4, 'alone = interval(bright, bright[::-1], unit="Hz")'),
    (4, "alone = type(change)(change.mean, change.low + 5, change.high, 8, change.unit, change.p)"),
    (4, 'upbeat = calm\nalone = interval([1.0, 2.0] * 4, [0.0, 0.0] * 4, unit="Hz")'),
    (4, LOW + "generate = lambda *_, **__: calm_clips\nalone = interval(dark, dark)"),
]
ALSO_RIGHT = [  # right answers in an unusual form
    (1, NAMED + "named = {letter.lower(): name.upper() for letter, name in named.items()}"),
    (1, NAMED + 'named = {letter: "the " + name.split()[-1] for letter, name in named.items()}'),
    (1, NAMED + "named = tuple(named.values())"),
    (2, 'high, low = "Techno that darts ahead.", "Techno that drags itself along!"'),
    (2, 'high, low = "A toy dog", "A giant dog"'),
    (3, "answer = ' b) '"),
    (3, "answer = '*b*'"),
    (3, "answer = ['b']"),
    (4, LOW + 'alone = interval(np.subtract(bright, low), unit="Hz")'),
    (4, LOW + 'alone = interval(np.add(bright, 5), low, unit="Hz")'),
]
