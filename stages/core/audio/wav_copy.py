"""Recordings of any format as WAV files that a device reads."""

from pathlib import Path

import numpy as np
import soundfile

from stages.core.audio.sources import open_source
from stages.core.audio.unusable import UnusableError, as_data_error
from stages.runtime.errors import RuntimeInputError
from stages.runtime.hearing import OVERLOAD_DB, Hearing, Listener

_MOST_BYTES = 2**32 - 4096  # that the header of a plain WAV file can say
_PEAK = np.float32(10 ** (OVERLOAD_DB / 20))


def write_wav(path: Path, target: Path, hearing: Hearing) -> None:
    """Write all channels of a recording of any format as floating-point WAV, in bounded memory.

    Peaks of a lossy format beyond `OVERLOAD_DB` are cut there, since a device takes more for a fault.

    Parameters
    ----------
    path, target : Path
    hearing : Hearing
        Rules by which the recording may be excluded. The channel is left for the device to choose.

    Raises
    ------
    UnusableError
        If the recording cannot be decoded or is excluded.
    """
    source = open_source(path)
    try:
        listener = Listener(source, hearing)
        form = "RF64" if 4 * source.n_channels * source.claimed_frames > _MOST_BYTES else "WAV"
        n_frames = 0
        with soundfile.SoundFile(target, "w", source.sample_rate, source.n_channels, "FLOAT", format=form) as file:
            for frames in source.blocks():
                n_frames += len(frames)
                file.write(frames if source.floating else np.clip(frames, -_PEAK, _PEAK))
        if not n_frames:
            raise UnusableError(f"{path} holds no samples. Record it again.")
        listener.check_whole(n_frames)
    except RuntimeInputError as error:
        raise as_data_error(error) from None
