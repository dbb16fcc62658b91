"""A generated sound with the settings that made it.

Explained in lesson 01 (`notebooks/01_first_sound.ipynb`).
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .features import SAMPLE_RATE


@dataclass(frozen=True, repr=False, eq=False)
class Clip:
    """A mono sound, how it was made, and how long that took.

    Attributes:
        waveform: float32 array of shape (samples,), nominally in -1...1.
        sample_rate: Hz.
        settings: what `generate` was given: checkpoint, prompt, negative_prompt, num_inference_steps,
            audio_length_in_s, guidance_scale, seed, scheduler, dtype. Empty for a sound from elsewhere.
        seconds: the time that generating it took.

    Explained in lesson 01.
    """

    waveform: np.ndarray
    sample_rate: int = SAMPLE_RATE
    settings: dict = field(default_factory=dict)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        waveform = np.asarray(self.waveform, dtype=np.float32)
        if waveform.ndim != 1 or not waveform.size:
            raise ValueError(f"A clip's waveform has the shape (samples,), at least one sample, not {waveform.shape}.")
        object.__setattr__(self, "waveform", waveform)

    @property
    def duration(self) -> float:
        """Seconds of sound."""
        return len(self.waveform) / self.sample_rate

    @property
    def peak(self) -> float:
        """The largest absolute sample."""
        return float(np.abs(self.waveform).max())

    @property
    def facts(self) -> str:
        """The settings in one line, without the prompt: 'mini-s-v2, 10 steps, guidance 2.5, seed 0'."""
        s, parts = self.settings, []
        if s.get("negative_prompt"):
            parts.append(f'without "{shorten(s["negative_prompt"])}"')
        for name, text in {
            "checkpoint": "{}",
            "num_inference_steps": "{} steps",
            "guidance_scale": "guidance {:g}",
            "seed": "seed {}",
        }.items():
            if s.get(name) is not None:
                parts.append(text.format(s[name]))
        return ", ".join(parts)

    def wav(self) -> bytes:
        """A 16-bit PCM WAV file, samples beyond -1...1 clipped; raises ValueError for NaN or infinite samples.

        Explained in lesson 01.
        """
        import soundfile

        if not np.isfinite(self.waveform).all():
            raise ValueError("The clip cannot be saved: its waveform has NaN or infinite samples.")
        samples = np.round(self.waveform.clip(-1, 1) * 32767).astype(np.int16)
        file = io.BytesIO()
        soundfile.write(file, samples, self.sample_rate, format="WAV", subtype="PCM_16")
        return file.getvalue()

    def save(self, path: str | Path) -> Path:
        """Write it as a WAV file (see `wav`), which is either complete or not there; return its path.

        Missing folders are made.

        Raises:
            ValueError: the waveform has NaN or infinite samples, or the name does not end in .wav.
            OSError: the file cannot be written there.

        Explained in lesson 01.
        """
        path = Path(path)
        if path.suffix.lower() != ".wav":
            raise ValueError(f"A clip is saved as WAV: the file name must end in .wav, not {path.name!r}.")
        return write_whole(path, self.wav())

    def __repr__(self) -> str:
        prompt = self.settings.get("prompt")
        parts = [f"{self.duration:.2f} s at {self.sample_rate / 1000:g} kHz", f"peak {self.peak:.2f}"]
        parts += [f'"{shorten(prompt)}"'] if prompt else []
        parts += [self.facts] if self.facts else []
        return f"Clip: {', '.join(parts)}."

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        from .player import player

        return {"text/plain": repr(self), "text/html": player([self])}


@dataclass(frozen=True, repr=False)
class Comparison:
    """Clips side by side, as `compare` gives them."""

    clips: Sequence[Clip]
    labels: Sequence[str]
    columns: int | None = None

    def __repr__(self) -> str:
        return "\n".join(f"{label}: {clip!r}" for label, clip in zip(self.labels, self.clips, strict=True))

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        from .player import player

        return {"text/plain": repr(self), "text/html": player(self.clips, self.labels, self.columns)}


def compare(clips: Sequence[Clip], labels: Sequence[str] | None = None, columns: int | None = None) -> Comparison:
    """Players side by side, on one time, frequency and loudness scale; starting one stops the others.

    Loudness is as generated: nothing is normalised (`IPython.display.Audio` does that by default, which hides
    differences in level).

    Args:
        clips: what to compare.
        labels: one for each clip; otherwise A, B, C...
        columns: players in a row; otherwise as many as fit.

    Explained in lesson 01.
    """
    clips = list(clips)
    if not clips:
        raise ValueError("There is nothing to compare: clips is empty.")
    labels = [_letter(i) for i in range(len(clips))] if labels is None else [str(label) for label in labels]
    if len(labels) != len(clips):
        raise ValueError(f"{len(labels)} labels for {len(clips)} clips: give one for each.")
    if columns is not None and not (isinstance(columns, int) and columns >= 1):
        raise ValueError(f"columns must be a whole number of at least 1, not {columns!r}.")
    return Comparison(clips, labels, columns)


def _letter(index: int) -> str:
    return ("" if index < 26 else _letter(index // 26 - 1)) + chr(ord("A") + index % 26)


def shorten(text: str, width: int = 70) -> str:
    """One printable line of at most `width` characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= width else line[: width - 1] + "…"


def write_whole(path: Path, data: bytes) -> Path:
    """Write a file that is either complete or not there, and its folders; an OSError of one sentence says why not."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(data)
        os.replace(unfinished, path)
    except OSError as error:
        raise type(error)(error.errno, f"Cannot write the file: {error.strerror}", str(path)) from None
    finally:
        with suppress(OSError):
            unfinished.unlink()
    return path
