"""Answers to the exercises of 02_prompt_engineering; each replaces the whole stub. Explained in tests/tries.py."""

SOLVED_3 = """\
hasty = fair = None
dried = rainy
dried = make(rainy.prompt.unique().tolist(), negative_prompts="rain")
hasty = interval(dried.noise_floor_db, rainy.noise_floor_db, unit="dB")
fair = interval(dried.noise_floor_db, rainy.noise_floor_db, groups=GROUPS, unit="dB")
compare([load_clips(table)[0] for table in (rainy, dried)], ["in the rain", "without rain"])
"""
SOLVED_4 = """\
noisy = tips["low quality"]
control = load_clips(plain)
white = Clip(np.random.default_rng(0).normal(size=len(control[0].waveform)))
control = [mix(clip, white, floor) for clip, floor in zip(control, noisy.noise_floor_db, strict=True)]
found = {"“low quality”": interval(fit(noisy, GROUPS), plain_fit, groups=GROUPS)}
found["white noise on the plain clips"] = interval(clap_similarity(control, GROUPS, CLAP), plain_fit, groups=GROUPS)
plots.effects(found, "change of the fit to the subject (cosine)")
"""
WRONG: dict[int, dict[str, str]] = {  # answer: a word that the feedback must have
    1: {
        'clean = generate(pipe, "footsteps, low quality", **settings)': "dB are asked for",
        'clean = generate(pipe, "rain, high quality", **settings)': "no footsteps",
        'clean = generate(pipe, "footsteps, high quality", seed=1, **settings)': "another seed, 1",
        'clean = generate(pipe, "footsteps, high quality", audio_length_in_s=1.28)': "lasts 1.28 s",
    },
    2: {
        """\
def strangeness(word):
    return len(word)""": "is one token, not 3",
        """\
def strangeness(word):
    return len(pipe.tokenizer(word).input_ids)""": "is one token, not",
        """\
def strangeness(word):
    return 1""": "falls into more than 1",
        """\
def strangeness(word):
    return len(pipe.tokenizer.tokenize(word))""": "a space before the word",
    },
    3: {
        SOLVED_3 + "hasty, fair = fair, hasty": "`hasty` is from 6 values, not from 12",
        SOLVED_3
        + 'fair = hasty = interval(dried.noise_floor_db, rainy.noise_floor_db, unit="dB")': "`fair` is from 12 values",
        SOLVED_3
        + 'hasty = interval(rainy.noise_floor_db, dried.noise_floor_db, unit="dB")': "without rain minus with rain",
        SOLVED_3
        + "hasty = fair = np.mean(dried.noise_floor_db) - np.mean(rainy.noise_floor_db)": "cannot use your answer",
    },
    4: {
        "control = load_clips(noisy)": "does not hold its plain partner",
        SOLVED_4
        + "control = [Clip(one.waveform + 0.01 * white.waveform) for one in load_clips(plain)]": "has a floor of",
        SOLVED_4 + "control = control[:6]": "6 clips, not twelve",
        "control = None": "cannot use your answer",
    },
}
SNEAKY: dict[int, list[str]] = {}  # these do nothing of what is asked: never "Right"
ALSO_RIGHT: dict[int, list[str]] = {}  # unusual, and right
