"""Write `page_vectors.json`: what Python answers, for the page's TypeScript to answer too.

    python -m tests.push.page_vectors

The file is the one specification that both sides run; `tests/push/test_page_twin.py` holds that it is up to date.
"""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np

from stages.runtime import audio, frontend_distance, hearing, manifest, recording, rejection
from stages.runtime.errors import RuntimeInputError
from stages.runtime.hearing import Hearing

PATH = Path(__file__).with_name("page_vectors.json")
SHA256 = "0" * 64
BASE: dict[str, Any] = {
    "schema": 2,
    "name": "a",
    "version": 3,
    "device_class": "any",
    "card": "MODEL_CARD.md",
    "labels": ["no", "yes"],
    "threshold": 0.5,
    "sample_rate": 8000,
    "clip_samples": 4000,
    "files": dict.fromkeys(["model.tflite", "frontend.tflite", "MODEL_CARD.md", "golden/0.wav"], SHA256),
    "golden": [{"file": "golden/0.wav", "scores": [0.25]}],
    "tolerance": 0.01,
    "model": {},
}
_SOUND = {
    "measure": "frontend_distance",
    "limit": -2,
    "kept": 0.95,
    "frontend": {"means": [0.5, 1], "scales": [0.25, 2]},
}
CHANGES: list[dict[str, Any]] = [
    {},
    {"labels": ["<img src=x onerror=alert(1)>", "yes"]},
    {"labels": ["a", "b", "c"], "threshold": None, "golden": [{"file": "golden/0.wav", "scores": [0.2, 0.3, 0.5]}]},
    {"threshold": [0.4, 0.6], "golden": [{"file": "golden/0.wav", "scores": [0.2, 0.7]}]},
    {"align": "middle", "crops": 4, "registered_name": "r", "not_after": "2030-02-28", "tolerance_reason": "x"},
    {"hearing": {"channel": "loudest", "remove_dc": True, "segment_s": 2.0, "hop_s": 1}},
    {"events": {"on": {"yes": 0.5}, "smooth": "mean:3", "hop_s": 0.25, "merge_s": 1}},
    {"events": None},
    {"schema": 3},
    {"name": ""},
    {"version": 0},
    {"version": True},
    {"version": 1.5},
    {"device_class": "A"},
    {"card": "absent"},
    {"labels": ["no"]},
    {"labels": ["no", "no"]},
    {"labels": "no"},
    {"threshold": None},
    {"threshold": [0.5]},
    {"threshold": "0.5"},
    {"sample_rate": -1},
    {"align": "end"},
    {"crops": 0},
    {"hearing": {"short": "repeat"}},
    {"hearing": {"short": "mirror"}},
    {"hearing": {"channel": "both"}},
    {"hearing": {"silence_dbfs": 0.0}},
    {"hearing": {"segment_s": 1.0}},
    {"hearing": {"__proto__": 1}},
    {"hearing": []},
    {"not_after": "2030-02-30"},
    {"not_after": "soon"},
    {"files": {"model.tflite": SHA256}},
    {"files": BASE["files"] | {"../evil": SHA256}},
    {"files": BASE["files"] | {"/evil": SHA256}},
    {"files": BASE["files"] | {"manifest.json": SHA256}},
    {"files": BASE["files"] | {"a//b": SHA256}},
    {"files": BASE["files"] | {"evil": "0"}},
    {"golden": []},
    {"golden": [{"file": "absent", "scores": [0.5]}]},
    {"golden": [{"file": "golden/0.wav", "scores": [0.5, 0.5]}]},
    {"golden": [{"file": "golden/0.wav", "scores": ["0.5"]}]},
    {"tolerance": -1},
    {"model": []},
    {"unknown": 1},
    {"reject": None},
    {"reject": {"measure": "distance", "limit": 0.5, "kept": 0.95}},
    {"reject": {"measure": "distance", "limit": 0.5, "kept": 0.95, "by": "clip"}},
    {"reject": {"measure": "distance", "limit": 0.5, "kept": 0.95, "by": "hand"}},
    {"reject": {"measure": "margin", "limit": 0.5, "kept": 0.95}},
    {"reject": {"measure": "distance", "limit": 0.5, "kept": 1}},
    {"reject": {"measure": "distance", "limit": "0.5", "kept": 0.5}},
    {"reject": {"measure": "distance", "limit": 0.5}},
    {"reject": []},
    {"labels": ["a", "b", "c"], "threshold": None, "golden": [{"file": "golden/0.wav", "scores": [0.2, 0.3, 0.5]}]}
    | {"reject": {"measure": "entropy", "limit": -0.5, "kept": 0.9}},
    {"threshold": [0.4, 0.6], "golden": [{"file": "golden/0.wav", "scores": [0.2, 0.7]}]}
    | {"reject": {"measure": "distance", "limit": 0.5, "kept": 0.95}},
    {"reject": _SOUND},
    {"reject": _SOUND | {"scores": {"measure": "distance", "limit": 0.25}}},
    {"reject": _SOUND | {"scores": {"measure": "margin", "limit": 0.25}}},
    {"reject": _SOUND | {"scores": {"measure": "distance"}}},
    {"reject": _SOUND | {"frontend": {"means": [0.5, 1], "scales": [1, 0]}}},
    {"reject": _SOUND | {"frontend": {"means": [0.5], "scales": [1]}}},
    {"reject": _SOUND | {"frontend": {"means": [0.5, 1], "scales": [1, 2, 3, 4]}}},
    {"reject": _SOUND | {"frontend": {"means": [0.5, "1"], "scales": [1, 2]}}},
    {"reject": _SOUND | {"frontend": {"means": [0] * 34, "scales": [1] * 34}}},
    {"reject": _SOUND | {"frontend": []}},
    {"reject": {"measure": "frontend_distance", "limit": -2, "kept": 0.95}},
    {"reject": {"measure": "distance", "limit": 0.5, "kept": 0.95, "frontend": {"means": [0, 1], "scales": [1, 1]}}},
    {"reject": {"measure": "distance", "limit": 0.5, "kept": 0.95, "scores": {"measure": "distance", "limit": 0.25}}},
    {"events": {"on": {"maybe": 0.5}}},
    {"events": {"on": {"yes": 0}}},
    {"events": {"on": {"yes": 0.5}, "off": {"yes": 0.6}}},
    {"events": {"on": {"yes": 0.5}, "smooth": "median:3"}},
    {"events": {"on": {"yes": 0.5}, "hop_s": -1}},
    {"events": {"off": {}}},
    {"events": {"on": {"yes": 0.5}, "more": 1}},
]


def make() -> dict[str, Any]:
    """Return all vectors."""
    rng = np.random.default_rng(21)
    return {
        "about": "Python's answers; made by tests/push/page_vectors.py. Samples are float32, little-endian, base64.",
        "mono": [_mono(rng, channel, n) for channel in hearing.CHANNELS for n in (1, 2, 3)],
        "clips": [_clip(rng, n, rules, align) for n in (0, 500, 1000, 2501) for rules, align in _PLACES],
        "silence": [_silence(rng, level, limit) for level in (0.0, 9e-4, 1.1e-3, 0.5) for limit in (-60.0, -6.5)],
        "overload": [[peak, hearing.overload_scale(peak)] for peak in (0.5, 1.0, 1.1, 1.2, 32.0, 33.0, 32768.0, 3e9)],
        "windows": [
            _windows(n, length, hop) for n in (1, 9, 10, 11, 14, 15, 25, 40) for length, hop in ((10, 5), (10, 3))
        ],
        "manifests": [_manifest(changes) for changes in CHANGES],
        "confidences": [
            [measure, outputs, threshold, float(rejection.confidence(np.array(outputs), measure, threshold))]
            for measure, outputs, threshold in _CONFIDENCES
        ],
        "front_ends": [_front_end(rng, steps, bands) for steps, bands in ((1, 2), (7, 13), (40, 16), (5, 17), (9, 64))],
        "decisions": [_decision(threshold, scores) for threshold, scores in _DECISIONS],
    }


_PLACES = [
    (Hearing(), "start"),
    (Hearing(), "middle"),
    (Hearing(remove_dc=True), "middle"),
    (Hearing(place="loudest"), "start"),
    (Hearing(short="repeat"), "middle"),
    (Hearing(short="repeat", remove_dc=True), "start"),
]
_CONFIDENCES: list[tuple[str, list[float], float | None]] = [
    ("max_probability", [0.2, 0.7, 0.1], None),
    ("margin", [0.2, 0.7, 0.1], None),
    ("margin", [0.5, 0.5], None),
    ("entropy", [0.2, 0.7, 0.1], None),
    ("entropy", [1.0, 0.0, 0.0], None),
    ("distance", [0.3], 0.5),
    ("distance", [1.0], 0.2),
    ("distance", [0.4], 0.0),
]
_DECISIONS: list[tuple[Any, list[float]]] = [
    (0.5, [0.5]),
    (0.5, [0.49]),
    (0.5, [0.505]),
    (None, [0.2, 0.5, 0.3]),
    (None, [0.4, 0.4, 0.2]),
    (None, [0.495, 0.01, 0.495]),
    ([0.5, 0.1, 0.9], [0.5, 0.05, 0.95]),
    ([0.5, 0.1, 0.9], [0.1, 0.05, 0.2]),
]


def text(samples: np.ndarray) -> str:
    """Return float32 samples as base64."""
    return base64.b64encode(np.asarray(samples, "<f4").tobytes()).decode()


def _mono(rng: np.random.Generator, channel: str, n_channels: int) -> dict[str, Any]:
    frames = (rng.normal(size=(50, n_channels)) * rng.uniform(0.05, 0.3, n_channels)).astype(np.float32)
    return {"channel": channel, "channels": [text(each) for each in frames.T], "mono": text(_heard(frames, channel))}


def _heard(frames: np.ndarray, channel: str) -> np.ndarray:
    if channel == "loudest":
        levels = hearing.Levels(frames.shape[1])
        levels.add(frames)
        return frames[:, int(np.argmax(levels.energy))]
    return hearing.stream_mono(channel, frames.shape[1])(frames)


def _clip(rng: np.random.Generator, n: int, rules: Hearing, align: str) -> dict[str, Any]:
    samples = rng.normal(0.05, 0.1, n).astype(np.float32) * np.linspace(0.2, 1, n, dtype=np.float32)
    return {
        "samples": text(samples),
        "length": 1000,
        "align": align,
        "hearing": rules.changed(),
        "start": audio.clip_start(samples, 1000, align, rules),
        "clip": text(audio.clip(samples, 1000, align, rules)),
    }


def _silence(rng: np.random.Generator, level: float, limit: float) -> dict[str, Any]:
    samples = (0.2 + level * rng.choice([-1.0, 1.0], 64)).astype(np.float32)
    return {"samples": text(samples), "silence_dbfs": limit, "silent": hearing.is_silent(samples, limit)}


class _Samples:
    """What `recording.windows` reads, of numbered samples."""

    sample_rate = 1

    def __init__(self, n: int) -> None:
        self._n = n

    def blocks(self) -> Any:
        yield np.arange(self._n, dtype=np.float32)


def _windows(n: int, length: int, hop: int) -> dict[str, Any]:
    found = recording.windows(_Samples(n), 1, n_samples=length, hop=hop)  # type: ignore[arg-type]
    return {"n": n, "length": length, "hop": hop, "starts": [start for start, _ in found]}


def _manifest(changes: dict[str, Any]) -> dict[str, Any]:
    values = BASE | changes
    try:
        manifest.parse(values)
    except RuntimeInputError:
        return {"manifest": values, "ok": False}
    return {"manifest": values, "ok": True}


def _front_end(rng: np.random.Generator, steps: int, bands: int) -> dict[str, Any]:
    """Return what a rule by the front end's output makes of features: float32, steps after each other."""
    features = (10 * rng.standard_normal((1, steps, bands))).astype(np.float32)
    n = 2 * min(bands, frontend_distance.BANDS)
    values = {"means": rng.normal(size=n).round(3).tolist(), "scales": rng.uniform(0.5, 9, n).round(3).tolist()}
    rules = []
    for scores in (None, {"measure": "margin", "limit": 0.3}):
        plain = {"measure": "frontend_distance", "limit": -2.5, "kept": 0.9, "by": "clip", "frontend": values}
        rule = rejection.parse(plain if scores is None else plain | {"scores": scores}, binary=False)
        outputs = np.array([0.2, 0.7, 0.1])
        sound = rule.sound(features)
        assert sound is not None
        known = [outputs.tolist(), float(sound[0]), float(rule.excess(outputs, sound[0]))]
        rules.append([rule.plain() | {"scores": scores}, *known])
    summary = frontend_distance.summaries(features)[0].tolist()
    return {"steps": steps, "features": text(features), "summary": summary, "rules": rules}


def _decision(threshold: Any, scores: list[float]) -> dict[str, Any]:
    labels = ["a", "b"] if isinstance(threshold, float) else ["a", "b", "c"]
    values = BASE | {"labels": labels, "threshold": threshold}
    known = manifest.parse(values | {"golden": [{"file": "golden/0.wav", "scores": scores}]})
    decided = known.decision(scores)
    labels_of = decided if isinstance(decided, list) else [decided]
    return {
        "threshold": threshold,
        "labels": labels,
        "scores": scores,
        "decided": labels_of,
        "clear": known.is_clear(scores),
    }


if __name__ == "__main__":
    PATH.write_text(json.dumps(make(), indent=1) + "\n", encoding="utf-8")
