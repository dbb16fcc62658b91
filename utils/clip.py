"""A generated sound with the settings that made it.

Explained in lesson 01 (`notebooks/01_first_sound.ipynb`).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .checks import warn, whole
from .features import N_FFT, SAMPLE_RATE
from .files import shorten, write_whole
from .player import shown

LONGEST_FILE = 600.0  # seconds of a recording
LOUD = 100.0  # a float sample beyond is rather an integer that nobody scaled


@dataclass(frozen=True, repr=False, eq=False)
class Clip:
    """A mono sound, how it was made, and how long that took.

    Attributes:
        waveform: float32 array of shape (samples,), nominally in -1...1; a copy of what was given. The integers of
            sound files are scaled to that range: 8 to 32 bits, signed or not.
        sample_rate: Hz, a whole number from 1,000 to 768,000.
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
        waveform = _scaled(np.asarray(self.waveform))
        if waveform.ndim != 1 or not waveform.size:
            raise ValueError(f"A clip's waveform has the shape (samples,), at least one sample, not {waveform.shape}.")
        rate = self.sample_rate
        rate = int(rate) if isinstance(rate, (float, np.floating)) and float(rate).is_integer() else rate
        object.__setattr__(self, "waveform", waveform)
        object.__setattr__(self, "sample_rate", whole("sample_rate", rate, 1000, 768_000))

    @classmethod
    def load(cls, file: str | Path | bytes | BinaryIO) -> Clip:
        """A recording as AudioLDM hears it: 16 kHz, mono, float32; `settings["file"]` is its name.

        Args:
            file: a path, an open file, or the bytes of one (an upload): all that libsndfile reads, such as WAV, FLAC,
                OGG, MP3 and AIFF, at any rate, with any number of channels (they are averaged), 0.064 to 600 s long.

        Raises:
            OSError: there is no such file, or it cannot be read.
            ValueError: it is no sound that libsndfile knows, it is empty, too short or too long, or has NaN samples.

        Explained in lesson 07.
        """
        import soundfile

        if isinstance(file, (bytes, bytearray, memoryview)):
            file, name = io.BytesIO(file), "the upload"
        elif isinstance(file, (str, Path)):
            file = Path(file).expanduser()
            name = file.name
            try:
                file = io.BytesIO(file.read_bytes())
            except OSError as error:
                raise type(error)(error.errno, f"The recording cannot be read: {error.strerror}", str(file)) from None
        else:
            name = Path(str(getattr(file, "name", "the file"))).name
        try:
            with soundfile.SoundFile(file) as sound:
                rate, seconds = sound.samplerate, sound.frames / sound.samplerate
                samples = sound.read(dtype="float32", always_2d=True) if seconds <= LONGEST_FILE else None
        except (soundfile.LibsndfileError, TypeError, ValueError):
            kinds = "WAV, FLAC, OGG, MP3 or AIFF"
            raise ValueError(f"{name} is no sound that can be read: save it as {kinds}, and load that.") from None
        if samples is None:
            raise ValueError(f"{name} lasts {seconds:,.0f} s: cut it to at most {LONGEST_FILE:.0f} s.")
        seconds, least = len(samples) / rate, N_FFT / SAMPLE_RATE
        if seconds < least:
            raise ValueError(f"{name} lasts {1000 * seconds:.0f} ms: at least {1000 * least:.0f} are needed.")
        if not np.isfinite(samples).all():
            raise ValueError(f"{name} has NaN or infinite samples: it is damaged.")
        return cls(samples.mean(axis=1), rate, {"file": name}).resampled()

    def resampled(self, rate: int = SAMPLE_RATE) -> Clip:
        """The clip at another sample rate in Hz (itself, if it has that one). Explained in lesson 07.

        Source: `librosa.resample`, soxr's high quality.
        """
        if rate == self.sample_rate:
            return self
        from librosa import resample

        waveform = resample(self.waveform, orig_sr=self.sample_rate, target_sr=rate)
        return Clip(waveform, rate, self.settings, self.seconds)

    @property
    def duration(self) -> float:
        """Seconds of sound."""
        return len(self.waveform) / self.sample_rate

    @property
    def peak(self) -> float:
        """The largest absolute sample."""
        return float(np.abs(self.waveform).max())

    @property
    def title(self) -> str:
        """What it is called: its prompt, or the name of its file."""
        return self.settings.get("prompt") or self.settings.get("file") or ""

    @property
    def facts(self) -> str:
        """The settings in one line, without the prompt: 'mini-s-v2, 10 steps, guidance 2.5, seed 0'."""
        s = self.settings
        parts = [f'without "{shorten(s["negative_prompt"])}"'] if s.get("negative_prompt") else []
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
        parts = [f"{self.duration:.2f} s at {self.sample_rate / 1000:g} kHz", f"peak {self.peak:.2f}"]
        parts += [f'"{shorten(self.title)}"'] if self.title else []
        parts += [self.facts] if self.facts else []
        return f"Clip: {', '.join(parts)}."

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return {"text/plain": repr(self), **shown([self])}


@dataclass(frozen=True, repr=False)
class Comparison:
    """Clips side by side, as `compare` gives them."""

    clips: Sequence[Clip]
    labels: Sequence[str]
    columns: int | None = None

    def __repr__(self) -> str:
        return "\n".join(f"{label}: {clip!r}" for label, clip in zip(self.labels, self.clips, strict=True))

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return {"text/plain": repr(self), **shown(self.clips, self.labels, self.columns)}


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


def _scaled(samples: np.ndarray) -> np.ndarray:
    """A copy of samples of any type that sound files have, as contiguous float32 in -1...1."""
    kind, size = samples.dtype.kind, samples.dtype.itemsize
    if kind == "f":
        scaled = np.array(samples, dtype=np.float32, order="C")
        if scaled.size and np.abs(scaled[np.isfinite(scaled)]).max(initial=0) > LOUD:
            warn(f"A sample beyond {LOUD:g}, where full scale is 1: were integers not scaled?")
        return scaled
    if kind in "iu" and size <= 4:
        half = 2.0 ** (8 * size - 1)
        return np.ascontiguousarray((samples.astype(np.float64) - (half if kind == "u" else 0)) / half, np.float32)
    raise TypeError(
        f"Samples are floats in -1...1, or integers of 8 to 32 bits as sound files have, not {samples.dtype}."
    )
