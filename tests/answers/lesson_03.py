"""Answers to the exercises of 03_steps_and_length; each replaces the whole stub. Explained in tests/tries.py."""

SOLVED_2 = """\
prompt = "a church bell, high quality"
distances_to_50, enough = {}, None
made = {}
for n in (2, 5, 10, 25, 50):
    made[n] = generate(pipe, prompt, num_inference_steps=n, audio_length_in_s=SECONDS, seed=0)
distances_to_50 = {n: log_mel_distance(made[n], made[50]) for n in (2, 5, 10, 25)}
enough = next((n for n, apart in distances_to_50.items() if apart <= distances_to_50[2] / 2), None)
compare([made[2], made[enough or 25], made[50]], ["2 steps", f"{enough or 25} steps", "50 steps"], columns=3)
"""
SOLVED_4 = """\
OFF = round(SECONDS - pipe.vae_scale_factor / 100, 2)  # one latent frame less
harm = None
off = sweep(pipe, PROMPTS, measures=["clap_similarity"], **{**fixed, "audio_length_in_s": OFF})
harm = interval(off.set_index("prompt").clap_similarity[fit.index], fit[STEPS])
plots.effects({f"{OFF} s against {SECONDS} s": harm}, "change of the CLAP cosine")
"""
WRONG: dict[int, dict[str, str]] = {  # answer: a word that the feedback must have
    1: {
        "length = 7.0": "no whole number",
        "length = 6.72": "shorter than 7 s",
        "length = 23 * 0.32": "there is a shorter one",
    },
    2: {
        SOLVED_2 + "enough = 25": "25 is not the first that halves",
        SOLVED_2 + "enough = None": "None is not the first that halves",
        SOLVED_2 + "distances_to_50 = {n: 0.0 for n in (2, 5, 10, 25, 50)}": "not [2, 5, 10, 25, 50]",
        SOLVED_2 + "distances_to_50, enough = {2: 0.0, 5: 0.0, 10: 0.0, 25: 0.0}, 2": "not 0.0 dB",
    },
    3: {
        "calls = 4": "for 4 steps",
        "calls = 6": "for 6 steps",
        "calls = 0": "for 0 steps",
    },
    4: {
        "harm = interval(fit[STEPS][:6], fit[5][:6])": "over 6 pairs",
        "harm = interval(fit[STEPS])": "a mean of cosines",
        SOLVED_4
        + "harm = interval(fit[STEPS], off.set_index('prompt').clap_similarity[fit.index])": "2.48 s minus 2.56 s",
        SOLVED_4 + "harm = interval(off.clap_similarity, fit[STEPS])": "prompt by prompt",
        "harm = 0.0": "cannot use your answer",
    },
}
SNEAKY: dict[int, list[str]] = {}  # these do nothing of what is asked: never "Right"
ALSO_RIGHT: dict[int, list[str]] = {}  # unusual, and right
