"""Answers to the exercises of 07_edit_sounds; each replaces the whole stub. Explained in tests/tries.py."""

ORDER = 'right = dict(zip("ABCD", random.Random(8).sample(["itself", "held", 0.3, 0.9], 4), strict=True))\n'
MASK = """\
surgeon = torch.ones(1, 1, frames, bands, dtype=torch.bool)
surgeon[:, :, frames // 2 :, bands // 2 :] = False
changed = 0.25
"""
HALVES = "low_half, early = torch.arange(bands) < bands // 2, torch.arange(frames) < frames // 2\n"
PEARSON = "from scipy.stats import pearsonr\n\n\n"
HITS = """\
def in_hits(clip, source):
    hits = np.repeat(~pauses({quiet}).numpy().flatten(), per // 160)
    one, other = (np.exp(2 * log_mel(x.waveform)).sum(axis=1)[{where}] for x in (clip, source))
    return {result}
"""
CORRELATION = "np.corrcoef(np.log(one), np.log(other))[0, 1]"

WRONG = {  # answer: a word that the feedback must have
    (1, ORDER + 'versions = {**right, "A": right["B"], "B": right["A"]}'): "2 of four",
    (1, ORDER + 'versions = {"A": right["A"]}'): "letters",
    (1, ORDER + 'versions = {**right, "A": 0.5}'): "occurs once",
    (2, MASK + "surgeon[:, :, :, bands // 2 :] = False"): "first half must stay",
    (2, MASK + "surgeon[:, :, frames // 2 :] = False"): "lower bands must stay",
    (2, MASK + "changed = 0.5"): "not 0.50 of the cells",
    (2, MASK + "surgeon = surgeon[..., 1:]"): "frames, bands",
    (3, "def in_hits(clip, source):\n    return envelope_correlation(clip, source)"): "muting raises it",
    (3, HITS.format(quiet="clip", where="hits", result=CORRELATION)): "Wrong",
    (3, HITS.format(quiet="source", where="hits", result="np.corrcoef(one, other)[0, 1]")): "for one pair",
    (3, HITS.format(quiet="source", where="hits", result=f"abs({CORRELATION})")): "for one pair",
    (3, HITS.format(quiet="source", where="hits", result=CORRELATION.removesuffix("[0, 1]"))): "one number",
}
SNEAKY = [  # these do nothing of what is asked: never "Right"
    (1, 'versions = dict.fromkeys("ABCD", "itself")'),
    (1, "versions = made"),
    (1, "versions = dict(zip('ABCD', order[::-1], strict=True))"),
    (2, "surgeon, changed = torch.ones(1, 1, frames, bands, dtype=torch.bool), 0.25"),
    (2, "surgeon, changed = outside, 0.25"),
    (2, "surgeon, changed = low, 0.25"),
    (3, "def in_hits(clip, source):\n    return 1.0"),
    (3, "def in_hits(clip, source):\n    return _expected(clip, source)"),
    (3, "def in_hits(clip, source):\n    return -log_mel_distance(clip, source)"),
    (3, "import random\n\n\ndef in_hits(clip, source):\n    return random.random()"),
]
ALSO_RIGHT = [  # right answers in an unusual form
    (1, ORDER + "versions = list(right.items())"),
    (1, ORDER + "versions = [str(name) for name in right.values()]"),
    (1, ORDER + "versions = {k: np.float64(v) if isinstance(v, float) else v for k, v in right.items()}"),
    (2, MASK + "surgeon, changed = surgeon.expand(1, 8, frames, bands), np.float32(0.25)"),
    (2, HALVES + "surgeon, changed = low_half[None, :] | early[:, None], torch.tensor(1 / 4)"),
    (3, PEARSON + HITS.format(quiet="source", where="hits", result="pearsonr(np.log10(one), np.log10(other))[0]")),
    (3, HITS.format(quiet="source", where="hits", result=f"torch.tensor({CORRELATION})")),
]
