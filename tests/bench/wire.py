"""Bytes on the wire of a push: a pruned 8-bit model onto a device behind a real sshd, first and again.

    python -m tests.bench.wire

What was sent before uploads were compressed is the size of the release's files; both are counted on the TCP connection
with everything that SSH and the protocol add.
"""

import contextlib
import json
import shutil
import socket
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np

from stages.core.project import files
from stages.push import bundle, rollout
from stages.push.transports import ssh
from tests.push import loopback, tiny

SPARSITY = 0.9


def pruned(seed: int) -> bytes:
    """Return an 8-bit network of 3.2 million weights, 90 % of them zero."""
    from stages.core.nn.keras import keras
    from stages.quantize.convert import to_float32
    from stages.quantize.params import QuantizeParams

    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Dense(1500, "relu"), keras.layers.Dense(2000, "relu"), keras.layers.Dense(1, "sigmoid")]
    model = keras.Sequential([keras.layers.Input((20,)), *layers])
    for variable in model.trainable_variables:
        if len(variable.shape) == 2 and variable.shape[-1] > 1:
            values = variable.numpy()
            variable.assign(np.where(np.abs(values) >= np.quantile(np.abs(values), SPARSITY), values, 0))
    model.layers[-1].kernel.assign(60 * model.layers[-1].kernel)  # scores that spread as if it were trained
    scheme, config = QuantizeParams().scheme("dynamic_wi8_afp32")
    return scheme.quantize(config, to_float32(model), None)


class Counter:
    """Carries connections to a port and counts the bytes of both directions."""

    def __init__(self, port: int) -> None:
        self.sent = self.received = 0
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            near, _ = self._listener.accept()
            far = socket.create_connection(("127.0.0.1", self._to))
            for source, target, name in ((near, far, "sent"), (far, near, "received")):
                threading.Thread(target=self._carry, args=(source, target, name), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, name: str) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(2**16):
                setattr(self, name, getattr(self, name) + len(data))
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


def releases(scratch: Path) -> list[Path]:
    """Make two releases of the same kind whose models differ."""
    frontend, *_ = tiny.tflites()
    (scratch / "features").mkdir()
    features = tiny.write_features(scratch / "features")
    made = []
    for i in range(2):
        (scratch / f"selected{i}").mkdir()
        selected = tiny.write_selection(scratch / f"selected{i}", features, frontend, pruned(i), i)
        selection = files.read_json(selected / "selection.json")
        selection["variant"] |= {"scheme": "dynamic_wi8_afp32", "bit_width": 8, "sparsity": SPARSITY}
        files.write_json(selected / "selection.json", selection)
        bundle.build(scratch / f"release{i}", selected=selected, version=i + 1)
        made.append(scratch / f"release{i}")
    return made


def main() -> None:
    """Push two releases and print what went over the wire."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        made = releases(scratch)
        sshd = loopback.Sshd(scratch / "sshd")
        python = scratch / "device/venv/bin/python"
        files.write_text(python, f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        python.chmod(0o755)
        rows = {}
        try:
            for name, release in zip(("first release", "next release"), made, strict=True):
                wire = Counter(sshd.port)
                config = ssh.Config(
                    "127.0.0.1",
                    str(scratch / "device"),
                    port=wire.port,
                    host_key=sshd.host_key,
                    key_file=sshd.folder / "client",
                    python=sys.executable,
                )
                rollout.deliver(ssh.connect(config, "bench"), release, keep=2)
                held = sum(path.stat().st_size for path in release.rglob("*") if path.is_file())
                rows[name] = {
                    "files_bytes": held,
                    "model_bytes": (release / "model.tflite").stat().st_size,
                    "wire_bytes": wire.sent + wire.received,
                    "times_fewer": round(held / (wire.sent + wire.received), 2),
                }
        finally:
            sshd.stop()
        shutil.rmtree(scratch / "device")
    print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
