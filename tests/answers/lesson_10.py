"""Answers to the exercises of lesson 10; see `tests/tries.py`."""

from tests.tries import solution

HEUN, SEARCH = solution("10", 2), solution("10", 3)

WRONG = {
    1: {
        "def flow_step(x, answer, s, lower):\n    return x - (lower - s) * answer": "sign",
        "def flow_step(x, answer, s, lower):\n    return x + lower * answer": "elsewhere",
        "def flow_step(x, answer, s, lower):\n    return x": "stays",
    },
    2: {
        "def heun(slope, x, s, lower):\n    return x + (lower - s) * slope(x, s)": "one look",
        HEUN.replace("(first + slope(there, lower)) / 2", "slope(there, lower)"): "mean of both",
        HEUN.replace("slope(there", "slope(x"): "should at",
    },
    3: {
        "def search(waveform, key, longest):\n    return longest": "were cut off",
        SEARCH.replace("return int", "return longest - int"): "were cut off",
        SEARCH.replace("argmax())", "argmax()), 0.9"): "number alone",
    },
}
SNEAKY = {
    1: [
        "def flow_step(x, answer, s, lower):\n    return x * lower / s",
        "def flow_step(x, answer, s, lower):\n    return torch.zeros_like(x)",
        "def flow_step(x, answer, s, lower):\n    x += (lower - s) * answer\n    return None",
    ],
    2: [
        "def heun(slope, x, s, lower):\n    return 0.5",
        "def heun(slope, x, s, lower):\n    return float('nan')",
        "def heun(slope, x, s, lower):\n    return x",
    ],
    3: [
        "def search(waveform, key, longest):\n    return 700",
        "def search(waveform, key, longest):\n    return np.random.default_rng(key).integers(longest)",
        "def search(waveform, key, longest):\n    return range(longest + 1)",
    ],
}
ALSO_RIGHT = {
    1: [
        "def flow_step(x, answer, s, lower):\n    clean = x - s * answer\n    return clean + lower * answer",
        "def flow_step(x, answer, s, lower):\n    return x.add_(answer, alpha=lower - s)",
    ],
    2: [
        "def heun(slope, x, s, lower):\n"
        "    half = (lower - s) / 2\n"
        "    return x + half * slope(x, s) + half * slope(x + 2 * half * slope(x, s), lower)",
        HEUN.replace("x + (lower - s) * (first", "np.float64(x) + (lower - s) * (first"),
    ],
    3: [
        SEARCH.replace("return int(", "return np.float64("),
        "def search(waveform, key, longest):\n"
        "    from scipy.signal import correlate\n\n"
        "    flat = waveform / loudness(waveform)\n"
        "    return float(correlate(signs(key, len(waveform) + longest), flat, 'valid').argmax())",
    ],
}
