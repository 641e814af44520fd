"""Pieces of long recordings as files of their own, for sources whose unit is shorter than a recording."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import soundfile

from stages.core.audio import decode
from stages.core.project import files
from stages.core.project.errors import DataError
from stages.core.project.progress import track


@dataclass(frozen=True)
class Piece:
    """A piece of a recording.

    Attributes
    ----------
    start_s, end_s : float
        From the recording's beginning.
    target : Path
        FLAC file to write.
    """

    start_s: float
    end_s: float
    target: Path


def write_pieces(pieces: dict[Path, Sequence[Piece]]) -> None:
    """Write pieces of recordings as FLAC with 24 bits per sample; those that are there stay.

    Parameters
    ----------
    pieces : dict of Path to sequence of Piece
        By recording. Of one that cannot be decoded no piece is written; a piece beyond a recording's end is cut there,
        and one without a sample is not written.
    """

    def write(recording: Path) -> None:
        wanted = [piece for piece in pieces[recording] if not piece.target.is_file()]
        if not wanted:
            return
        try:
            samples, rate = decode.decode(recording)
        except DataError:
            return
        for piece in wanted:
            part = samples[round(piece.start_s * rate) : round(piece.end_s * rate)]
            if len(part):
                with files.atomic(piece.target) as temporary:
                    soundfile.write(temporary, part, rate, subtype="PCM_24", format="FLAC")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in track(pool.map(write, pieces), "cut", total=len(pieces)):
            pass
