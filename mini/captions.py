"""What the mini family reads: scenes drawn at random, and the many ways to say each of them.

A caption says the sound always, the quality unless it is plain, the background always, pitch and tempo mostly: what
is not said is usually "mid".
"""

from __future__ import annotations

import re

import numpy as np

from .sounds import BACKGROUNDS, CLASSES, PITCHED, TEXTURES, TIMED, Scene

Rng = np.random.Generator

CARD_PROMPT = "Techno music with a strong, upbeat tempo and high melodic riffs"  # the model card's own example

# "A|B" are ways to say the sound: noun phrases first, then what a sentence may add to the noun
NOUNS = {
    "rain": "rain|rain falling|rainfall|heavy rain|a rain shower|raindrops|rain on a roof|pouring rain|"
    "a downpour|drizzle",
    "wind": "wind|wind blowing|strong wind|a gust of wind|howling wind|a breeze|wind noise|a windy day",
    "waves": "waves|ocean waves|sea waves|waves crashing|the sea|the ocean|surf|waves on a beach|"
    "waves breaking on the shore",
    "stream": "stream|a water stream|a stream of water|flowing water|a creek|a brook|a small river|running water|"
    "bubbling water|water flowing|a babbling brook|water",
    "thunder": "thunder|a thunderstorm|a clap of thunder|rolling thunder|a thunder strike|a storm|lightning",
    "applause": "applause|people clapping|a crowd applauding|an audience clapping|hands clapping|clapping|"
    "a cheering crowd",
    "engine": "engine|a car engine|an engine running|a motor|a motor humming|an engine idling|a truck|"
    "a machine running|"
    "a car|a vehicle|a tractor|a motorcycle",
    "helicopter": "helicopter|a helicopter flying|a chopper|helicopter blades|rotor blades|"
    "a helicopter overhead|a propeller",
    "siren": "siren|a siren wailing|an ambulance siren|a police siren|a fire truck siren|an emergency siren|"
    "an ambulance",
    "alarm": "alarm|an alarm beeping|an alarm clock|beeps|a smoke alarm|a beeping alarm|a car alarm|beeping|"
    "an electronic beep",
    "bell": "bell|a bell ringing|church bells|a church bell|a bell tolling|bells|a bell chime|chimes|ringing bells",
    "birds": "birds|birds singing|a bird|a bird chirping|birds chirping|birdsong|a singing bird|tweeting birds|"
    "a sparrow",
    "dog": "dog|a dog|a dog barking|a barking dog|dogs barking|dog barks|a puppy barking|barking|a hound",
    "cat": "cat|a cat|a cat meowing|a meowing cat|a kitten|a kitten meowing|meowing|a cat crying",
    "clock": "clock|a clock ticking|a ticking clock|ticking|a wall clock|a watch ticking|clock ticks|"
    "a grandfather clock",
    "footsteps": "footsteps|someone walking|a person walking|steps|walking|footsteps on a floor|people walking|"
    "footsteps on gravel",
    "hammer": "hammer|a hammer|hammering|a hammer hitting a wooden surface|hammer blows|a hammer hitting a nail|"
    "someone hammering|knocking on wood",
    "speech": "speech|a person speaking|someone talking|a voice|a person talking|spoken words|talking|a voice speaking",
    "techno": "techno|techno music|electronic music|dance music|a techno track|electronic dance music|a techno beat|"
    "club music|techno music with a strong beat|music with melodic riffs|techno with melodic riffs|edm",
    "drums": "drums|a drum|drumming|a drum kit|a drum beat|a drummer|drums playing|percussion|a drum solo",
    "piano": "piano|a piano|piano music|a piano playing|a piano melody|someone playing the piano|piano notes|"
    "a grand piano",
    "guitar": "guitar|a guitar|guitar music|an acoustic guitar|a guitar playing|someone playing the guitar|"
    "a plucked guitar|"
    "guitar strings",
    "flute": "flute|a flute|flute music|a flute playing|a flute melody|someone playing the flute|a flutist|"
    "a wooden flute",
    "organ": "organ|an organ|organ music|a church organ|a pipe organ|an organ playing|organ chords|"
    "someone playing the organ",
}
SPEAKERS = {  # who speaks says how high
    "low": "a man speaking|a man talking|a male voice|a man|a man giving a speech|male speech|a deep male voice",
    "high": "a woman speaking|a woman talking|a female voice|a woman|a girl speaking|female speech|"
    "a child speaking|a kid talking",
}
PITCH_WORDS = {
    "low": "low|deep|low-pitched|low pitched|low pitch|bass|very low|very deep",
    "mid": "medium-pitched|mid-pitched|medium pitch|middle",
    "high": "high|high-pitched|high pitched|shrill|high pitch|very high|piercing|treble",
}
PITCH_TAILS = {
    "low": "with a low pitch|at a low pitch|in a low register|with low notes|with deep tones|and low",
    "mid": "with a medium pitch|in the middle register",
    "high": "with a high pitch|at a high pitch|in a high register|with high notes|with high tones|and high",
}
TEMPO_WORDS = {
    "slow": "slow|slowly|slow-paced|calm|lazy|relaxed|very slow|unhurried|leisurely",
    "mid": "moderate|medium-tempo|medium speed|steady",
    "fast": "fast|quick|rapid|fast-paced|upbeat|hurried|very fast|lively|energetic|speedy",
}
TEMPO_TAILS = {
    "slow": "at a slow tempo|with a slow tempo|slowly|at a slow pace|with a slow rhythm|at low speed",
    "mid": "at a moderate tempo|with a medium tempo|at a medium pace",
    "fast": "at a fast tempo|with a fast tempo|quickly|with an upbeat tempo|rapidly|at a fast pace|at high speed|"
    "with a strong, upbeat tempo|with a fast rhythm|in quick succession|with a strong, fast beat",
}
BOTH_TAILS = {
    (
        "high",
        "fast",
    ): "with a strong, upbeat tempo and high melodic riffs|with a fast tempo and high notes|high and fast",
    ("low", "slow"): "with a slow tempo and low notes|with a calm tempo and deep tones|low and slow",
    ("low", "fast"): "with an upbeat tempo and low melodic riffs|with a fast tempo and low notes|low and fast",
    ("high", "slow"): "with a slow tempo and high melodic riffs|with a slow tempo and high notes|high and slow",
}
QUALITY_WORDS = {
    "clean": "high quality|clear|clean|high-quality|crystal clear|crisp|high fidelity|hi-fi|studio quality|"
    "very clear|"
    "best quality|good quality|noiseless",
    "noisy": "low quality|noisy|low-quality|poor quality|bad quality|hissy|very noisy|average quality|worst quality|"
    "static|grainy|distorted|with a lot of noise",
    "muffled": "muffled|dull|muted|muffled and distant|heard through a wall|behind a wall|underwater|stifled",
}
BACKGROUND_TAILS = {
    "rain": "in the rain|with rain in the background|while it rains|on a rainy day|and rain|over the sound of rain|"
    "as rain falls|during a rain shower|in a rainy street|with rain",
    "wind": "in the wind|with wind in the background|on a windy day|and wind blowing|while the wind blows|"
    "in a windy place|"
    "with strong wind|and wind|with wind",
    "birds": "in a forest|with birds in the background|while birds sing|in a garden|and birds chirping|in the woods|"
    "with birds singing|in the park|and birds|in the forest|with birds|in nature",
    "waves": "at the beach|by the sea|with waves in the background|near the ocean|and ocean waves|on the shore|"
    "at the seaside|and waves|with waves|by the ocean",
}
OPENINGS = (
    "|||||the sound of |a recording of |sound of |audio of |i hear |this is |we hear |an audio clip of |"
    "listen to |the noise of "
)
FILLERS = (
    "beautiful big small old new red green strange nice funny loud quiet strong wooden metal real little great loud "
    "in the city|in a room|outside|at night|in the morning|in the street|in a house|far away|nearby|again and again|"
    "for a while|on a sunday|in the kitchen|of my friend|in the distance|in space|on stage|in 1998|please"
)
CONTEXTS = FILLERS.split("|")[1:]
ADJECTIVES = FILLERS.split("|")[0].split()


def _pick(rng: Rng, ways: str) -> str:
    options = ways.split("|")
    return options[int(rng.integers(len(options)))]


def draw_scene(rng: Rng) -> Scene:
    """A random scene; techno, which everybody plays first, three times as often as the others."""
    weights = np.array([3.0 if c == "techno" else 1.0 for c in CLASSES])
    sound = str(rng.choice(CLASSES, p=weights / weights.sum()))
    pitch = str(rng.choice(["low", "mid", "high"])) if sound in PITCHED else None
    tempo = str(rng.choice(["slow", "mid", "fast"])) if sound in TIMED else None
    quality = str(rng.choice(["plain", "clean", "noisy", "muffled"], p=[0.48, 0.22, 0.2, 0.1]))
    background, second = None, None
    if rng.random() < 0.28:
        choices = ("birds",) if sound in TEXTURES else [b for b in BACKGROUNDS if b != sound]
        background = str(rng.choice(choices))
    elif rng.random() < 0.06 and sound not in BACKGROUNDS:
        second = str(rng.choice([c for c in CLASSES if c not in (sound, *BACKGROUNDS)]))
        pitch, tempo = pitch and "mid", tempo and "mid"
    return Scene(sound, pitch, tempo, quality, background, second)


def _noun(rng: Rng, sound: str, pitch: str | None) -> tuple[str, str | None]:
    """A way to say the sound, and the pitch that is left to say."""
    if sound == "speech" and pitch in SPEAKERS and rng.random() < 0.75:
        return _pick(rng, SPEAKERS[pitch]), pitch if rng.random() < 0.3 else None
    return _pick(rng, NOUNS[sound]), pitch


def _with_adjectives(rng: Rng, noun: str, adjectives: list[str]) -> str:
    """Adjectives before the noun, behind its article: "a" + "fast" + "dog barking"."""
    if not adjectives:
        return noun
    rng.shuffle(adjectives)
    words = _pick(rng, ", | | ").join(adjectives)
    article = re.match(r"(a|an|the) ", noun)
    if not article:
        return f"{words} {noun}"
    return f"{'a' if words[0] not in 'aeiou' else 'an'} {words} {noun[article.end() :]}"


def say(scene: Scene, rng: Rng, everything: bool = False) -> str:
    """One of the many captions of a scene; with `everything`, it leaves out neither pitch nor tempo."""
    pitch = scene.pitch if everything or rng.random() < (0.15 if scene.pitch == "mid" else 0.75) else None
    tempo = scene.tempo if everything or rng.random() < (0.15 if scene.tempo == "mid" else 0.75) else None
    if scene.second:
        pitch = tempo = None
    if scene.sound == "speech" and scene.pitch in SPEAKERS:
        pitch = scene.pitch
    noun, pitch = _noun(rng, scene.sound, pitch)
    adjectives, tails = [], []
    if (pitch, tempo) in BOTH_TAILS and rng.random() < 0.3:
        tails.append(_pick(rng, BOTH_TAILS[pitch, tempo]))
        pitch = tempo = None
    if pitch:
        if rng.random() < 0.65:
            adjectives.append(_pick(rng, PITCH_WORDS[pitch]))
        else:
            tails.append(_pick(rng, PITCH_TAILS[pitch]))
    if tempo:
        if rng.random() < 0.6:
            adjectives.append(_pick(rng, TEMPO_WORDS[tempo]))
        else:
            tails.append(_pick(rng, TEMPO_TAILS[tempo]))
    if rng.random() < 0.12:
        adjectives.append(str(rng.choice(ADJECTIVES)))
    if rng.random() < 0.1:
        tails.append(str(rng.choice(CONTEXTS)))
    if scene.second:
        other = _noun(rng, scene.second, None)[0]
        tails.append(_pick(rng, "and |with |together with |and also |followed by ") + other)
    if scene.background:
        tails.append(_pick(rng, BACKGROUND_TAILS[scene.background]))
    quality = _pick(rng, QUALITY_WORDS[scene.quality]) if scene.quality in QUALITY_WORDS else ""
    if quality and rng.random() < 0.3 and not quality.startswith(("with", "heard", "behind")):
        adjectives.append(quality)
        quality = ""
    return _assemble(rng, _with_adjectives(rng, noun, adjectives), tails, quality)


def _assemble(rng: Rng, phrase: str, tails: list[str], quality: str) -> str:
    rng.shuffle(tails)
    kind = rng.random()
    if kind < 0.12:  # keywords, in any order
        parts = [phrase, *tails] + ([quality] if quality else [])
        rng.shuffle(parts)
        caption = ", ".join(parts)
    elif kind < 0.22 and tails:  # the context first
        caption = f"{tails[0]}, {' '.join([phrase, *tails[1:]])}" + (f", {quality}" if quality else "")
    else:
        caption = _pick(rng, OPENINGS) + " ".join([phrase, *tails])
        if quality:
            order = _pick(rng, "Q, C|C, Q|Q C|C, Q recording|Q recording of C|Q audio, C|a Q recording of C|C Q")
            caption = order.replace("Q", quality, 1).replace("C", caption, 1)
    return _dress(rng, caption)


def _dress(rng: Rng, caption: str) -> str:
    """Capital letters, full stops, a lost word, a made-up word: what people type."""
    words = caption.split(" ")
    if rng.random() < 0.08:
        words.insert(int(rng.integers(len(words) + 1)), _unknown_word(rng))
    caption = " ".join(words)
    if rng.random() < 0.1:
        caption = re.sub(r"\b(a|an|the) ", "", caption)
    style = rng.random()
    if style < 0.45:
        caption = caption[:1].upper() + caption[1:]
    elif style < 0.5:
        caption = caption.upper()
    elif style < 0.54:
        caption = caption.title()
    return caption + (_pick(rng, ".|!|...") if rng.random() < 0.2 else "")


def _unknown_word(rng: Rng) -> str:
    letters = "".join(
        rng.choice(list("bcdfgklmnprstvz")) + rng.choice(list("aeiou")) for _ in range(rng.integers(1, 4))
    )
    return letters + str(rng.choice(["", "n", "x", "st"]))


def say_nothing(rng: Rng, quality: str = "plain") -> str:
    """A caption without a sound: empty, or about quality only ("low quality")."""
    if quality not in QUALITY_WORDS:
        return ""
    words = _pick(rng, QUALITY_WORDS[quality])
    return _dress(rng, words + _pick(rng, "||| audio| sound| recording|, " + _pick(rng, QUALITY_WORDS[quality])))


def draw_caption(rng: Rng) -> tuple[str, Scene | None]:
    """A random caption with its scene; one in twelve is about no sound: its scene is None, or has the quality only."""
    if rng.random() < 1 / 12:
        quality = str(rng.choice(["plain", "clean", "noisy", "muffled"], p=[0.25, 0.25, 0.35, 0.15]))
        return say_nothing(rng, quality), Scene("", quality=quality)
    scene = draw_scene(rng)
    if scene == Scene("techno", "high", "fast") and rng.random() < 0.15:
        return CARD_PROMPT, scene
    return say(scene, rng), scene
