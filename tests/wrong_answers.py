"""Typical wrong answers to every exercise, and words that the feedback to each must have.

(lesson, exercise) -> {code that runs after the solution: words}
"""

from __future__ import annotations

ALL_KEPT = "surgeon = torch.ones(1, 1, frames, bands, dtype=torch.bool)\n"
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
        'clean = generate(pipe, "footsteps, low quality", **settings)': "dB are asked for",
        'clean = generate(pipe, "rain, high quality", **settings)': "no footsteps",
        'clean = generate(pipe, "footsteps, high quality", seed=1, **settings)': "another seed, 1",
        'clean = generate(pipe, "footsteps, high quality", audio_length_in_s=1.28)': "lasts 1.28 s",
    },
    ("02", 2): {
        "def strangeness(word):\n    return len(word)": "is one token, not 3",
        "def strangeness(word):\n    return len(pipe.tokenizer(word).input_ids)": "is one token, not",
        "def strangeness(word):\n    return 1": "falls into more than 1",
        "def strangeness(word):\n    return len(pipe.tokenizer.tokenize(word))": "a space before the word",
    },
    ("02", 3): {
        "hasty, fair = fair, hasty": "`hasty` is from 6 values, not from 12",
        'fair = hasty = interval(dried.noise_floor_db, rainy.noise_floor_db, unit="dB")': "`fair` is from 12 values",
        'hasty = interval(rainy.noise_floor_db, dried.noise_floor_db, unit="dB")': "without rain minus with rain",
        "hasty = fair = np.mean(dried.noise_floor_db) - np.mean(rainy.noise_floor_db)": "cannot use your answer",
    },
    ("02", 4): {
        "control = load_clips(noisy)": "does not hold its plain partner",
        "control = [Clip(one.waveform + 0.01 * white.waveform) for one in load_clips(plain)]": "has a floor of",
        "control = control[:6]": "6 clips, not twelve",
        "control = None": "cannot use your answer",
    },
    ("03", 1): {
        "length = 7.0": "no whole number",
        "length = 6.72": "shorter than 7 s",
        "length = 23 * 0.32": "there is a shorter one",
    },
    ("03", 2): {
        "enough = 25": "25 is not the first that halves",
        "enough = None": "None is not the first that halves",
        "distances_to_50 = {n: 0.0 for n in (2, 5, 10, 25, 50)}": "not [2, 5, 10, 25, 50]",
        "distances_to_50, enough = {2: 0.0, 5: 0.0, 10: 0.0, 25: 0.0}, 2": "not 0.0 dB",
    },
    ("03", 3): {"calls = 4": "for 4 steps", "calls = 6": "for 6 steps", "calls = 0": "for 0 steps"},
    ("03", 4): {
        "harm = interval(fit[STEPS][:6], fit[5][:6])": "over 6 pairs",
        "harm = interval(fit[STEPS])": "a mean of cosines",
        "harm = interval(fit[STEPS], off.set_index('prompt').clap_similarity[fit.index])": "2.48 s minus 2.56 s",
        "harm = interval(off.clap_similarity, fit[STEPS])": "prompt by prompt",
        "harm = 0.0": "cannot use your answer",
    },
    ("04", 1): {
        "total = millions(unet(64))": "the UNet alone",
        "total = sum(shared.values())": "it is not",
        "total = 421.0 / 2": "it is not 210.5 million",
    },
    ("04", 2): {
        "fair = [('audioldm-s-full', 'audioldm-s-full-v2')]": "another pair",
        "fair = [('audioldm-s-full', 'audioldm-m-full')]": "differ in more than one thing",
        "fair = [('mini-s', 'mini-s-v2')]": "no pairs of",
        "fair = 2": "cannot use your answer",
    },
    ("04", 3): {
        "honest = careless": "`honest` is over 24 subjects",
        "honest = interval(wide[names[0]], wide[names[1]], groups=subjects)": "not the gains of",
        "honest = interval(wide[names[1]], groups=subjects)": "not the gains of",
        "honest = 0.17": "cannot use your answer",
        "careless = honest = interval(wide[names[1]], groups=subjects)": "`careless` is over 12 subjects",
    },
    ("04", 4): {
        "gain = interval(by_seed[names[1]][:4], by_seed[names[0]][:4])": "over 4 pairs",
        "gain = interval(by_seed[names[1]])": "these are cosines",
        "gain = interval(by_seed[names[0]], by_seed[names[1]])": "seed by seed",
        "gain = interval(by_seed[names[1]], by_seed[names[0]])\nprompt = 'a dog barking'": "on 'a dog barking'",
        "gain = 0.1": "cannot use your answer",
    },
    ("05", 1): {
        'prompt = "a cat meowing"': "no dog in",
        'prompt = "a dog barking, low quality"': "changes the noise floor by",
        'prompt = "a dog barking"': "changes the noise floor by +0 dB",
    },
    ("05", 2): {"needed = 7": "coin tossers", "needed = 9": "7% get 9 of 12", "needed = 12": "so does one fewer"},
    ("05", 3): {
        "twin = generate(pipe, dog.settings['prompt'], seed=4)": "your seed is 4",
        "twin = generate(pipe, dog.settings['prompt'], seed=3, audio_length_in_s=1.28)": "lasts 1.28 s",
        "twin = generate(pipe, 'a cat', seed=3, audio_length_in_s=SECONDS)": "dB apart",
    },
    ("06", 1): {
        "first = 0": "there is still more sound",
        "first = 700": "not for the first time",
        "first = 1200": "run from 0 to 999",
        "first = NOISE > SIGNAL": "cannot use your answer",
    },
    ("06", 2): {
        "pair = (0, 1)": "it can be smaller",
        "pair = (3, 3)": "number 3 twice",
        "pair = (6, 16)": "not 6 and 16",
        "pair = 6": "cannot use your answer",
    },
    ("06", 3): {
        "def guide(untold, told, g):\n    return told + g * (told - untold)": "with g = 0 it must be the untold",
        "def guide(untold, told, g):\n    return untold + g * told": "with g = 1 it must be the told",
        "def guide(untold, told, g):\n    return untold + min(g, 1) * (told - untold)": "2.5 times as far",
    },
    ("06", 4): {
        "def ddim_step(noisy, clean, t, s):\n    return clean": "off yours",
        "def ddim_step(noisy, clean, t, s):\n    return SIGNAL[s] * clean + NOISE[s] * noisy": "off yours",
        "def ddim_step(noisy, clean, t, s):\n    return drown(clean, torch.randn_like(clean), s)": "off yours",
        "def ddim_step(noisy, clean, t, s):\n    return 5": "cannot use your answer",
    },
    ("06", 5): {
        'my_birds = my_generate("birds singing", seed=5, guidance_scale=1, **REGIME)': "without guidance",
        'my_birds = my_generate("birds singing", seed=6, **REGIME)': "samples differ from the pipeline's",
        'my_birds = my_generate("rain", seed=5, **REGIME)': "samples differ from the pipeline's",
        'my_birds = my_generate("birds singing", seed=5, num_inference_steps=STEPS, '
        "audio_length_in_s=SECONDS / 2)": "cannot use your answer",
    },
    ("07", 1): {
        "def left(strength):\n"
        "    pipe.scheduler.set_timesteps(STEPS)\n"
        "    level = pipe.scheduler.timesteps[STEPS - max(1, round(strength * STEPS))]\n"
        "    return float(pipe.scheduler.alphas_cumprod[level])": "is the power that is left",
        "def left(strength):\n"
        "    pipe.scheduler.set_timesteps(STEPS)\n"
        "    level = pipe.scheduler.timesteps[STEPS - max(1, round(strength * STEPS))]\n"
        "    return float(1 - pipe.scheduler.alphas_cumprod[level]) ** 0.5": "share of the noise",
        "def left(strength):\n    return 1 - strength": "at strength 0.3 you say 0.700",
    },
    ("07", 2): {
        "half = ~half": "a part of the first half is not kept",
        "half = (torch.arange(frames) < frames * 3 // 4)[None, None, :, None]": "of the second half is kept",
        "half = (torch.arange(frames) < frames // 2)[None, None, :, None]\ngoes_on = beat": "made with another mask",
    },
    ("07", 3): {
        "mixed = torch.from_numpy(clap_embed([barks], CLAP))": "the barks alone",
        "sound, word = torch.from_numpy(clap_embed([barks], CLAP)), encode_prompt(pipe, 'rain').float()\n"
        "mixed = slerp(sound, word, 0.25)": "with the barks",
        "sound, word = torch.from_numpy(clap_embed([barks], CLAP)), encode_prompt(pipe, 'rain').float()\n"
        "mixed = (sound + word) / 2": "its length is",
    },
    ("07", 4): {
        f"{ALL_KEPT}surgeon[:, :, :, bands // 2 :] = False": "first half must stay",
        f"{ALL_KEPT}surgeon[:, :, frames // 2 :] = False": "lower bands must stay",
        f"{ALL_KEPT}surgeon[:, :, frames // 2 : -1, bands // 2 :] = False": "still kept",
        f"{ALL_KEPT}surgeon[:, :, frames // 2 :, bands // 2 :] = False\nchanged = 0.5": "not 0.50 of the cells",
    },
    ("08", 1): {
        "def sheet_size(inputs, outputs, rank, kernel=1):\n    return inputs * outputs": "rank 8 are 1,280 numbers",
        "def sheet_size(inputs, outputs, rank, kernel=1):\n    return rank * (inputs + outputs)": "count A again",
        "def sheet_size(inputs, outputs, rank, kernel=1):\n"
        "    return rank * (inputs + outputs) * kernel**2": "count A again",
    },
    ("08", 2): {
        "enough = 2": "is not the smallest",
        "found[0.5] = found[0.5] + 0.2": "the likeness of the four is",
        "found = {0: 0.1, 1: 0.9}": "the strengths asked for are",
    },
    ("08", 3): {
        "def floor(n):\n    return frechet(recorded[:n], recorded[n : 2 * n])": "for n = 16 it is",
        "def floor(n):\n    return frechet(recorded[:n], recorded[:n])": "a crowd against itself",
        "def floor(n):\n"
        "    o = np.random.default_rng(0).permutation(len(recorded))\n"
        "    return frechet(recorded[o[:n]], recorded[o[n : 2 * n]])": "the first draw alone",
    },
    ("08", 4): {
        "def memory_loss(noisy, t, told):\n"
        "    a = pipe.unet(noisy, t, None, class_labels=told).sample\n"
        "    return F.mse_loss(a, a.detach())": "does not notice the sheet",
        "def memory_loss(noisy, t, told):\n"
        "    return pipe.unet(noisy, t, None, class_labels=told).sample.square().mean()": "the answers are equal",
        "def memory_loss(noisy, t, told):\n"
        "    with torch.no_grad():\n"
        "        pipe.unet.disable_adapters()\n"
        "        before = pipe.unet(noisy, t, None, class_labels=told).sample\n"
        "        pipe.unet.enable_adapters()\n"
        "        return F.mse_loss(pipe.unet(noisy, t, None, class_labels=told).sample, before)": "be in no_grad",
    },
}
