"""Answers to the exercises of 08_teach_a_sound; each replaces the whole stub. Explained in tests/tries.py."""

from tests.tries import solution

SOLVED_2 = solution("08", 2)
WRONG: dict[int, dict[str, str]] = {  # answer: a word that the feedback must have
    1: {
        """\
def sheet_size(inputs, outputs, rank, kernel=1):
    return inputs * outputs""": "rank 8 are 1,280 numbers",
        """\
def sheet_size(inputs, outputs, rank, kernel=1):
    return rank * (inputs + outputs)""": "count A again",
        """\
def sheet_size(inputs, outputs, rank, kernel=1):
    return rank * (inputs + outputs) * kernel**2""": "count A again",
    },
    2: {
        SOLVED_2 + "enough = 2": "is not the smallest",
        SOLVED_2 + "found[0.5] = found[0.5] + 0.2": "the likeness of the four is",
        SOLVED_2 + "found = {0: 0.1, 1: 0.9}": "the strengths asked for are",
    },
    3: {
        """\
def floor(n):
    return frechet(recorded[:n], recorded[n : 2 * n])""": "for n = 16 it is",
        """\
def floor(n):
    return frechet(recorded[:n], recorded[:n])""": "a crowd against itself",
        """\
def floor(n):
    o = np.random.default_rng(0).permutation(len(recorded))
    return frechet(recorded[o[:n]], recorded[o[n : 2 * n]])""": "the first draw alone",
    },
    4: {
        """\
def memory_loss(noisy, t, told):
    a = pipe.unet(noisy, t, None, class_labels=told).sample
    return F.mse_loss(a, a.detach())""": "does not notice the sheet",
        """\
def memory_loss(noisy, t, told):
    return pipe.unet(noisy, t, None, class_labels=told).sample.square().mean()""": "the answers are equal",
        """\
def memory_loss(noisy, t, told):
    with torch.no_grad():
        pipe.unet.disable_adapters()
        before = pipe.unet(noisy, t, None, class_labels=told).sample
        pipe.unet.enable_adapters()
        return F.mse_loss(pipe.unet(noisy, t, None, class_labels=told).sample, before)""": "be in no_grad",
    },
}
SNEAKY: dict[int, list[str]] = {}  # these do nothing of what is asked: never "Right"
ALSO_RIGHT: dict[int, list[str]] = {}  # unusual, and right
