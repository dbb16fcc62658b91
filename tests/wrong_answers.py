"""Typical wrong answers to every exercise, and words that the feedback to each must have.

(lesson, exercise) -> {code that runs after the solution: words}
"""

from __future__ import annotations

WRONG: dict[tuple[str, int], dict[str, str]] = {
    ("01", 1): {
        'mine = generate(pipe, "a cat meowing", audio_length_in_s=2.56, seed=7)': "no dog in 'a cat meowing'",
        'mine = generate(pipe, "a dog barking", seed=7)': "lasts 5 s",
        'mine = generate(pipe, "a dog barking", audio_length_in_s=2.56)': "seed is 0",
        'mine = generate(pipe, "a big dog", audio_length_in_s=2.56, seed=7)': "holds another sound",
        'Path("outputs/dog.wav").unlink()\nmine = generate(pipe, "a dog", audio_length_in_s=2.56, seed=7)': "`save`",
    },
    ("01", 2): {
        "third = generate(pipe, prompt, seed=2, **settings)": "seed is 2",
        "third = generate(pipe, prompt, seed=3)": "audio_length_in_s is 5.0",
        'third = generate(pipe, "techno", seed=3, **settings)': "prompt is 'techno'",
        "third = takes": "cannot use your answer",
    },
    ("01", 3): {
        "player = Audio(whisper / 2, rate=16000, normalize=False)": "that of `whisper`",
        "player = Audio(2 * whisper, rate=16000, normalize=False)": "that of `whisper`",
        "player = None": "cannot use your answer",
    },
    ("01", 4): {
        'change = changes["the two prompts above"]': "`upbeat` against `calm`",
        'change = interval(*brightness[::-1], unit="Hz")': "`upbeat` minus the new prompt",
        'change = interval(brightness[0][:4], brightness[1][:4], unit="Hz")': "from 4 pairs",
        "change = np.mean(brightness[0]) - np.mean(brightness[1])": "cannot use your answer",
    },
    ("02", 1): {
        'clean = generate(pipe, "footsteps, low quality", audio_length_in_s=2.56)': "dB lower",
        'clean = generate(pipe, "rain, high quality", audio_length_in_s=2.56)': "no footsteps",
        'clean = generate(pipe, "footsteps, high quality", audio_length_in_s=2.56, seed=1)': "another seed, 1",
        'clean = generate(pipe, "footsteps, high quality", audio_length_in_s=1.28)': "lasts 1.28 s, not 2.56 s",
    },
    ("02", 2): {
        'change = bootstrap_interval(fit(dried, "rain"))\nrainy, spare = dried, rainy': "the fit of `rainy` itself",
        'rainy = spare\nchange = bootstrap_interval(fit(dried, "rain")[:6], fit(rainy, "rain")[:6])': "from 6 values",
        'change = bootstrap_interval(fit(rainy, "rain"), fit(dried, "rain"))': "after minus before",
        'change = bootstrap_interval(fit(dried, "a dog"), fit(rainy, "a dog"))': "the fit to “rain”",
        'change = fit(dried, "rain").mean()': "cannot use your answer",
    },
    ("02", 3): {
        "def strangeness(word):\n    return len(word)": "is one token, not 3",
        "def strangeness(word):\n    return len(pipe.tokenizer(word).input_ids)": "is one token, not",
        "def strangeness(word):\n    return 1": "falls into more than 1",
        "def strangeness(word):\n    return len(pipe.tokenizer.tokenize(word))": "a space before the word",
    },
    ("02", 4): {
        "def choose(clips, kind):\n    return min(clips, key=noise_floor_db)": "what CLAP hears as another",
        "def choose(clips, kind):\n"
        "    right = [c for c, n in zip(clips, heard(clips)) if n == kind]\n"
        "    return max(right or clips, key=noise_floor_db)": "a dog, but not the cleanest",
        "def choose(clips, kind):\n"
        "    return min((c for c, n in zip(clips, heard(clips)) if n == kind), key=noise_floor_db)": "cannot use",
    },
    ("03", 1): {
        "length = 7.0": "no whole number",
        "length = 6.72": "shorter than 7 s",
        "length = 23 * 0.32": "there is a shorter one",
    },
    ("03", 2): {
        "enough = 25": "25 is not the first under 4 dB",
        "enough = 50": "50 is not the first under 4 dB",
        "distances = {n: 0.0 for n in (2, 5, 10, 25, 50)}": "not [2, 5, 10, 25, 50]",
        "distances, enough = {2: 0.0, 5: 0.0, 10: 0.0, 25: 0.0}, 2": "not 0.0 dB",
    },
    ("03", 3): {"calls = 4": "for 4 steps", "calls = 6": "for 6 steps", "calls = 0": "for 0 steps"},
    ("03", 4): {
        "harm = bootstrap_interval(fit[10][:6], fit[5][:6])": "over 6 pairs",
        "harm = bootstrap_interval(fit[10] + 1)": "a mean of cosines",
        "harm = bootstrap_interval(fit[10], off.set_index('prompt').clap_similarity[fit.index])": "2.48 s minus 2.56 s",
        "harm = bootstrap_interval(off.clap_similarity, fit[10])": "prompt by prompt",
        "harm = 0.0": "cannot use your answer",
    },
    ("04", 1): {
        "total = millions(unet(64))": "the UNet alone",
        "total = sum(shared.values())": "it is not",
        "total = 421.0 / 2": "it is not 210.5 million",
    },
    ("04", 2): {"needed = 8": "60% of all tests", "needed = 11": "11% of all", "needed = 13": "more than needed"},
    ("04", 3): {
        "gain = bootstrap_interval(wide[names[1]][:4], wide[names[0]][:4])": "over 4 pairs",
        "gain = bootstrap_interval(wide[names[1]])": "these are cosines",
        "gain = bootstrap_interval(wide[names[0]], wide[names[1]])": "seed by seed",
        "gain = bootstrap_interval(wide[names[1]], wide[names[0]])\nprompt = 'a dog barking'": "on 'a dog barking'",
        "gain = 0.1": "cannot use your answer",
    },
    ("04", 4): {"level = 0": "are 4 heads of 64", "level = 2": "are 12 heads of 64", "level = 512": "cannot use"},
    ("05", 1): {
        'prompt = "a cat meowing"': "no dog in",
        'prompt = "a dog barking, low quality"': "changes the noise floor by",
        'prompt = "a dog barking"': "changes the noise floor by +0 dB",
    },
    ("05", 2): {"needed = 7": "coin tossers", "needed = 9": "7% get 9 of 12", "needed = 12": "so does one fewer"},
    ("05", 3): {
        "twin = dog.clip\ntwin = generate(pipe, twin.settings['prompt'], seed=4)": "your seed is 4",
        "twin = generate(pipe, dog.settings['prompt'], seed=3, audio_length_in_s=2.56)": "lasts 2.56 s",
        "twin = generate(pipe, dog.settings['prompt'], seed=3, guidance_scale=1.0)": "dB apart",
    },
}
