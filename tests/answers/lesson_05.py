"""Answers to the exercises of 05_playground; each replaces the whole stub. Explained in tests/tries.py."""

from tests.tries import solution

HIDDEN = solution("05", 4)

WRONG: dict[int, dict[str, str]] = {  # answer: a word that the feedback must have
    1: {
        'prompt = "a cat meowing"': "no clock in",
        'prompt = "a clock ticking, low quality"': "changes the noise floor by",
        'prompt = "a loud clock ticking"': "changes the noise floor by",
    },
    2: {"needed = 7": "coin tossers", "needed = 9": "7% get 9 of 12", "needed = 12": "so does one fewer"},
    3: {
        "twin = generate(pipe, clock.settings['prompt'], seed=4, **home)": "dB apart",
        "twin = generate(pipe, clock.settings['prompt'], seed=3, audio_length_in_s=1.28)": "lasts 1.28 s",
        "twin = generate(pipe, 'a cat', seed=3, audio_length_in_s=home['audio_length_in_s'])": "dB apart",
    },
    4: {
        HIDDEN + "order = order[::-1]": "in their place",
        HIDDEN + "order = order[1] + order[0] + order[2:]": "2 of four",
        HIDDEN + "order = order[:3]": "each once",
    },
}
SNEAKY: dict[int, list[str]] = {  # these do nothing of what is asked: never "Right"
    1: [
        "prompt = 'a piano, no clock, high quality'",
        "prompt = 'clockwork orange flute, high quality'",
        "clock.clip.settings['prompt'] = 'x'\nprompt = 'no clock, no noise'",
    ],
    2: ["needed = 'about ten'", "needed = float('nan')", "needed = range(13)"],
    3: [
        "from utils import Clip\n\ntwin = Clip(0 * clock.clip.waveform, 16000, clock.clip.settings)",
        "clock = again\ntwin = again.clip",
        "twin = namespace['clip']",
    ],
    4: [HIDDEN + 'order = "AAAA"', HIDDEN + 'order = "ABCDABCD"', HIDDEN + "order = [1, 2, 3, 4]"],
}
ALSO_RIGHT: dict[int, list[str]] = {  # right answers in an unusual form
    1: [
        'prompt = "A CLEAR, high-quality recording of a clock ticking"',
        'prompt = studio.generate(**{**clock.settings, "prompt": "a clock ticking, high quality"})',
    ],
    2: ["needed = 10.0", "needed = '10'"],
    3: [
        "import json\n\ntwin = studio.generate(**json.loads(letter))",
        "twin = generate(pipe, 'a clock ticking', num_inference_steps=home['num_inference_steps'],\n"
        "                audio_length_in_s=home['audio_length_in_s'], guidance_scale=2.5, seed=3)",
    ],
    4: [HIDDEN + "order = list(order.lower())", HIDDEN + 'order = ", ".join(order)'],
}
