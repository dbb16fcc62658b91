"""Answers to the exercises of 08_teach_a_sound; each replaces the whole stub. Explained in tests/tries.py."""

BEDS = 'import random\n\nbeds = dict(zip("ABC", random.Random(10).sample([0, 1, 4], 3), strict=True))\n'
MEMORY = "def memory_loss(noisy, t, told):\n    "
ASKED = "pipe.unet(noisy, t, None, class_labels=told).sample"
BEFORE = f"pipe.unet.disable_adapters()\n    before = {ASKED}.detach()\n    pipe.unet.enable_adapters()\n    "

WRONG = {  # answer: a word that the feedback must have
    (1, f"{BEDS}diagnosis = dict(zip('ABC', [*beds.values()][::-1], strict=True))"): "of three",
    (1, 'diagnosis = {"A": 1, "B": 1, "C": 4}'): "occurs once",
    (1, 'diagnosis = {"A": 0, "B": 1}'): "letters A, B and C",
    (1, 'diagnosis = {"A": "off", "B": 1, "C": 4}'): "to strengths",
    (2, 'fooling = "a high quality dog barking"'): "without the dog",
    (2, 'fooling = "a laser gun"'): "the first judge is not fooled",
    (2, "fooling = 7"): "a string",
    (3, f"{MEMORY}answer = {ASKED}\n    return F.mse_loss(answer, answer.detach())"): "here it is",
    (3, f"{MEMORY}answer = {ASKED}\n    return answer.square().mean()"): "here it is",
    (3, f"@torch.no_grad()\n{MEMORY}{BEFORE}return F.mse_loss({ASKED}, before)"): "be in no_grad",
    (3, f"@torch.no_grad()\n{MEMORY}{BEFORE}return F.mse_loss({ASKED}, before).requires_grad_()"): "be in no_grad",
    (3, f"{MEMORY}{BEFORE}return F.mse_loss({ASKED}, before, reduction='none')"): "one number",
    (3, f"{MEMORY}after = {ASKED}\n    pipe.unet.disable_adapters()\n    return after.mean()"): "leaves the sheet off",
}
SNEAKY = [  # these do nothing of what is asked: never "Right"
    (1, "diagnosis = {}"),
    (1, 'diagnosis = {"A": None, "B": None, "C": None}'),
    (1, 'diagnosis = {"A": 1, "B": 1, "C": 1}'),
    (2, 'fooling = "silence"'),
    (2, "fooling = WORDS"),
    (2, 'fooling = ""\ngenerate(load_pipeline("mini-s-v2"), "a clock ticking, high quality", **SETTINGS)'),
    (3, MEMORY + "return torch.tensor(0.0, requires_grad=True)"),
    (3, f"{MEMORY}answer = {ASKED}\n    return F.mse_loss(answer, noisy)"),
    (3, MEMORY + "noisy.zero_()\n    return noisy.sum()"),
]
ALSO_RIGHT = [  # right answers in an unusual form
    (1, f"{BEDS}diagnosis = {{bed.lower(): float(strength) for bed, strength in beds.items()}}"),
    (1, f"{BEDS}diagnosis = [(bed, np.int64(strength)) for bed, strength in beds.items()]"),
    (1, f"{BEDS}diagnosis = list(beds.values())"),
    (2, 'fooling = "a clean clock"'),
    (2, 'fooling = "A clock ticking, high quality"'),
    (3, f"{MEMORY}after = {ASKED}\n    {BEFORE}return (after - before).square().mean()"),
    (3, f"{MEMORY}{BEFORE}return torch.mean(({ASKED.replace('sample', 'to_tuple()[0]')} - before) ** 2)[None]"),
]
