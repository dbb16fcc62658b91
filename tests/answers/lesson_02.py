"""Answers to the exercises of 02_prompt_engineering; each replaces the whole stub. Explained in tests/tries.py."""

from tests.tries import solution

MANY, DRIED, WHITE = (solution("02", number) for number in (2, 3, 4))
OWN = """\
pairs = zip(load_clips(plain), tips["low quality"].noise_floor_db)
noise = np.random.default_rng(0).standard_normal
noisy_control = [mix(clip, Clip(noise(len(clip.waveform))), floor + 0.3) for clip, floor in pairs]
"""
CLEAN = 'best = generate(pipe, "footsteps, high quality", **settings)\n'

WRONG = {  # answer: a word that the feedback must have
    (1, 'clean = generate(pipe, "footsteps, low quality", **settings)'): "dB are asked for",
    (1, 'clean = generate(pipe, "rain, high quality", **settings)'): "no footsteps",
    (1, 'clean = generate(pipe, "footsteps, high quality", audio_length_in_s=1.28)'): "lasts 1.28 s",
    (2, MANY + "culprit = sorted(without, key=lambda place: without[place][0])[0]"): "Another changes more",
    (2, MANY + "culprit = sorted(without, key=lambda place: without[place][0])[-2]"): "Another changes more",
    (2, MANY + 'culprit = ("a dachshund", 0)'): "there is no clip",
    (3, DRIED + "twelve, six = six, twelve"): "`twelve` is from 6 values, not from 12",
    (3, DRIED + "six = twelve"): "`six` is from 12 values",
    (3, DRIED + 'twelve = interval(rainy.noise_floor_db, dried.noise_floor_db, unit="dB")'): "without rain minus",
    (4, 'noisy_control = load_clips(tips["low quality"])'): "no white noise",
    (4, WHITE + "noisy_control = [Clip(c.waveform + white.waveform / 99) for c in load_clips(plain)]"): "a floor of",
    (4, WHITE + "noisy_control = noisy_control[:6]"): "6 clips, not twelve",
}
SNEAKY = [  # these do nothing of what is asked: never "Right"
    (1, CLEAN + "clean = Clip(0 * best.waveform, best.sample_rate, best.settings)"),
    (1, "clean = generate(pipe, 'a piano, high quality, not footsteps', **settings)"),
    (1, "def noise_floor_db(clip):\n    return -120\n\n\nclean = generate(pipe, 'footsteps, noisy', **settings)"),
    (2, "make = lambda *a, **k: None\nculprit = ('drums', 0)"),
    (2, MANY + "culprit = culprit[0], culprit[1] + 9"),
    (2, MANY + "culprit = [culprit] * 2"),
    (2, MANY + "culprit = culprit[0], culprit[1] + 0.9"),
    (3, "twelve = six = 0"),
    (3, "twelve = interval([0.0] * 12, [0.0] * 12, unit='dB')\nsix = interval([0.0] * 6, [0.0] * 6, unit='dB')"),
    (3, "rainy = plain\n" + DRIED),
    (4, "noisy_control = [Clip(0 * clip.waveform) for clip in load_clips(plain)]"),
    (4, "noisy_control = control"),
    (4, WHITE + "noisy_control = [noisy_control[0]] * 12"),
    (4, OWN.replace("Clip(noise", "Clip((np.arange(len(clip.waveform)) % 257 == 0) * noise")),
]
ALSO_RIGHT = [  # right answers in an unusual form
    (1, 'clean = generate(pipe, "a clear recording of footsteps", negative_prompt="noisy", seed=0, **settings)'),
    (1, 'clean = generate(pipe, ["footsteps, clear"], **settings)[0]'),
    (1, 'clean = generate(pipe, ["footsteps, clear"], **settings)'),
    (2, MANY + "culprit = list(culprit)"),
    (2, MANY + "culprit = (str(culprit[0]), float(culprit[1]))"),
    (2, MANY + 'culprit = {"seed": culprit[1], "prompt": culprit[0]}'),
    (3, DRIED + "six = interval((dried.noise_floor_db - rainy.noise_floor_db).to_numpy().reshape(6, 2).mean(axis=1))"),
    (3, DRIED + "twelve = interval(np.subtract(dried.noise_floor_db, rainy.noise_floor_db))"),
    (4, WHITE + "noisy_control = tuple(noisy_control)"),
    (4, OWN),
    (4, WHITE + "noisy_control = iter(noisy_control)"),
]
