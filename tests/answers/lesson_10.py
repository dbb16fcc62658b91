"""Answers to the exercises of 10_after_audioldm; each replaces the whole stub. Explained in tests/tries.py."""

from tests.tries import solution

STEP = "def heun(slope, x, s, lower):\n    "
SCIPY = """\
def search(waveform, key, longest):
    from scipy.signal import correlate

    flat = waveform / loudness(waveform)
    """
HEUN, SEARCH = solution("10", 2), solution("10", 3)

WRONG = {  # answer: a word that the feedback must have
    (1, "def flow_step(x, answer, s, lower):\n    return x - (lower - s) * answer"): "sign",
    (1, "def flow_step(x, answer, s, lower):\n    return x + lower * answer"): "elsewhere",
    (1, "def flow_step(x, answer, s, lower):\n    return x"): "stays",
    (2, "def heun(slope, x, s, lower):\n    return x + (lower - s) * slope(x, s)"): "one look",
    (2, HEUN.replace("(first + slope(there, lower)) / 2", "slope(there, lower)")): "mean of both",
    (2, HEUN.replace("slope(there", "slope(x")): "should at",
    (3, "def search(waveform, key, longest):\n    return longest"): "were cut off",
    (3, SEARCH.replace("return int", "return longest - int")): "were cut off",
    (3, SEARCH.replace("argmax())", "argmax()), 0.9")): "number alone",
}
SNEAKY = [  # these do nothing of what is asked: never "Right"
    (1, "def flow_step(x, answer, s, lower):\n    return x * lower / s"),
    (1, "def flow_step(x, answer, s, lower):\n    return torch.zeros_like(x)"),
    (1, "def flow_step(x, answer, s, lower):\n    x += (lower - s) * answer\n    return None"),
    (1, "def flow_step(x, answer, s, lower):\n    return goal"),
    (2, "def heun(slope, x, s, lower):\n    return 0.5"),
    (2, "def heun(slope, x, s, lower):\n    return float('nan')"),
    (2, "def heun(slope, x, s, lower):\n    return x"),
    (3, "def search(waveform, key, longest):\n    return 700"),
    (3, "def search(waveform, key, longest):\n    return np.random.default_rng(key).integers(longest)"),
    (3, "def search(waveform, key, longest):\n    return cut"),
    (3, "def search(waveform, key, longest):\n    return len(unmarked[0].waveform) - len(waveform)"),
    (3, "def search(waveform, key, longest):\n    return range(longest + 1)"),
]
ALSO_RIGHT = [  # right answers in an unusual form
    (1, "def flow_step(x, answer, s, lower):\n    clean = x - s * answer\n    return clean + lower * answer"),
    (1, "def flow_step(x, answer, s, lower):\n    return x.numpy() + (lower - s) * answer.double().numpy()"),
    (1, "def flow_step(x, answer, s, lower):\n    return x.add_(answer, alpha=lower - s)"),
    (2, STEP + "h = (lower - s) / 2\n    return x + h * slope(x, s) + h * slope(x + 2 * h * slope(x, s), lower)"),
    (2, HEUN.replace("x + (lower - s) * (first", "np.float64(x) + (lower - s) * (first")),
    (3, SEARCH.replace("return int(", "return np.float64(")),
    (3, SCIPY + "return float(correlate(signs(key, len(waveform) + longest), flat, 'valid').argmax())"),
]
