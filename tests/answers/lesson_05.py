"""Answers to the exercises of 05_playground; each replaces the whole stub. Explained in tests/tries.py."""

from tests.tries import solution

HIDDEN = solution("05", 4)

WRONG = {  # answer: a word that the feedback must have
    (1, 'prompt = "a cat meowing"'): "no clock in",
    (1, 'prompt = "a clock ticking, low quality"'): "changes the noise floor by",
    (1, 'prompt = "a loud clock ticking"'): "changes the noise floor by",
    (2, "needed = 7"): "coin tossers",
    (2, "needed = 9"): "7% get 9 of 12",
    (2, "needed = 12"): "so does one fewer",
    (3, "twin = generate(pipe, clock.settings['prompt'], seed=4, **home)"): "dB apart",
    (3, "twin = generate(pipe, clock.settings['prompt'], seed=3, audio_length_in_s=1.28)"): "lasts 1.28 s",
    (3, "twin = generate(pipe, 'a cat', seed=3, audio_length_in_s=home['audio_length_in_s'])"): "dB apart",
    (4, HIDDEN + "order = order[::-1]"): "in their place",
    (4, HIDDEN + "order = order[1] + order[0] + order[2:]"): "2 of four",
    (4, HIDDEN + "order = order[:3]"): "each once",
}
SNEAKY = [  # these do nothing of what is asked: never "Right"
    (1, "prompt = 'a piano, no clock, high quality'"),
    (1, "prompt = 'clockwork orange flute, high quality'"),
    (1, "clock.clip.settings['prompt'] = 'x'\nprompt = 'no clock, no noise'"),
    (2, "needed = 'about ten'"),
    (2, "needed = float('nan')"),
    (2, "needed = range(13)"),
    (3, "from utils import Clip\n\ntwin = Clip(0 * clock.clip.waveform, 16000, clock.clip.settings)"),
    (3, "clock = again\ntwin = again.clip"),
    (3, "twin = namespace['clip']"),
    (3, "twin = type(clock.clip)(clock.clip.waveform)"),
    (3, "twin = type(clock.clip).load(path)"),
    (4, HIDDEN + 'order = "AAAA"'),
    (4, HIDDEN + 'order = "ABCDABCD"'),
    (4, HIDDEN + "order = [1, 2, 3, 4]"),
]
ALSO_RIGHT = [  # right answers in an unusual form
    (1, 'prompt = "A CLEAR, high-quality recording of a clock ticking"'),
    (1, 'prompt = studio.generate(**{**clock.settings, "prompt": "a clock ticking, high quality"})'),
    (1, 'prompt = ["a clock ticking, high quality"]'),
    (2, "needed = 10.0"),
    (2, "needed = '10'"),
    (2, "needed = [10]"),
    (3, "import json\n\ntwin = studio.generate(**json.loads(letter))"),
    (3, "twin = generate(pipe, ['a clock ticking'], seed=7, guidance_scale=2.5, **home)[0]"),
    (3, "twin = type(clock.clip)(generate(pipe, 'a clock ticking', seed=7, **home).waveform)"),
    (4, HIDDEN + "order = list(order.lower())"),
    (4, HIDDEN + 'order = ", ".join(order)'),
    (4, HIDDEN + 'order = " < ".join(order)'),
]
