"""What a member of the family makes of prompts that its training never held: other words, orders, capitals, nonsense.

Every clip is made with 25 steps and guidance 2.5, lasts 2.56 s, and is heard by the judge alone (see obedience.py).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from .captions import draw_scene, say
from .data import LEVELS, SPEEDS, TEST_SEED
from .judge import verdicts
from .obedience import generate_all, obedience, real_clips, share
from .sounds import BACKGROUNDS, CLASSES, PITCHED, TIMED, Scene

# Sentences that the grammar of captions.py cannot say, each with a word that it does not know (a test checks both).
PARAPHRASES = {
    "rain": "It is raining hard against my window|The patter of raindrops on a tent",
    "wind": "The wind howls around the corner|A cold breeze blowing through the trees",
    "waves": "Waves roll onto the sand|The ocean rolling over the rocks",
    "stream": "A little brook runs over stones|Water that flows along a creek bed",
    "thunder": "Thunder rumbles over the hills|Lightning strikes close by",
    "applause": "The audience claps after the show|A crowd bursts into applause",
    "engine": "The motor of an old car turns over|A truck engine idles at the gate",
    "helicopter": "A helicopter hovers above the house|The rotor of a chopper turning",
    "siren": "A police car passes with its siren on|The wail of an ambulance",
    "alarm": "The smoke alarm goes off|Beep after beep from an alarm clock",
    "bell": "The bell of the village church rings|Somebody rings a bell",
    "birds": "A sparrow sings on a branch|Early morning birdsong",
    "dog": "My dog barks at the postman|The neighbour's puppy will not stop barking",
    "cat": "A hungry cat meows at the door|The kitten wants its dinner and meows",
    "clock": "The clock above the shelf ticks|Tick tock goes the grandfather clock",
    "footsteps": "Somebody walks down the corridor|Footsteps come up the stairs",
    "hammer": "A carpenter hammers nails into a board|Somebody knocks on wood with a hammer",
    "speech": "A person talks about the news|Two sentences spoken by a voice",
    "techno": "A club plays techno until sunrise|EDM booming from the loudspeakers",
    "drums": "She plays her drums in the cellar|Somebody beats a drum",
    "piano": "He practises the piano|A tune played on a grand piano",
    "guitar": "She strums an acoustic guitar|A song on the guitar",
    "flute": "A flutist plays a tune|A lullaby on a wooden flute",
    "organ": "The organ fills the church with chords|A pipe organ plays a hymn",
}
UNKNOWN = (
    *("a bassoon", "a didgeridoo", "zorblax", "the taste of blue", "quantum", "my grandmother's recipe", "42"),
    *("a xylophone solo", "le chien aboie", "justice", "photosynthesis", "frrrp frrrp"),
)
STYLES = {
    "in capitals": str.upper,
    "With Initial Capitals": str.title,
    "with stray punctuation": lambda prompt: f'... "{prompt}" ?!! :-)',
    "with extra spaces": lambda prompt: f"  {prompt.replace(' ', '   ')} ",
}


def _heard(pipe, judge, prompts: list[str], seed: int) -> dict[str, np.ndarray]:
    return verdicts(judge, generate_all(pipe, prompts, seed=seed))[1]


def _classes(pipe, judge, prompts: list[str], seed: int) -> np.ndarray:
    return _heard(pipe, judge, prompts, seed)["sounds"].argmax(1)


def telegram(scene: Scene) -> str:
    """A scene as a list in an order of its own: "Background: rain. Fast. High. Noisy. Dog." """
    behind = f"background: {scene.background}" if scene.background else None
    quality = {"clean": "high quality", "plain": None}.get(scene.quality, scene.quality)
    words = [behind, scene.tempo, scene.pitch, quality, scene.sound]
    return " ".join(f"{word.capitalize()}." for word in words if word and word != "mid")


def paraphrases(pipe, judge) -> dict:
    """Share of unseen sentences whose sound is heard."""
    pairs = [(name, text) for name, texts in PARAPHRASES.items() for text in texts.split("|")] * 2
    heard = _classes(pipe, judge, [text for _, text in pairs], 1_000)
    return share(heard == [CLASSES.index(name) for name, _ in pairs])


def word_order(pipe, judge, count: int = 96) -> dict[str, dict]:
    """Obedience to scenes told as telegrams."""
    rng = np.random.default_rng([TEST_SEED, 201])
    scenes = [replace(draw_scene(rng), second=None) for _ in range(count)]
    return obedience(_heard(pipe, judge, [telegram(s) for s in scenes], 2_000), scenes)


def two_attributes(pipe, judge, count: int = 96) -> dict:
    """Share of clips with pitch *and* tempo as asked, both of them away from the middle."""
    rng = np.random.default_rng([TEST_SEED, 202])
    sounds = [c for c in CLASSES if c in PITCHED and c in TIMED]
    scenes = [
        Scene(sounds[i % len(sounds)], str(rng.choice(["low", "high"])), str(rng.choice(["slow", "fast"])))
        for i in range(count)
    ]
    prompts = [say(s, rng, everything=True) for s in scenes]
    return share(_both_right(_heard(pipe, judge, prompts, 3_000), scenes))


def _both_right(logits: dict[str, np.ndarray], scenes: list[Scene]) -> np.ndarray:
    pitch = [LEVELS[i] for i in logits["pitch"].argmax(1)]
    tempo = [SPEEDS[i] for i in logits["tempo"].argmax(1)]
    return np.array([(p, t) == (s.pitch, s.tempo) for p, t, s in zip(pitch, tempo, scenes, strict=True)])


def two_sounds(pipe, judge, count: int = 96) -> dict[str, dict]:
    """Shares of clips in which the judge's two likeliest sounds are the two asked for, and of them at least one.

    `synthesised` is the first share for such scenes as they were made for the training: what the judge itself can do.
    """
    rng = np.random.default_rng([TEST_SEED, 203])
    front = [c for c in CLASSES if c not in BACKGROUNDS]
    pairs = [rng.choice(front, 2, replace=False) for _ in range(count)]
    scenes = [
        Scene(str(a), "mid" if a in PITCHED else None, "mid" if a in TIMED else None, second=str(b)) for a, b in pairs
    ]
    asked = [{CLASSES.index(a), CLASSES.index(b)} for a, b in pairs]

    def found(logits: dict[str, np.ndarray]) -> np.ndarray:
        top = np.argsort(-logits["sounds"], axis=1)[:, :2]
        return np.array([len(both & set(map(int, pair))) for both, pair in zip(asked, top, strict=True)])

    made = found(_heard(pipe, judge, [say(s, rng) for s in scenes], 4_000))
    real = found(verdicts(judge, real_clips(scenes, 2.56, TEST_SEED + 4))[1])
    return {"both": share(made == 2), "at least one": share(made >= 1), "synthesised": share(real == 2)}


def styles(pipe, judge) -> dict[str, dict]:
    """Share of clips in which the sound is heard, for the same prompts and seeds in other dress."""
    prompts = [f"the sound of {name}" for name in CLASSES] * 2
    wanted = np.tile(np.arange(len(CLASSES)), 2)
    dressed = {"as it is": prompts} | {name: [dress(p) for p in prompts] for name, dress in STYLES.items()}
    return {name: share(_classes(pipe, judge, texts, 5_000) == wanted) for name, texts in dressed.items()}


def nonsense(pipe, judge, prompts: list[str]) -> dict:
    """What is heard for prompts without a known sound: how often the judge is sure (over 0.5), and of what."""
    waves = generate_all(pipe, prompts, seed=6_000)
    logits = verdicts(judge, waves)[1]["sounds"]
    sure = logits.max(1) > 0
    likeliest = Counter(CLASSES[i] for i in logits.argmax(1)[sure])
    return {
        "sure": share(sure),
        "heard": dict(likeliest.most_common(3)),
        "sound": share(np.array([bool(np.isfinite(w).all() and np.abs(w).max() > 1e-3) for w in waves])),
    }


def robustness(pipe, judge) -> dict:
    """All of it, as plain numbers."""
    return {
        "paraphrases": paraphrases(pipe, judge),
        "word order": word_order(pipe, judge),
        "two attributes": two_attributes(pipe, judge),
        "two sounds": two_sounds(pipe, judge),
        "styles": styles(pipe, judge),
        "unknown words": nonsense(pipe, judge, [*UNKNOWN] * 4),
        "empty prompt": nonsense(pipe, judge, [""] * 48),
    }
