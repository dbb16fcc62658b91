"""Answers to the exercises of 01_first_sound; each replaces the whole stub. Explained in tests/tries.py."""

TRUTH = """\
import random

right = dict(zip("ABCD", random.Random(3).sample(["a clock", "a siren", "an organ", "wind"], 4), strict=True))
"""
HERTZ = """\
def hertz(clips):
    return [spectral_centroid_hz(one) for one in clips]


"""
LOW = (
    HERTZ
    + """\
low_clips = generate(pipe, upbeat.replace("high", "low"), num_waveforms_per_prompt=8, **settings)
"""
)

WRONG: dict[int, dict[str, str]] = {  # answer: a word that the feedback must have
    1: {
        TRUTH + 'named = {**right, "A": right["B"], "B": right["A"]}': "2 of four",
        TRUTH + 'named = {"A": "wind", "B": "wind", "C": "wind", "D": "wind"}': "once",
        TRUTH + 'named = {"A": right["A"]}': "letters",
    },
    2: {
        'high, low = "a high piano", "a gloomy piano"': "word of the training",
        'high, low = "A squeaky siren", "A tired siren"': "no clear failure",
        'high, low = "A squeaky flute", "A roaring engine"': "same kind",
        'high, low = "A tiny bell tinkles", "A huge bell booms"': "one of our pairs",
    },
    3: {'answer = "a"': "nothing on this page", 'answer = "C"': "surer", 'answer = "hiss"': "none of the four"},
    4: {
        "alone = change": "against `calm`",
        LOW + 'alone = interval(hertz(low_clips), hertz(upbeat_clips), unit="Hz")': "`upbeat` minus",
        LOW + 'alone = interval(hertz(upbeat_clips[:4]), hertz(low_clips[:4]), unit="Hz")': "from 4 pairs",
    },
}
SNEAKY: dict[int, list[str]] = {  # these do nothing of what is asked: never "Right"
    1: [
        TRUTH + 'named = dict.fromkeys("ABCD", "a clock a siren an organ wind")',
        TRUTH + 'named = {letter: f"{i} clock siren organ wind" for i, letter in enumerate("ABCD")}',
        TRUTH + 'named = {letter: f"{name}, or wind, or an organ" for letter, name in right.items()}',
    ],
    2: [
        'high, low = "silence piano", "piano silence"',
        'high, low = "Techno that drags itself along", "techno that drags itself along!"',
        "def spectral_centroid_hz(one):\n    return 0\n\n\nhigh, low = 'a piano', 'an old piano'",
    ],
    3: ['answer = "abcd"', "answer = True", 'answer = ["a", "b", "c", "d"]'],
    4: [
        HERTZ + 'alone = interval(hertz(upbeat_clips), hertz(upbeat_clips[::-1]), unit="Hz")',
        "alone = type(change)(change.mean, change.low + 5, change.high, 8, change.unit, change.p)",
        'upbeat = calm\nalone = interval([1.0, 2.0] * 4, [0.0, 0.0] * 4, unit="Hz")',
    ],
}
ALSO_RIGHT: dict[int, list[str]] = {  # right answers in an unusual form
    1: [
        TRUTH + "named = {letter.lower(): name.upper() for letter, name in right.items()}",
        TRUTH + 'named = {letter: "the " + name.split()[-1] for letter, name in right.items()}',
    ],
    2: [
        'high, low = "Techno that darts ahead.", "Techno that drags itself along!"',
        'high, low = "A toy dog", "A giant dog"',
    ],
    3: ["answer = ' b) '", "answer = '*b*'"],
    4: [
        LOW + 'alone = interval(np.subtract(bright, hertz(low_clips)), unit="Hz")',
        LOW + 'alone = interval(np.add(bright, 5), hertz(low_clips), unit="Hz")',
    ],
}
