"""Keys of a sweep's work: digests of everything that can change a result."""

import functools
from dataclasses import asdict
from pathlib import Path

from flows.sweep.inputs import SweepInputs
from stages.core.artifacts import dataset
from stages.core.artifacts import network as network_file
from stages.core.nn.network import ARCHITECTURES
from stages.core.project import files
from stages.core.project.errors import DataError
from stages.core.project.provenance import code_hash
from stages.prune.params import CRITERIA, SCHEDULES
from stages.quantize.params import needs_clips
from stages.quantize.post_training import to_nearest

_TRAINING_PACKAGES = ("tensorflow", "tf_keras", "numpy")
_QAT_PACKAGES = (*_TRAINING_PACKAGES, "ai-edge-quantizer", "ai-edge-litert")
_VARIANT_PACKAGES = ("ai-edge-quantizer", "ai-edge-litert", "numpy", "scikit-learn")
_MEASURED_LATER = ("latency", "robustness", "stream")  # parameters of `evaluate` that only that stage reads


class Keys:
    """Digests of parameters, chosen plug-ins, input files, source code and library versions.

    A variant's key includes its fine-tuning's key, but not the other way round: another scheme or a changed metric
    costs no training.

    Parameters
    ----------
    inputs : SweepInputs
    threads : int
        Threads of one operator during training.
    distilled : bool
        Whether any cell learns from the teacher; then the teacher's files are read.

    Raises
    ------
    DataError
        If a folder is incomplete.
    """

    def __init__(self, inputs: SweepInputs, *, threads: int, distilled: bool) -> None:
        sources = inputs.sources
        self._inputs, self._threads = inputs, threads
        self._code_hash = functools.cache(code_hash)  # once per plug-in, and not once per cell
        self._data = [_sha256(sources.baseline / name) for name in (network_file.FILE, "weights.npz")]
        self._data += [_sha256(sources.features / name) for name in dataset.FILES]
        self._architecture = f"{ARCHITECTURES}.{network_file.read(sources.baseline).name}"
        self._teacher = sources.teacher.identity() if sources.teacher and distilled else []

    def baseline(self) -> str:
        """Return the key of the baseline, converted without fine-tuning."""
        return files.digest(self._calibration, self._threads, self._data, self._finetune_code())

    def finetuned(self, criterion: str, schedule: str, sparsity: float, seed: int, *, distilled: bool) -> str:
        """Return the key of one fine-tuned network.

        Raises
        ------
        ParameterError
            For a plug-in that does not exist, or options that it refuses.
        """
        prune = self._inputs.prune
        plug_ins = prune.plug_in(CRITERIA, criterion), prune.plug_in(SCHEDULES, schedule)
        rewind = getattr(plug_ins[1][1], "rewind", None)
        parameters = asdict(prune) | {
            "sparsity": sparsity,
            "seed": seed,
            "options": [asdict(config) for _, config in plug_ins],
            "rewind": _sha256(rewind) if rewind else "",
            **self._calibration,
        }
        code = self._finetune_code(*(module.__name__ for module, _ in plug_ins))
        return files.digest(parameters, self._threads, self._data, code, *(self._teacher if distilled else []))

    def qat(self, finetuned: str, scheme: str, *, distilled: bool) -> str:
        """Return the key of a fine-tuned network's quantisation-aware training for a scheme."""
        quantize = self._inputs.quantize
        module, config = quantize.scheme(scheme)
        calibration = [quantize.calibration_clips, quantize.seed]
        code = self._code_hash(("flows.sweep.steps.qat", module.__name__), _QAT_PACKAGES)
        teacher = self._teacher if distilled else []
        parameters = asdict(to_nearest(config))
        return files.digest(finetuned, scheme, parameters, calibration, asdict(quantize.aware), code, *teacher)

    def variant(self, network: str, scheme: str) -> str:
        """Return the key of a variant made from the network with the key `network`, fine-tuned or QAT's."""
        quantize = self._inputs.quantize
        module, config = quantize.scheme(scheme)
        calibration = [quantize.calibration_clips, quantize.seed] if needs_clips(module, config) else []
        code = self._code_hash(("flows.sweep.steps.variant", module.__name__), _VARIANT_PACKAGES)
        return files.digest(network, scheme, asdict(config), calibration, code, self._scoring())

    @property
    def _calibration(self) -> dict[str, str]:
        return {"score_calibration": self._inputs.evaluate.decisions.calibration}

    def _finetune_code(self, *plug_ins: str) -> str:
        return self._code_hash(("flows.sweep.steps.finetune", self._architecture, *plug_ins), _TRAINING_PACKAGES)

    def _scoring(self) -> dict[str, object]:
        parameters = asdict(self._inputs.evaluate)
        return {name: value for name, value in parameters.items() if not name.startswith(_MEASURED_LATER)}


def _sha256(path: Path) -> str:
    if not path.is_file():
        raise DataError(f"{path} does not exist. Run `dvc repro sweep`, which makes what it needs.")
    return files.sha256(path)
