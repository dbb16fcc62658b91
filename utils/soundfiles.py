"""Read sound files of any kind, to the end of what is there whatever the header claims; write WAV files with tags.

Explained in lesson 07 (`notebooks/07_edit_sounds.ipynb`).
"""

from __future__ import annotations

import importlib
import io
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
BLOCK = 1152  # frames decoded at once: those before damage are kept
MP3_GAIN = 4 * BLOCK  # frames; a shorter gain is the encoder's padding
BEGINS = re.compile(rb"OggS\x00\x02|fLaC\0\0\0\x22|RIFF.{4}WAVE", re.DOTALL)  # a file within a file: they were joined
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
    if not hasattr(file, "read"):
        hints = {dict: ': pass one of its values, such as upload["dog.wav"]', np.ndarray: ": that is Clip(array, rate)"}
        takes = "Clip.load takes a path, a file opened with 'rb', or the bytes of one"
        raise TypeError(f"{takes}, not {type(file).__name__}{hints.get(type(file), '')}.")
    name = Path(str(getattr(file, "name", "the file"))).name
    if getattr(file, "closed", False):
        raise ValueError(f"{name} is closed: open it again, or pass its path.")
    with suppress(OSError, AttributeError):  # a pipe has no beginning to go back to
        file.seek(0)
    data = file.read()
    if not isinstance(data, bytes):
        raise TypeError(f"{name} was opened as text: open it with 'rb', or pass its path.")
    return data, name


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
        if MEDIA.match(data):
            raise ValueError(f"{name} needs a decoder that is not here: run `pip install av`, or save it as WAV.")
        why = "is no sound that can be read: save it as WAV, FLAC, OGG, MP3 or AIFF, and load that"
        raise ValueError(f"{name} {'is empty' if not data else 'has no samples' if BEGINS.match(data) else why}.")
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
    mean, power = samples.mean(axis=1), np.mean(samples.astype(np.float64) ** 2, axis=0)
    if 4 * np.mean(mean.astype(np.float64) ** 2) < power.sum() / len(power) ** 2:  # 6 dB below unrelated channels
        warn(f"The channels of {name} cancel out (one of them is inverted): only the louder is taken.")
        return samples[:, power.argmax()]
    return mean


def _by_soundfile(data: bytes, name: str) -> list[Sound]:
    starts = [0, *[match.start() for match in BEGINS.finditer(data)][1:]]
    parts, errors = [], []
    for start, stop in zip(starts, [*starts[1:], len(data)], strict=True):
        try:
            parts.append(_decoded(_with_true_size(data[start:stop]), name))
        except (RuntimeError, ValueError) as error:
            errors.append(error)
    if parts and errors:
        warn(f"{name} holds {len(starts)} sounds, of which {len(errors)} cannot be read.")
    return parts


def _decoded(data: bytes, name: str, is_second_try: bool = False) -> Sound:
    """Decode by libsndfile, so that neither a wrong length nor a damaged end costs anything before it."""
    import soundfile

    with soundfile.SoundFile(io.BytesIO(data)) as sound:
        rate, claimed, kind = sound.samplerate, sound.frames / sound.samplerate, sound.format
        try:  # at once: between two reads an MP3 is searched anew, and a part of it is lost
            most = LONGEST + 1 if kind != "MP3" else min(LONGEST + 1, len(data) / 1000 + 1)  # at 8 kbit/s
            samples = sound.read(min(sound.frames, int(most * rate)), "float32", always_2d=True).copy()
        except soundfile.LibsndfileError:
            samples = _in_blocks(data)
    if kind == "MP3" and not is_second_try:  # its length may be an estimate, or that of the first of several
        with suppress(AttributeError, IndexError, RuntimeError, ValueError):
            longer, _ = _decoded(_with_xing_header(data), name, is_second_try=True)
            samples = longer if len(longer) > len(samples) + MP3_GAIN else samples
    elif not is_second_try and (seconds := len(samples) / rate) < 0.99 * claimed < LONGEST:
        warn(f"{name} is cut off or damaged: {seconds:.2f} of {claimed:.2f} s are there.")
    if not len(samples):
        raise ValueError(f"{name} has no samples.")
    return samples, rate


def _in_blocks(data: bytes) -> np.ndarray:
    import soundfile

    blocks = [np.zeros((0, 1), np.float32)]
    with soundfile.SoundFile(io.BytesIO(data)) as sound, suppress(soundfile.LibsndfileError):
        while len(block := sound.read(BLOCK, "float32", always_2d=True)):
            blocks.append(block)
    return np.concatenate(blocks[1:] or blocks)


def _with_true_size(data: bytes) -> bytes:
    """Correct the size of a WAV file's samples, where the recorder lost its power before it wrote it."""
    at = 12
    while data[:4] == b"RIFF" and at + 8 <= len(data):
        (size,) = struct.unpack("<I", data[at + 4 : at + 8])
        end = at + 8 + size
        if data[at : at + 4] == b"data":
            if end < len(data) and not re.match(rb"\0?[ -~]{4}", data[end : end + 5]):  # no other chunk follows
                return data[: at + 4] + struct.pack("<I", min(len(data) - at - 8, 2**32 - 1)) + data[at + 8 :]
            break
        at = end + size % 2
    return data


def _with_xing_header(mp3: bytes) -> bytes:
    """Put a silent frame in front that claims more frames than there can be, so that all are decoded."""
    at = 0
    while mp3[at : at + 3] == b"ID3":
        at += 10 + sum(byte << shift for byte, shift in zip(mp3[at + 6 : at + 10], (21, 14, 7, 0), strict=True))
    at = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]").search(mp3, at).start()  # layer III, MPEG 2.5, 2 or 1
    one, two, three = mp3[at + 1 : at + 4]
    is_mpeg_1, is_mono = one & 0x18 == 0x18, three & 0xC0 == 0xC0
    rate = (44100, 48000, 32000)[two >> 2 & 3] // (1 if is_mpeg_1 else 2 if one & 0x18 == 0x10 else 4)
    side = (17 if is_mono else 32) if is_mpeg_1 else (9 if is_mono else 17)
    size = 144 * 128_000 // rate if is_mpeg_1 else 72 * 64_000 // rate  # at 128 and 64 kbit/s
    header = bytes([0xFF, one | 1, two & 0x0C | (0x90 if is_mpeg_1 else 0x80), three]) + bytes(side)
    return mp3[:at] + (header + b"Xing" + struct.pack(">II", 1, 2**24)).ljust(size, b"\0") + mp3[at:]


def _by_pyav(data: bytes, name: str) -> list[Sound]:
    av = importlib.import_module("av")  # not asked for by the requirements, but often there

    blocks, rate = [], 1
    with av.open(io.BytesIO(data)) as container:
        resampler = av.AudioResampler(format="fltp")
        for frame in container.decode(audio=0):
            rate = frame.sample_rate
            blocks += [f.to_ndarray().T for f in resampler.resample(frame)]
            if sum(map(len, blocks[-1:])) * len(blocks) > (LONGEST + 1) * rate:
                break
    return [(np.concatenate(blocks), rate)]


def _by_ffmpeg(data: bytes, name: str) -> list[Sound]:
    command = [shutil.which("ffmpeg") or "ffmpeg", "-v", "error", "-i", "sound", "-t", str(LONGEST + 1), "-vn"]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "sound").write_bytes(data)  # not through a pipe: M4A has its index at the end
        run = [*command, "-c:a", "pcm_f32le", "sound.wav"]
        subprocess.run(run, cwd=folder, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=300)
        return [_decoded(Path(folder, "sound.wav").read_bytes(), name)]


def encode_wav(waveform: np.ndarray, rate: int, title: str, settings: dict) -> bytes:
    """Return a 16-bit PCM WAV file; settings with a checkpoint become a comment, JSON with IPTC's term for it."""
    import soundfile

    tags = {"title": shorten(title).encode("utf-8", "replace").decode()} if title else {}
    for longest in (2000, 400, 80) if "checkpoint" in settings else ():  # libsndfile reads tags of less than 2048 bytes
        plain = (int, float, type(None))
        said = {k: v if isinstance(v, plain) else str(v)[:longest] for k, v in settings.items()}
        comment = json.dumps({"digitalSourceType": IPTC, **said}, ensure_ascii=False)
        comment = comment.encode("utf-8", "backslashreplace").decode()
        tags |= {"software": "AudioLDM", "comment": comment}
        if len(comment.encode()) < 2000:
            break
    data = io.BytesIO()
    with soundfile.SoundFile(data, "w", rate, 1, "PCM_16", format="WAV") as file:
        for name, text in tags.items():
            setattr(file, name, text)
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
    raise TypeError(
        f"Samples are floats in -1...1, or integers of 8 to 32 bits as sound files have, not {samples.dtype}."
    )
