"""Store a sound with the settings that made it; load, cut, compare and save it.

Explained in lesson 01 (`notebooks/01_first_sound.ipynb`).
"""

from __future__ import annotations

import os
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .checks import as_list, check_float, check_int, shorten, write_whole
from .features import SAMPLE_RATE
from .player import mime_bundle
from .soundfiles import LONGEST, decode, encode_wav, read_file, scaled

SILENCE = 1e-3  # a peak below this, -60 dB, is not heard
FACTS = {"checkpoint": "{}", "num_inference_steps": "{} steps", "guidance_scale": "guidance {:g}", "seed": "seed {}"}
BESIDE = ("latents", "prompt_embeds", "callback", "adapters")  # settings beside the plain call's


@dataclass(frozen=True, repr=False, eq=False)
class Clip:
    """A mono sound, how it was made, and how long that took.

    Attributes:
        waveform: float32 array of shape (samples,), nominally in -1...1; a copy of what was given. The integers of
            sound files are scaled to that range: 8 to 32 bits, signed or not.
        sample_rate: Hz, a whole number from 1,000 to 768,000.
        settings: the checkpoint, scheduler and dtype, and the arguments of `generate`: prompt, negative_prompt,
            num_inference_steps, audio_length_in_s, guidance_scale, seed; of a recording `{"file": name}`.
        seconds: the time that generating it took; the length of the sound is `duration`.

    Raises TypeError or ValueError for samples of another type, shape or rate.
    """

    waveform: np.ndarray
    sample_rate: int = SAMPLE_RATE
    settings: dict = field(default_factory=dict)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        waveform = scaled(np.asarray(self.waveform))
        if waveform.ndim != 1 or not waveform.size:
            raise ValueError(f"A clip's waveform has the shape (samples,), at least one sample, not {waveform.shape}.")
        vars(self).update(waveform=waveform, sample_rate=_rate(self.sample_rate), settings=dict(self.settings))

    @classmethod
    def load(cls, file: str | os.PathLike | bytes | BinaryIO) -> Clip:
        """Load a recording as 16 kHz, mono, float32; `settings["file"]` is its name.

        Args:
            file: a path, a file opened with "rb" (read from its beginning), or the bytes of one (an upload). WAV, FLAC,
                OGG, MP3 and AIFF at any rate, with any number of channels (they are averaged, unless they cancel), up
                to 600 s; where PyAV or ffmpeg is installed, M4A, AAC, WebM and 3GP, too.

        Raises:
            OSError: there is no such file, or it cannot be read.
            TypeError: it is no path, bytes or binary file.
            ValueError: it is no sound that can be read here, has no samples, is too long, or has NaN samples.

        Explained in lesson 07.
        """
        data, name = read_file(file)
        return cls(decode(data, name), SAMPLE_RATE, {"file": name})

    def piece(self, audio_length_in_s: float, start: float | None = None) -> Clip:
        """Cut a piece of exactly this length in s, padded with silence where the clip is shorter.

        `start` in s; None begins where the sound does: 35 dB below the loudest. Raises ValueError for a silent piece, a
        length over 600 s, or a start outside of the clip.
        Source: `librosa.effects.trim`. Explained in lesson 07.
        """
        from librosa.effects import trim

        length = check_float("audio_length_in_s", audio_length_in_s, 1 / self.sample_rate, LONGEST)
        count, offset = round(length * self.sample_rate), np.median(self.waveform)  # a constant is not heard
        if start is None:
            _, (first, _) = trim(self.waveform - offset, top_db=35, frame_length=512, hop_length=128)
        else:
            first = round(check_float("start", start, 0, self.duration) * self.sample_rate)
        cut = self.waveform[first : first + count]
        if not np.abs(cut - offset).max(initial=0) >= SILENCE:
            raise ValueError(f"{self.title or 'The clip'} is silent there.")
        return Clip(np.pad(cut, (0, count - len(cut))), self.sample_rate, self.settings, self.seconds)

    def resampled(self, rate: int = SAMPLE_RATE) -> Clip:
        """Return the clip at another rate in Hz, itself at its own. Source: `librosa.resample`, soxr's high quality."""
        if (rate := _rate(rate)) == self.sample_rate:
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
        """The prompt, or the name of the file, or nothing."""
        return str(self.settings.get("prompt") or self.settings.get("file") or "")

    @property
    def facts(self) -> str:
        """The settings in one line, without the prompt: 'mini-s-v2, 10 steps, guidance 2.5, seed 0'.

        Arguments beside the plain call's are named, as the clip cannot be made from its settings alone.
        """
        s = self.settings
        parts = [f'without "{shorten(s["negative_prompt"])}"'] if s.get("negative_prompt") else []
        parts += [text.format(s[name]) for name, text in FACTS.items() if s.get(name) is not None]
        beside = [name if s[name] is True else shorten(f"{name} {s[name]}") for name in BESIDE if name in s]
        return ", ".join(parts + [f"with {' and '.join(beside)}"] * bool(beside))

    def wav(self) -> bytes:
        """Return a 16-bit PCM WAV file, samples beyond -1...1 clipped; raises ValueError for NaN or infinite samples.

        Its tags hold the title and, of a sound that a model made, the settings and `trainedAlgorithmicMedia`.
        """
        if not np.isfinite(self.waveform).all():
            raise ValueError("The clip cannot be saved: its waveform has NaN or infinite samples.")
        return encode_wav(self.waveform, self.sample_rate, self.title, self.settings)

    def save(self, path: str | Path) -> Path:
        """Write it as a WAV file (see `wav`), which is either complete or not there; return its path.

        Missing folders are made.

        Raises:
            ValueError: the waveform has NaN or infinite samples, or the name does not end in .wav.
            OSError: the file cannot be written there.
        """
        path = Path(path)
        if path.suffix.lower() != ".wav":
            raise ValueError(f"A clip is saved as WAV: the file name must end in .wav, not {path.name!r}.")
        return write_whole(path, self.wav())

    def __repr__(self) -> str:
        sound = f"{self.duration:.2f} s at {self.sample_rate / 1000:g} kHz, peak {self.peak:.2f}"
        title = self.title and f'"{shorten(self.title)}"'
        return f"Clip: {', '.join(filter(None, [sound, title, self.facts]))}."

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return {"text/plain": repr(self), **mime_bundle([self])}


@dataclass(frozen=True, repr=False)
class Comparison:
    """Clips side by side, as `compare` gives them."""

    clips: Sequence[Clip]
    labels: Sequence[str]
    columns: int | None = None

    def __repr__(self) -> str:
        return "\n".join(f"{label}: {clip!r}" for label, clip in zip(self.labels, self.clips, strict=True))

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return {"text/plain": repr(self), **mime_bundle(self.clips, self.labels, self.columns)}


def check_clip(taker: str, clip: object) -> Clip:
    """Return the clip; TypeError for anything else, such as a list of clips."""
    if not isinstance(clip, Clip):
        raise TypeError(f"{taker} takes one Clip at a time, not {reprlib.repr(clip)}.")
    return clip


def check_clips(taker: str, clips: object) -> list[Clip]:
    """Return one clip or several as a list; TypeError for anything else, ValueError for none."""
    clips = as_list("clips", clips)
    if not all(isinstance(clip, Clip) for clip in clips):
        raise TypeError(f"{taker} takes clips, not {reprlib.repr(clips)}.")
    return clips


def compare(
    clips: Clip | Sequence[Clip], labels: Sequence[str] | None = None, columns: int | None = None
) -> Comparison:
    """Show players side by side, on one time, frequency and loudness scale; starting one stops the others.

    Loudness is as generated: nothing is normalised (`IPython.display.Audio` does that by default, which hides
    differences in level).

    Args:
        clips: one or more.
        labels: one for each clip; otherwise A, B, C...
        columns: players in a row; otherwise as many as fit.

    Raises TypeError or ValueError for no clips, or other counts.
    """
    clips = check_clips("compare", clips)
    labels = [_letter(i) for i in range(len(clips))] if labels is None else [str(label) for label in labels]
    if len(labels) != len(clips):
        raise ValueError(f"{len(labels)} labels for {len(clips)} clips: give one for each.")
    return Comparison(clips, labels, None if columns is None else check_int("columns", columns, 1, 100))


def load_folder(folder: str | os.PathLike, audio_length_in_s: float | None = None, at_least: int = 1) -> list[Clip]:
    """Load all sounds of a folder in the order of their names; print one line with the files left out, and why.

    Args:
        folder: where the recordings are; folders in it are left out.
        audio_length_in_s: the length in s that `Clip.piece` gives each; None: as they are.
        at_least: how many sounds are needed.

    Raises ValueError where there is no such folder, or it has fewer sounds. Explained in lesson 08.
    """
    place = Path(folder).expanduser()
    if not (folder and place.is_dir()):
        raise ValueError(f"There is no folder {str(folder)!r}: make it, or correct its name.")
    clips, out = [], []
    for file in sorted(place.iterdir()):
        try:
            if not file.is_file():  # a folder, a link to nothing, or a pipe, which would be waited for
                raise ValueError(f"{file.name} is no file.")
            clip = Clip.load(file)
            clips.append(clip if audio_length_in_s is None else clip.piece(audio_length_in_s))
        except (OSError, ValueError) as error:
            out.append(str(error).rstrip("."))
    left_out = f"Left out: {'; '.join(out)}." if out else ""
    if len(clips) < at_least:
        raise ValueError(f"{len(clips)} sounds in {str(folder)!r}, at least {at_least} needed. {left_out}".strip())
    if left_out:
        print(left_out)
    return clips


def _rate(rate: object) -> int:
    """Return a sample rate in Hz as an int; 16000.0 is one, too. Raises as `check_int` does."""
    rate = int(rate) if isinstance(rate, (float, np.floating)) and float(rate).is_integer() else rate
    return check_int("sample_rate", rate, 1000, 768_000)


def _letter(index: int) -> str:
    return ("" if index < 26 else _letter(index // 26 - 1)) + chr(ord("A") + index % 26)
