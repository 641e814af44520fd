"""The page of the recordings: it needs nothing, says everything, and nothing that a name holds becomes HTML."""

import html.parser
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stages.core.artifacts.label_errors import LabelErrors, Suspect
from stages.core.artifacts.levels import Levels
from stages.core.artifacts.pull_report import ClassCounts, Excluded, NearDuplicate, Note, PullReport
from stages.core.artifacts.recordings import Recording
from stages.core.artifacts.split import LeakageAudit, SplitName, SplitReport, SplitSummary
from stages.overview import drawing, sounds, stage
from stages.overview.stage import Facts
from stages.runtime.hearing import DEFAULT

EVIL = "<script>alert('x')</script>\"&"
RATE = 16_000


class Page(html.parser.HTMLParser):
    """Tags, links and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def facts(folder: Path, *, n: int = 6) -> Facts:
    rng = np.random.default_rng(0)
    recordings, levels = [], []
    for i in range(n):
        path = folder / f"{i}.wav"
        soundfile.write(path, 0.1 * rng.normal(size=RATE * (1 + 6 * (i == 0))), RATE)
        label = EVIL if i % 2 else "dog"
        recordings.append(Recording(f"{i}.wav", path, label, f"{EVIL}{i}", EVIL, "", str(i), 1.0, RATE))
        levels.append(Levels(f"{i}.wav", 1, 0.5, 0.1, 0.01 * i, 0.0, 0.1 * i))
    sides: dict[str, SplitName] = {f"{i}.wav": ("train", "validation", "test")[i // 2 % 3] for i in range(n)}  # type: ignore[misc]
    counts = SplitSummary(2, 2, {})
    return Facts(
        folder=folder,
        recordings=tuple(recordings),
        levels=tuple(levels),
        labels=("dog", EVIL),
        hearing=DEFAULT,
        pull=PullReport(
            source=EVIL,
            citation=EVIL,
            licence="CC0",
            homepage="",
            found=n + 1,
            usable=n,
            groups=n,
            labels={"dog": ClassCounts(4, 3), EVIL: ClassCounts(3, 3)},
            excluded=(Excluded(EVIL, "undecodable", EVIL),),
            excluded_by_reason={"undecodable": 1},
            notes=(Note("1.wav", EVIL),),
            near_duplicates=(
                NearDuplicate("0.wav", "1.wav", 80.0, contradictory=True),
                *(NearDuplicate("2.wav", "../../secret", 60.0 + i) for i in range(30)),
            ),
            near_duplicates_action="group",
        ),
        sides=sides,
        split=SplitReport(counts, counts, counts, LeakageAudit(n, n)),
        doubted=LabelErrors(n, n, 5, 0.8, 1, (Suspect("3.wav", EVIL, "dog", 0.02, suspected=True),)),
    )


def test_the_page_needs_nothing_and_no_name_becomes_html(tmp_path: Path) -> None:
    (tmp_path / "recordings").mkdir()
    (tmp_path / "secret").write_bytes(b"RIFF")
    found = facts(tmp_path / "recordings")
    stage.write(found, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    page = Page(text)
    assert "script" not in page.tags
    assert "<script" not in text
    assert EVIL in page.text
    assert all(link.startswith(("data:audio/mpeg;base64,", "data:image/png;base64,", "#")) for link in page.links)
    assert page.tags.count("audio") == 2 + (stage.MOST_PAIRS - 1) + 1
    assert page.text.count("It cannot be played here") == stage.MOST_PAIRS - 1
    for words in ("different labels", "6of 7 found", "undecodable", "sounds like dog", "list (31)"):
        assert words in page.text, words
    stage.write(found, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == (tmp_path / "report.html").read_bytes()


def test_nothing_outside_the_recordings_is_embedded(tmp_path: Path) -> None:
    (tmp_path / "recordings").mkdir()
    found = facts(tmp_path / "recordings")
    soundfile.write(tmp_path / "secret.wav", np.ones(RATE) / 2, RATE)
    assert stage._sound(found, "../secret.wav").clip is None
    assert stage._sound(found, "5.wav").clip is not None


def test_a_long_sound_is_bounded_and_its_loudest_part_is_heard(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).normal(size=20 * RATE) * 0.001
    samples[11 * RATE : 12 * RATE] *= 300
    soundfile.write(tmp_path / "x.wav", samples, RATE)
    clip = sounds.clip(tmp_path / "x.wav", None, DEFAULT)
    assert clip is not None
    assert clip.length_s == sounds.LONGEST_S
    assert clip.start_s <= 11
    assert clip.start_s + clip.length_s >= 12
    assert len(clip.audio) + len(clip.picture) < 60_000


@pytest.mark.parametrize("values", [[1.0], [2.0, 2.0], [0.001, 1000.0], list(np.linspace(0.1, 5, 99))])
@pytest.mark.parametrize("log", [False, True])
def test_every_recording_is_in_a_bar(values: list[float], log: bool) -> None:
    plot = drawing.histogram("x", "s", values, log=log)
    assert sum(int(bar.title.rpartition(": ")[2]) for bar in plot.bars) == len(values)
    assert all(0 <= bar.y <= drawing.BASE and 0 <= bar.x <= drawing.WIDTH for bar in plot.bars)


def test_rare_categories_are_one_bar() -> None:
    plot = drawing.categories("Sample rate", "Hz", [8000] * 5 + list(range(100)))
    assert sum(int(bar.title.rpartition(": ")[2]) for bar in plot.bars) == 105
    assert plot.bars[-1].title == "others Hz: 89"
