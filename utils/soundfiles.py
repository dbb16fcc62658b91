"""Read sound files of any kind to their last sample, even where the header claims another length; write tagged WAV.

Explained in lesson 07 (`notebooks/07_edit_sounds.ipynb`).
"""

from __future__ import annotations

import importlib.util
import io
import itertools
import json
import os
import re
import shutil
import struct
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .checks import shorten, warn
from .features import SAMPLE_RATE

LONGEST = 600.0  # seconds of a recording
BLOCK = 1152  # frames per read: those before a damaged block are kept
BEGINS = re.compile(rb"OggS\x00\x02|fLaC\0\0\0\x22|RIFF.{4}WAVE|ID3[\2-\4]\0", re.DOTALL)  # again: files were joined
MEDIA = re.compile(rb".{4}ftyp|\x1aE\xdf\xa3|\xff[\xf1\xf9]|#!AMR|0&\xb2u", re.DOTALL)  # M4A, WebM, AAC, AMR, WMA
UNSCALED_ABOVE = 100.0  # larger float samples are almost certainly unscaled integers
IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
Sound = tuple[np.ndarray, int]  # samples of shape (frames, channels), and their rate in Hz


def read_file(file: str | os.PathLike | bytes | BinaryIO) -> tuple[bytes, str]:
    """Return the bytes and the name of a path, an open file (from its beginning) or an upload; see `Clip.load`."""
    if isinstance(file, (bytes, bytearray, memoryview)):
        return bytes(file), "the upload"
    if isinstance(file, (str, os.PathLike)):
        path = Path(file).expanduser()
        try:
            return path.read_bytes(), path.name
        except OSError as error:
            raise type(error)(error.errno, f"The recording cannot be read: {error.strerror}", str(path)) from None
    if hasattr(file, "read") and not isinstance(file, io.TextIOBase):
        with suppress(OSError, AttributeError):  # a pipe has no beginning to go back to
            file.seek(0)
        if isinstance(data := file.read(), bytes):
            return data, Path(str(getattr(file, "name", "the file"))).name
    takes = 'a path, a file opened with "rb", or the bytes of one, such as upload["dog.wav"]'
    raise TypeError(f"Clip.load takes {takes}, not {type(file).__name__}.")


def decode(data: bytes, name: str) -> np.ndarray:
    """Decode the bytes of a sound file: float32 at 16 kHz, the mean of the channels; `name` is for messages.

    Files that were joined to one are read to the last. Warns where a part is damaged, or the channels cancel.

    Raises:
        ValueError: no sound that can be read, longer than 600 s, or with NaN or infinite samples.
    """
    parts: list[Sound] = []
    for read in (_by_soundfile, _by_pyav, _by_ffmpeg):
        with suppress(Exception):  # each has errors of its own; the next may read it
            parts = parts or read(data, name)
    if not parts:
        if MEDIA.match(data) and not (importlib.util.find_spec("av") or shutil.which("ffmpeg")):
            raise ValueError(f"{name} needs a decoder that is not here: run `pip install av`, or save it as WAV.")
        why = "has no samples" if BEGINS.match(data) else "is no sound" if data else "is empty, so no sound"
        raise ValueError(f"{name} {why} that can be read: save it as WAV, FLAC, OGG, MP3 or AIFF, and load that.")
    if sum(len(samples) / rate for samples, rate in parts) > LONGEST:
        raise ValueError(f"{name} lasts more than {LONGEST:.0f} s: cut it.")
    if not all(np.isfinite(samples).all() for samples, _ in parts):
        raise ValueError(f"{name} has NaN or infinite samples: it is damaged.")
    return np.concatenate([_at_16_khz(_mono(samples, name), rate) for samples, rate in parts])


def _at_16_khz(waveform: np.ndarray, rate: int) -> np.ndarray:
    from librosa import resample

    resampled = resample(waveform, orig_sr=rate, target_sr=SAMPLE_RATE)
    return resampled.clip(waveform.min(), waveform.max())  # a sound cut off at full scale stays cut off


def _mono(samples: np.ndarray, name: str) -> np.ndarray:
    mean, power = samples.mean(axis=1), samples.var(axis=0, dtype=np.float64)
    if 4 * mean.var(dtype=np.float64) < power.sum() / len(power) ** 2:  # 6 dB below unrelated channels
        warn(f"The channels of {name} cancel out (one of them is inverted): only the louder is taken.")
        return samples[:, power.argmax()]
    return mean


def _by_soundfile(data: bytes, name: str) -> list[Sound]:
    starts = [match.start() for match in BEGINS.finditer(data) if data.startswith(match[0][:3])] or [0]
    parts = []
    for start, stop in zip(starts, [*starts[1:], len(data)], strict=True):
        with suppress(RuntimeError, ValueError):
            parts.append(_decoded(_with_true_size(data[start:stop], name), name))
    if 0 < len(parts) < len(starts):
        warn(f"{name} holds {len(starts)} sounds, of which {len(starts) - len(parts)} cannot be read.")
    return parts


class _Endless(io.BytesIO):
    """A file that hides its end, so that libsndfile counts the frames of an MP3 instead of estimating them."""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self.tell() if whence == io.SEEK_END else super().seek(offset, whence)


def _decoded(data: bytes, name: str) -> Sound:
    """Decode by libsndfile, keeping all that comes before a wrong length or damage."""
    samples, rate, claimed, is_mp3 = _read(io.BytesIO(data))
    if is_mp3:  # its header may tell the length of the first of several
        with suppress(RuntimeError, ValueError):
            longer, *_ = _read(_Endless(re.sub(b"Xing|Info|VBRI", bytes(4), data)))
            samples = longer if len(longer) > len(samples) + 4 * BLOCK else samples  # less: the encoder's padding
        claimed = claimed if re.search(b"Xing|Info", data) else 0  # else it is an estimate
    if (seconds := len(samples) / rate) < 0.99 * claimed < LONGEST:
        warn(f"{name} is cut off or damaged: {seconds:.2f} of {claimed:.2f} s are there.")
    return samples, rate


def _read(file: io.BytesIO) -> tuple[np.ndarray, int, float, bool]:
    """Return samples, their rate, the seconds that the header claims, and whether it is an MP3."""
    import soundfile

    with soundfile.SoundFile(file) as sound:
        rate, is_mp3, blocks = sound.samplerate, sound.format == "MP3", []
        most = round((LONGEST + 1) * rate)
        size = min(sound.frames, most) if is_mp3 else BLOCK  # each read of an MP3 but the first loses a part
        with suppress(soundfile.LibsndfileError):
            while len(blocks) * size <= most and len(block := sound.read(size, "float32", always_2d=True)):
                blocks.append(block)
        return np.concatenate(blocks), rate, sound.frames / rate, is_mp3


def _with_true_size(data: bytes, name: str) -> bytes:
    """Correct the data size of a WAV file whose recorder lost its power before writing it; warn of one cut off."""
    at = 12
    while data[:4] == b"RIFF" and at + 8 <= len(data):
        (size,) = struct.unpack("<I", data[at + 4 : at + 8])
        end = at + 8 + size
        if data[at : at + 4] == b"data":
            if (there := len(data) - at - 8) < 0.99 * size < 2**30:  # a WAV that was written to a pipe claims more
                warn(f"{name} is cut off: {there:,} of {size:,} bytes of sound are there.")
            is_right = end >= len(data) or re.match(rb"\0?[ -~]{4}", data[end : end + 5])  # another chunk follows
            return data if is_right else data[: at + 4] + b"\xff" * 4 + data[at + 8 :]
        at = end + size % 2
    return data


def _by_pyav(data: bytes, name: str) -> list[Sound]:
    av = importlib.import_module("av")  # not asked for by the requirements, but often there
    with av.open(io.BytesIO(data)) as container:
        resampler, blocks = av.AudioResampler(format="fltp", rate=SAMPLE_RATE), []
        frames = itertools.takewhile(lambda frame: (frame.time or 0) <= LONGEST + 1, container.decode(audio=0))
        try:
            for frame in itertools.chain(frames, [None]):  # None: the resampler's last samples
                blocks += [f.to_ndarray().T for f in resampler.resample(frame)]
        except av.FFmpegError:  # what comes before is kept
            if blocks:
                warn(f"{name} is cut off or damaged.")
    return [(np.concatenate(blocks), SAMPLE_RATE)]


def _by_ffmpeg(data: bytes, name: str) -> list[Sound]:
    how = ["-nostdin", "-v", "error", "-i", "sound", "-t", str(LONGEST + 1), "-vn", "-c:a", "pcm_f32le", "sound.wav"]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "sound").write_bytes(data)  # not through a pipe: M4A has its index at the end
        if subprocess.run(["ffmpeg", *how], cwd=folder, check=True, timeout=300, capture_output=True).stderr:
            warn(f"{name} is cut off or damaged.")
        return [_decoded(Path(folder, "sound.wav").read_bytes(), name)]


def encode_wav(waveform: np.ndarray, rate: int, title: str, settings: dict) -> bytes:
    """Return a 16-bit PCM WAV file with a title; where settings name a checkpoint, also marked as made by a model.

    The mark is IPTC's term for it and the settings, JSON in the comment, with texts of at most 200 characters.
    """
    import soundfile

    tags = {"title": shorten(title)} if title else {}
    if "checkpoint" in settings:  # libsndfile reads tags of less than 2048 bytes
        said = {k: v if isinstance(v, (int, float, type(None))) else str(v)[:200] for k, v in settings.items()}
        tags |= {"software": "AudioLDM", "comment": json.dumps({"digitalSourceType": IPTC, **said}, ensure_ascii=False)}
    data = io.BytesIO()
    with soundfile.SoundFile(data, "w", rate, 1, "PCM_16", format="WAV") as file:
        for name, text in tags.items():
            setattr(file, name, text.encode("utf-8", "backslashreplace").decode())
        file.write(np.round(waveform.clip(-1, 1) * 32767).astype(np.int16))
    return data.getvalue()


def scaled(samples: np.ndarray) -> np.ndarray:
    """Return a copy of samples of any type that sound files have, as contiguous float32 in -1...1."""
    kind, size = samples.dtype.kind, samples.dtype.itemsize
    if kind == "f":
        scaled = np.array(samples, dtype=np.float32, order="C")
        if scaled.size and np.abs(scaled[np.isfinite(scaled)]).max(initial=0) > UNSCALED_ABOVE:
            warn(f"A sample beyond {UNSCALED_ABOVE:g}, where full scale is 1: were integers not scaled?")
        return scaled
    if kind in "iu" and size <= 4:
        half = 2.0 ** (8 * size - 1)
        return np.ascontiguousarray((samples.astype(np.float64) - (half if kind == "u" else 0)) / half, np.float32)
    raise TypeError(f"Samples are floats in -1...1, or integers of 8 to 32 bits, not {samples.dtype}.")
