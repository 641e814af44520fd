"""Sound that does not end, in chunks: raw PCM from a pipe, or a microphone."""

from collections.abc import Iterator
from typing import IO

import numpy as np

from stages.runtime.audio import PCM_FORMATS
from stages.runtime.errors import RuntimeInputError
from stages.runtime.hearing import stream_mono

CHUNK_S = 0.1


def pcm(
    source: IO[bytes], sample_rate: int, *, encoding: str, n_channels: int, channel: str = "mean"
) -> Iterator[np.ndarray]:
    """Read raw interleaved PCM until it ends; the last frame is left out if it is cut short.

    Parameters
    ----------
    source : file
        Unbuffered, so that what has arrived is heard at once.
    sample_rate : int
        Hz.
    encoding : str
        ``"s16le"`` or ``"f32le"``.
    n_channels : int
    channel : {"mean", "left", "right", "loudest"}
        Channel that is heard, as of `stages.runtime.hearing`.

    Yields
    ------
    np.ndarray, shape (n_samples,), float32

    Raises
    ------
    RuntimeInputError
        If `encoding` is another, a number is not positive, or a sample is not finite.
    """
    if sample_rate < 1 or n_channels < 1 or encoding not in PCM_FORMATS:
        raise RuntimeInputError(
            f"rate and channels must be at least 1 and format {' or '.join(PCM_FORMATS)}; "
            f"got {sample_rate}, {n_channels} and {encoding}."
        )
    bits, decode = PCM_FORMATS[encoding]
    frame_bytes = n_channels * bits // 8
    held, mono = b"", stream_mono(channel, n_channels)
    while content := source.read(max(1, round(CHUNK_S * sample_rate)) * frame_bytes):
        held += content
        whole = len(held) // frame_bytes * frame_bytes
        samples = mono(decode(held[:whole]).reshape(-1, n_channels))
        if not np.isfinite(samples).all():
            raise RuntimeInputError("The stream holds samples that are not finite numbers. Check its format.")
        held = held[whole:]
        yield samples


def microphone(sample_rate: int, device: str | None) -> Iterator[np.ndarray]:
    """Listen to a microphone for ever, through the package `sounddevice`.

    Parameters
    ----------
    sample_rate : int
        Hz.
    device : str or None
        Its number, or a part of its name; None is the system's own choice.

    Yields
    ------
    np.ndarray, shape (n_samples,), float32

    Raises
    ------
    RuntimeInputError
        If `sounddevice` is not installed, or there is no such microphone.
    """
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: PortAudio itself is missing
        raise RuntimeInputError(
            f"A microphone needs sounddevice ({error}). `pip install sounddevice`, or pipe: "
            f"`arecord -t raw -f S16_LE -r {sample_rate} | edac-runtime listen --live --rate {sample_rate}`."
        ) from None
    chosen = int(device) if device is not None and device.isdecimal() else device
    try:
        with sounddevice.InputStream(samplerate=sample_rate, channels=1, dtype="float32", device=chosen) as stream:
            while True:
                frames, _ = stream.read(round(CHUNK_S * sample_rate))
                yield frames[:, 0]
    except (sounddevice.PortAudioError, ValueError) as error:
        raise RuntimeInputError(
            f"The microphone cannot be used ({error}). `python -m sounddevice` lists them."
        ) from None
