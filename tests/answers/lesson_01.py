"""Answers to the exercises of 01_first_sound; each replaces the whole stub. Explained in tests/tries.py."""

SOLVED_4 = """\
low_clips, change = upbeat_clips, None
low_clips = generate(pipe, upbeat.replace("high", "low"), num_waveforms_per_prompt=8, **settings)
brightness = [[spectral_centroid_hz(one) for one in clips] for clips in (upbeat_clips, low_clips)]
change = interval(*brightness, unit="Hz")
compare([upbeat_clips[0], low_clips[0]], ["high melodic riffs", "low melodic riffs"])
"""
WRONG: dict[int, dict[str, str]] = {  # answer: a word that the feedback must have
    1: {
        'mine = generate(pipe, "a cat meowing", audio_length_in_s=2.56, seed=7)': "no dog in 'a cat meowing'",
        'mine = generate(pipe, "a dog barking", seed=7)': "lasts 5 s",
        'mine = generate(pipe, "a dog barking", audio_length_in_s=2.56)': "seed is 0",
        'mine = generate(pipe, "a big dog", audio_length_in_s=2.56, seed=7)': "holds another sound",
        """\
Path("outputs/dog.wav").unlink()
mine = generate(pipe, "a dog", audio_length_in_s=2.56, seed=7)""": "`save`",
    },
    2: {
        "third = generate(pipe, prompt, seed=2, **settings)": "seed is 2",
        "third = generate(pipe, prompt, seed=3)": "audio_length_in_s is 5.0",
        'third = generate(pipe, "techno", seed=3, **settings)': "prompt is 'techno'",
        "third = takes": "cannot use your answer",
    },
    3: {
        "player = Audio(whisper / 2, rate=16000, normalize=False)": "that of `whisper`",
        "player = Audio(2 * whisper, rate=16000, normalize=False)": "that of `whisper`",
        "player = None": "cannot use your answer",
    },
    4: {
        SOLVED_4 + 'change = changes["the two prompts above"]': "`upbeat` against `calm`",
        SOLVED_4 + 'change = interval(*brightness[::-1], unit="Hz")': "`upbeat` minus the new prompt",
        SOLVED_4 + 'change = interval(brightness[0][:4], brightness[1][:4], unit="Hz")': "from 4 pairs",
        SOLVED_4 + "change = np.mean(brightness[0]) - np.mean(brightness[1])": "cannot use your answer",
    },
}
SNEAKY: dict[int, list[str]] = {}  # these do nothing of what is asked: never "Right"
ALSO_RIGHT: dict[int, list[str]] = {}  # unusual, and right
