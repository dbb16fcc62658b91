"""Answers to the exercises of 06_inside_audioldm; each replaces the whole stub. Explained in tests/tries.py."""

from tests.tries import solution

VERDICTS, LOOP = solution("06", 1), solution("06", 4)
GUIDE = "def guide(untold, told, g):\n    {}"
STEP = "def ddim_step(noisy, clean, t, s):\n    {}"
CALL = "def my_generate(prompt, seed, num_inference_steps, audio_length_in_s, guidance_scale=2.5):\n    "
ASKED = "pipe.unet(torch.cat([latents, latents]), t, encoder_hidden_states=None, class_labels=words).sample"
SAVED = "return call(pipe, prompt, audio_length_in_s, num_inference_steps, generator=torch.manual_seed(seed)).audios[0]"
SETTINGS = "seed=seed, num_inference_steps=num_inference_steps, audio_length_in_s=audio_length_in_s"

WRONG = {  # answer: a word that the feedback must have
    (1, VERDICTS + 'verdicts |= {"A": verdicts["B"], "B": verdicts["A"]}'): "1 of three",
    (1, 'verdicts = {"A": "both"}'): "letters",
    (1, 'verdicts = ["both", "64 bands"]'): "dictionary from the letters",
    (1, 'verdicts = {"A": "phase", "B": "bands", "C": "both"}'): "occurs once",
    (2, GUIDE.format("return told + g * (told - untold)")): "with g = 0 it must be the untold",
    (2, GUIDE.format("return untold + min(g, 1) * (told - untold)")): "2.5 times as far",
    (2, GUIDE.format("return untold.add_(told - untold, alpha=g)")): "overwrites its inputs",
    (3, STEP.format("return SIGNAL[s] * clean + NOISE[s] * noisy")): "off yours",
    (3, STEP.format("return drown(clean, torch.randn_like(clean), s)")): "off yours",
    (3, STEP.format("noisy -= SIGNAL[t] * clean\n    return drown(clean, noisy / NOISE[t], s)")): "overwrites",
    (4, LOOP.replace("guidance_scale * (", "1 * (")): "without guidance",
    (4, LOOP.replace("set_timesteps(num_inference_steps)", "set_timesteps(STEPS)")): "drums",
    (4, LOOP.replace("manual_seed(seed)", "manual_seed(seed + 1)")): "off the pipeline's",
    (4, CALL + f"return generate(pipe, prompt, {SETTINGS}, guidance_scale=guidance_scale)"): "must be yours",
}
SNEAKY = [  # these do nothing of what is asked: never "Right"
    (1, 'verdicts = dict.fromkeys("ABC", "both")'),
    (1, 'verdicts = {"A": ["64 bands", "both", "guessed phase"], "B": "both", "C": "guessed phase"}'),
    (1, "letters = verdicts = {letter: letter for letter in 'ABC'}"),
    (2, GUIDE.format("return untold.zero_() + told.zero_()")),
    (2, GUIDE.format("return {0: untold, 1: told}.get(g, 2.5 * told - 1.5 * untold)")),
    (2, GUIDE.format("return (untold + g * (told - untold)).mean()")),
    (3, STEP.format("return walk[times.index(t) + 1]")),
    (3, STEP.format("return noisy.zero_()")),
    (3, STEP.format("return pipe.scheduler.step(ask(noisy, t, mine.expand(2, -1)), t, noisy).prev_sample")),
    (4, "my_birds = generate(pipe, 'birds singing', seed=5, **REGIME)\n\n\n" + CALL + "return None"),
    (4, "kept = generate(pipe, 'birds singing', seed=5, **REGIME)\n\n\n" + CALL + "return kept"),
    (4, CALL + "return decode_latents(pipe, dogs_seen[-1][:1])"),
    (4, CALL + "return goal"),
    (4, f"call = type(pipe).__call__\n\n\n{CALL}{SAVED}"),
]
ALSO_RIGHT = [  # right answers in an unusual form
    (1, VERDICTS + "verdicts = {letter.lower(): fault.upper() for letter, fault in verdicts.items()}"),
    (1, VERDICTS + "verdicts = list(verdicts.items())"),
    (1, VERDICTS + "verdicts = tuple(verdicts.values())"),
    (2, GUIDE.format("return torch.lerp(untold, told, float(g))")),
    (2, "def guide(u, c, g):\n    far = c.clone()\n    far -= u\n    return u.clone().add_(g * far)"),
    (3, STEP.format("return drown(clean, (noisy - SIGNAL[t] * clean) / NOISE[t], s).double().numpy()")),
    (3, STEP.format("share = NOISE[s] / NOISE[t]\n    return share * noisy + (SIGNAL[s] - share * SIGNAL[t]) * clean")),
    (4, LOOP.replace("(pipe, latents, prompt=prompt)", "(pipe, latents).waveform")),
    (4, LOOP.replace(ASKED, "torch.cat([ask(latents, t, one) for one in words.split(1)]).to(latents)")),
]
