"""Answers to the exercises of 08_teach_a_sound; each replaces the whole stub. Explained in tests/tries.py."""

BEDS = 'import random\n\nbeds = dict(zip("ABC", random.Random(10).sample([0, 1, 4], 3), strict=True))\n'
BARE = "    answer = pipe.unet(noisy, t, None, class_labels=told).sample\n"
WRONG: dict[int, dict[str, str]] = {  # answer: a word that the feedback must have
    1: {
        f"{BEDS}diagnosis = dict(zip('ABC', [*beds.values()][::-1], strict=True))": "of three",
        'diagnosis = {"A": 1, "B": 1, "C": 4}': "occurs once",
        'diagnosis = {"A": 0, "B": 1}': "letters A, B and C",
    },
    2: {
        'fooling = "a high quality dog barking"': "without the dog",
        'fooling = "a laser gun"': "the first judge is not fooled",
        "fooling = 7": "a string",
    },
    3: {
        f"def memory_loss(noisy, t, told):\n{BARE}    return F.mse_loss(answer, answer.detach())": "here it is",
        f"def memory_loss(noisy, t, told):\n{BARE}    return answer.square().mean()": "here it is",
        """\
def memory_loss(noisy, t, told):
    with torch.no_grad():
        pipe.unet.disable_adapters()
        before = pipe.unet(noisy, t, None, class_labels=told).sample
        pipe.unet.enable_adapters()
        return F.mse_loss(pipe.unet(noisy, t, None, class_labels=told).sample, before)""": "be in no_grad",
    },
}
SNEAKY: dict[int, list[str]] = {  # these do nothing of what is asked: never "Right"
    1: ["diagnosis = {}", 'diagnosis = {"A": None, "B": None, "C": None}', 'diagnosis = {"A": 1, "B": 1, "C": 1}'],
    2: [
        'fooling = "silence"',
        "fooling = WORDS",
        'fooling = ""\ngenerate(load_pipeline("mini-s-v2"), "a clock ticking, high quality", **SETTINGS)',
    ],
    3: [
        "def memory_loss(noisy, t, told):\n    return torch.tensor(0.0, requires_grad=True)",
        f"def memory_loss(noisy, t, told):\n{BARE}    return F.mse_loss(answer, noisy)",
        "def memory_loss(noisy, t, told):\n    noisy.zero_()\n    return noisy.sum()",
    ],
}
ALSO_RIGHT: dict[int, list[str]] = {  # unusual, and right
    1: [
        f"{BEDS}diagnosis = {{bed.lower(): float(strength) for bed, strength in beds.items()}}",
        f"{BEDS}diagnosis = [(bed, np.int64(strength)) for bed, strength in beds.items()]",
    ],
    2: ['fooling = "a clean clock"', 'fooling = "A clock ticking, high quality"'],
    3: [
        """\
def memory_loss(noisy, t, told):
    after = pipe.unet(noisy, t, None, class_labels=told).sample
    pipe.unet.disable_adapters()
    before = pipe.unet(noisy, t, None, class_labels=told).sample.detach()
    pipe.unet.enable_adapters()
    return (after - before).square().mean()""",
        """\
def memory_loss(noisy, t, told):
    answers = []
    for switch in (pipe.unet.disable_adapters, pipe.unet.enable_adapters):
        switch()
        answers.append(pipe.unet(noisy, t, encoder_hidden_states=None, class_labels=told, return_dict=False)[0])
    return torch.mean((answers[1] - answers[0].detach()) ** 2)[None]""",
    ],
}
