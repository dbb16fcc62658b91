"""Answers to the exercises of 04_checkpoints; each replaces the whole stub. Explained in tests/tries.py."""

SOLVED_2 = """\
fair = []
for a, b in combinations(REAL, 2):
    kinds = ("unet_dim", "training_steps", "audio_conditioning")
    if sum(getattr(CHECKPOINTS[a], kind) != getattr(CHECKPOINTS[b], kind) for kind in kinds) == 1:
        fair.append((a, b))
mirrors = [clips_of(names[REAL.index(name)], "techno music, fast")[0] for pair in fair for name in pair]
compare(mirrors, [name for pair in fair for name in pair], columns=2)  # or, on the minis, their mirrors
"""
SOLVED_3 = """\
careless, honest = None, None
careless = interval(wide[names[1]], wide[names[0]])
honest = interval(wide[names[1]], wide[names[0]], groups=subjects)
plots.effects({"24 clips": careless, "12 prompts": honest}, f"{names[1]} against {names[0]}: gain of the CLAP cosine")
"""
SOLVED_4 = """\
prompt, gain = "a flute playing", None
mine = sweep(names[:2], prompt, seeds=range(8), **fixed)
by_seed = mine.pivot(index="seed", columns="checkpoint", values="clap_similarity")
gain = interval(by_seed[names[1]], by_seed[names[0]])
compare(load_clips(mine[mine.seed == 0]), names[:2], columns=2)
"""
WRONG: dict[int, dict[str, str]] = {  # answer: a word that the feedback must have
    1: {
        "total = millions(unet(64))": "the UNet alone",
        "total = sum(shared.values())": "it is not",
        "total = 421.0 / 2": "it is not 210.5 million",
    },
    2: {
        SOLVED_2 + "fair = [('audioldm-s-full', 'audioldm-s-full-v2')]": "another pair",
        SOLVED_2 + "fair = [('audioldm-s-full', 'audioldm-m-full')]": "differ in more than one thing",
        SOLVED_2 + "fair = [('mini-s', 'mini-s-v2')]": "no pairs of",
        SOLVED_2 + "fair = 2": "cannot use your answer",
    },
    3: {
        SOLVED_3 + "honest = careless": "`honest` is over 24 subjects",
        SOLVED_3 + "honest = interval(wide[names[0]], wide[names[1]], groups=subjects)": "not the gains of",
        SOLVED_3 + "honest = interval(wide[names[1]], groups=subjects)": "not the gains of",
        SOLVED_3 + "honest = 0.17": "cannot use your answer",
        "careless = honest = interval(wide[names[1]], groups=subjects)": "`careless` is over 12 subjects",
    },
    4: {
        SOLVED_4 + "gain = interval(by_seed[names[1]][:4], by_seed[names[0]][:4])": "over 4 pairs",
        SOLVED_4 + "gain = interval(by_seed[names[1]])": "these are cosines",
        SOLVED_4 + "gain = interval(by_seed[names[0]], by_seed[names[1]])": "seed by seed",
        SOLVED_4
        + """\
gain = interval(by_seed[names[1]], by_seed[names[0]])
prompt = 'a dog barking'""": "on 'a dog barking'",
        "gain = 0.1": "cannot use your answer",
    },
}
SNEAKY: dict[int, list[str]] = {}  # these do nothing of what is asked: never "Right"
ALSO_RIGHT: dict[int, list[str]] = {}  # unusual, and right
