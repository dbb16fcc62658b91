"""Answers to the exercises of lesson 10; see `tests/tries.py`."""

WRONG = {
    1: {
        "def flow_step(x, answer, s, lower):\n    return x - (lower - s) * answer": "sign",
        "def flow_step(x, answer, s, lower):\n    return x + lower * answer": "elsewhere",
        "def flow_step(x, answer, s, lower):\n    return x": "stays",
    },
    2: {
        "def heun(slope, x, s, lower):\n    return x + (lower - s) * slope(x, s)": "one look",
        "def heun(slope, x, s, lower):\n"
        "    there = x + (lower - s) * slope(x, s)\n"
        "    return x + (lower - s) * slope(there, lower)": "mean of both",
        "def heun(slope, x, s, lower):\n    return x + (lower - s) * (slope(x, s) + slope(x, lower)) / 2": "should at",
    },
    3: {
        "def search(waveform, key, longest):\n    return longest": "were cut off",
        "def search(waveform, key, longest):\n"
        "    heard = np.diff(waveform / loudness(waveform))\n"
        "    secret = np.diff(signs(key, len(waveform) + longest))\n"
        "    return longest - int(np.correlate(secret, heard, 'valid').argmax())": "were cut off",
        "def search(waveform, key, longest):\n"
        "    heard = np.diff(waveform / loudness(waveform))\n"
        "    secret = np.diff(signs(key, len(waveform) + longest))\n"
        "    found = np.correlate(secret, heard, 'valid')\n"
        "    return int(found.argmax()), float(found.max())": "number alone",
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
        "def heun(slope, x, s, lower):\n"
        "    first = x + (lower - s) * slope(x, s)\n"
        "    second = first + (lower - s) * slope(first, lower)\n"
        "    return np.float64((x + second) / 2)",
    ],
    3: [
        "def search(waveform, key, longest):\n"
        "    flat = np.diff(waveform / loudness(waveform))\n"
        "    secret = np.diff(signs(key, len(waveform) + longest))\n"
        "    fits = [flat @ secret[cut : cut + len(flat)] for cut in range(longest + 1)]\n"
        "    return np.argmax(fits)",
        "def search(waveform, key, longest):\n"
        "    from scipy.signal import correlate\n\n"
        "    flat = waveform / loudness(waveform)\n"
        "    return float(correlate(signs(key, len(waveform) + longest), flat, 'valid').argmax())",
    ],
}
