"""Answers to the exercises of 07_edit_sounds; each replaces the whole stub. Explained in tests/tries.py."""

from tests.tries import solution

SOLVED_2 = solution("07", 2)
SOLVED_4 = solution("07", 4)
WRONG: dict[int, dict[str, str]] = {  # answer: a word that the feedback must have
    1: {
        """\
def left(strength):
    pipe.scheduler.set_timesteps(STEPS)
    level = pipe.scheduler.timesteps[STEPS - max(1, round(strength * STEPS))]
    return float(pipe.scheduler.alphas_cumprod[level])""": "is the power that is left",
        """\
def left(strength):
    pipe.scheduler.set_timesteps(STEPS)
    level = pipe.scheduler.timesteps[STEPS - max(1, round(strength * STEPS))]
    return float(1 - pipe.scheduler.alphas_cumprod[level]) ** 0.5""": "share of the noise",
        """\
def left(strength):
    return 1 - strength""": "at strength 0.3 you say 0.700",
    },
    2: {
        SOLVED_2 + "half = ~half": "a part of the first half is not kept",
        "half = (torch.arange(frames) < frames * 3 // 4)[None, None, :, None]": "of the second half is kept",
        """\
half = (torch.arange(frames) < frames // 2)[None, None, :, None]
goes_on = beat""": "made with another mask",
    },
    3: {
        "mixed = torch.from_numpy(clap_embed([barks], CLAP))": "the barks alone",
        """\
sound, word = torch.from_numpy(clap_embed([barks], CLAP)), encode_prompt(pipe, 'rain').float()
mixed = slerp(sound, word, 0.25)""": "with the barks",
        """\
sound, word = torch.from_numpy(clap_embed([barks], CLAP)), encode_prompt(pipe, 'rain').float()
mixed = (sound + word) / 2""": "its length is",
    },
    4: {
        SOLVED_4
        + """\
surgeon = torch.ones(1, 1, frames, bands, dtype=torch.bool)
surgeon[:, :, :, bands // 2 :] = False""": "first half must stay",
        SOLVED_4
        + """\
surgeon = torch.ones(1, 1, frames, bands, dtype=torch.bool)
surgeon[:, :, frames // 2 :] = False""": "lower bands must stay",
        SOLVED_4
        + """\
surgeon = torch.ones(1, 1, frames, bands, dtype=torch.bool)
surgeon[:, :, frames // 2 : -1, bands // 2 :] = False""": "still kept",
        """\
surgeon = torch.ones(1, 1, frames, bands, dtype=torch.bool)
surgeon[:, :, frames // 2 :, bands // 2 :] = False
changed = 0.5""": "not 0.50 of the cells",
    },
}
SNEAKY: dict[int, list[str]] = {}  # these do nothing of what is asked: never "Right"
ALSO_RIGHT: dict[int, list[str]] = {}  # unusual, and right
