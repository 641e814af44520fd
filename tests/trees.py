"""Small copies of data sets in their publishers' layouts, out of recordings at hand."""

import csv
import io
import tarfile
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import av
import numpy as np
import soundfile

from stages.core.audio import decode
from stages.core.project import files

CODECS = {".webm": "libopus", ".ogg": "libopus", ".m4a": "aac", ".mp3": "libmp3lame", ".wav": "pcm_s16le"}
COUGHVID_COLUMNS = (
    "uuid",
    "datetime",
    "cough_detected",
    "latitude",
    "longitude",
    "age",
    "gender",
    "status",
    "status_SSL",
)


def encode(path: Path, samples: np.ndarray, sample_rate: int) -> None:
    """Write mono samples in the container that `path`'s suffix stands for; Opus at 48 kHz, as browsers do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in (".flac", ".wav"):
        soundfile.write(path, samples, sample_rate, subtype="PCM_16")
        return
    frame = av.AudioFrame.from_ndarray(np.round(32767 * samples[None]).astype("<i2"), format="s16", layout="mono")
    frame.sample_rate, frame.pts = sample_rate, 0
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        rate = 48_000 if CODECS[path.suffix] == "libopus" else sample_rate
        stream = container.add_stream(CODECS[path.suffix], rate=rate, layout="mono")
        assert isinstance(stream, av.AudioStream)
        codec = stream.codec_context
        resampler = av.AudioResampler(codec.format, "mono", rate, codec.frame_size or None)
        for piece in (*resampler.resample(frame), *resampler.resample(None), None):
            container.mux(stream.encode(piece))


def coughvid_tree(folder: Path, statuses: Mapping[Path, str], *, suffix: str = ".webm") -> Path:
    """Build a tree in COUGHVID's layout from recordings.

    Parameters
    ----------
    folder : Path
        Serves as `pull.mirror`; the tree is its `coughvid_20211012`.
    statuses : mapping of Path to str
        Recording to its published `status`: healthy, symptomatic or COVID-19.
    suffix : str
        Container to write: ``.webm``, ``.ogg`` or ``.wav``.

    Returns
    -------
    Path
        `folder`.
    """
    rows = []
    for number, (path, status) in enumerate(statuses.items()):
        name = str(uuid.uuid5(uuid.NAMESPACE_OID, path.name))
        samples, sample_rate = decode.decode(path)
        encode(folder / "coughvid_20211012" / f"{name}{suffix}", samples, sample_rate)
        rows.append({"uuid": name, "cough_detected": f"0.{90 + number % 10}", "status": status})
    coughvid_metadata(folder / "coughvid_20211012", rows)
    return folder


def coughvid_metadata(folder: Path, rows: Iterable[Mapping[str, str]]) -> None:
    """Write `metadata_compiled.csv`, with its unnamed index, and each row's `<uuid>.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = list(rows)
    with (folder / "metadata_compiled.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ["", *COUGHVID_COLUMNS], restval="")
        writer.writeheader()
        writer.writerows({"": str(number), **row} for number, row in enumerate(rows))
    for row in rows:
        files.write_json(folder / f"{row['uuid']}.json", row)


def coswara_tree(
    folder: Path,
    statuses: Mapping[str, str],
    days: Mapping[str, Mapping[str, Sequence[tuple[str, bytes]]]],
    *,
    quality: Mapping[str, int] | None = None,
    part_bytes: int = 20_000,
) -> Path:
    """Build a tree in Coswara's layout.

    Parameters
    ----------
    folder : Path
    statuses : mapping of str to str
        Participant to `covid_status`.
    days : mapping
        Day to participant to (file name, content) of what the day's archive holds of the participant.
    quality : mapping of str to int or None
        Participant to the quality of the shallow cough.
    part_bytes : int
        How long a part of an archive is at most.

    Returns
    -------
    Path
        `folder`.
    """
    (folder / "annotations").mkdir(parents=True)
    labels = "".join(f"{name}_cough-shallow,{score}\n" for name, score in (quality or {}).items())
    (folder / "annotations" / "cough-shallow_labels.csv").write_text(f"FILENAME, QUALITY\n{labels}")
    (folder / "annotations" / "cough-heavy_labels.csv").write_text("FILENAME, QUALITY\n")
    combined = "".join(f"{name},30,{status},2020-04-13\n" for name, status in statuses.items())
    (folder / "combined_data.csv").write_text(f"id,a,covid_status,record_date\n{combined}")
    for number, (day, people) in enumerate(days.items()):
        members = [(f"{day}/{name}/{file}", content) for name, held in people.items() for file, content in held]
        (folder / day).mkdir()
        header = ("id,date,a,covid_status", "date,id,covid_status,fever")[number % 2]  # they vary from day to day
        rows = (",".join(name if column == "id" else "" for column in header.split(",")) for name in people)
        (folder / day / f"{day}.csv").write_text("\n".join([header, *rows]) + "\n")
        split(folder / day / f"{day}.tar.gz", tar_gz(members), part_bytes)
    return folder


def tar_gz(members: Iterable[tuple[str | tarfile.TarInfo, bytes]]) -> bytes:
    """Return a compressed tar archive of (name or header, content)."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for member, content in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def split(path: Path, content: bytes, part_bytes: int) -> list[Path]:
    """Write `<path>.aa`, `<path>.ab` and so on, as `split -b` does."""
    parts = []
    for start in range(0, len(content), part_bytes):
        number = start // part_bytes
        parts.append(path.with_name(f"{path.name}.{chr(97 + number // 26)}{chr(97 + number % 26)}"))
        parts[-1].write_bytes(content[start : start + part_bytes])
    return parts


def wav(samples: np.ndarray, sample_rate: int) -> bytes:
    """Return the bytes of a WAV file with 16 bits per sample."""
    written = io.BytesIO()
    soundfile.write(written, samples, sample_rate, subtype="PCM_16", format="WAV")
    return written.getvalue()


def bursts(seed: int, *, sample_rate: int = 48_000, seconds: float = 1.0) -> np.ndarray:
    """Return something like a cough: noise that dies away, another for another seed."""
    t = np.arange(int(seconds * sample_rate)) / sample_rate
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, len(t))
    return (noise * np.exp(-3 * t)).astype(np.float32)


URBANSOUND8K_FORMATS = (  # rate, channels, libsndfile's subtype: as the publisher's clips vary
    (44_100, 2, "PCM_16"),
    (48_000, 2, "PCM_24"),
    (96_000, 1, "PCM_24"),
    (8_000, 1, "PCM_U8"),
    (22_050, 1, "IMA_ADPCM"),
    (11_025, 1, "MS_ADPCM"),
    (192_000, 1, "PCM_32"),
    (44_100, 1, "FLOAT"),
)


def urbansound8k_tree(folder: Path, labels: Sequence[str], *, folds: int = 10) -> Path:
    """Build a tree in UrbanSound8K's layout: two clips of one recording per class and fold, in its various formats.

    Returns
    -------
    Path
        The tree, ``UrbanSound8K`` below `folder`.
    """
    tree = folder / "UrbanSound8K"
    rows = []
    for number, (fold, class_id) in enumerate((f, c) for f in range(1, folds + 1) for c in range(len(labels))):
        rate, channels, subtype = URBANSOUND8K_FORMATS[number % len(URBANSOUND8K_FORMATS)]
        for piece in range(2):
            name = f"{1000 + number}-{class_id}-0-{piece}.wav"
            samples = bursts(2 * number + piece, sample_rate=rate, seconds=0.1)
            path = tree / "audio" / f"fold{fold}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, np.stack([samples] * channels, axis=1), rate, subtype=subtype, format="WAV")
            rows.append([name, 1000 + number, piece, piece + 0.1, 1, fold, class_id, labels[class_id]])
    (tree / "metadata").mkdir()
    with (tree / "metadata" / "UrbanSound8K.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class"])
        writer.writerows(rows)
    (tree / "FREESOUNDCREDITS.txt").write_text("made up\n")
    return tree


AUDIOSET_ONTOLOGY: tuple[tuple[str, str, list[str]], ...] = (  # id, name, children: `Animal` has no segments of its own
    ("/m/0jbk", "Animal", ["/m/0bt9lr", "/m/01yrx"]),
    ("/m/0bt9lr", "Dog", ["/m/05tny_"]),
    ("/m/05tny_", "Bark", []),
    ("/m/01yrx", "Cat", []),
    ("/m/09x0r", "Speech", ["/m/05zppz"]),
    ("/m/05zppz", "Male speech, man speaking", []),
)


def audioset_tables(folder: Path, segments: Mapping[str, Sequence[tuple[str, float, Sequence[str]]]]) -> Path:
    """Write AudioSet's tables: of each list (video, start in s, names of labels), the ontology, and the labels' names.

    Returns
    -------
    Path
        `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ids = {name: mid for mid, name, _ in AUDIOSET_ONTOLOGY}
    for fold, rows in segments.items():
        lines = ["# Segments csv created Sun Mar  5 10:54:31 2017", f"# num_ytids={len(rows)}"]
        lines += ["# YTID, start_seconds, end_seconds, positive_labels"]
        for video, start, names in rows:
            lines.append(f'{video}, {start:.3f}, {start + 10:.3f}, "{",".join(ids[name] for name in names)}"')
        (folder / f"{fold}_segments.csv").write_text("\n".join(lines) + "\n")
    with (folder / "class_labels_indices.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["index", "mid", "display_name"])
        writer.writerows([i, mid, name] for i, (mid, name, _) in enumerate(AUDIOSET_ONTOLOGY) if name != "Animal")
    entries = [
        {"id": mid, "name": name, "description": "", "citation_uri": "", "positive_examples": [], "restrictions": []}
        | {"child_ids": children}
        for mid, name, children in AUDIOSET_ONTOLOGY
    ]
    files.write_json(folder / "ontology.json", entries)
    return folder
