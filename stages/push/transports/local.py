"""A folder of this machine that poses as a device."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.core.project.errors import DeviceError, require
from stages.push.device_folder import Folder
from stages.push.device_run import Refusal
from stages.push.transport import RUNTIME_PYTHON, FolderTransport, FullError


@dataclass(frozen=True)
class Config:
    """Where the device is.

    Attributes
    ----------
    folder : Path
        Made if it does not exist.
    python : str or None
        The device's interpreter, with NumPy and ai_edge_litert; None is the one it was set up with, or else the one
        that runs the push.
    timeout_s : float
        How long one command may take.
    """

    folder: Path
    python: str | None = None
    timeout_s: float = 120.0

    @property
    def place(self) -> str:
        """What no two devices share."""
        return str(self.folder.absolute())

    def __post_init__(self) -> None:
        """Check the time."""
        require(self.timeout_s > 0, "push.devices: timeout_s", "be positive", self.timeout_s, "Give seconds.")


def connect(config: Config, name: str) -> "LocalTransport":
    """Return the transport to the device `name`; nothing is touched yet."""
    return LocalTransport(config, name)


class LocalTransport(FolderTransport):
    """See `stages.push.transport.Transport`."""

    def __init__(self, config: Config, name: str) -> None:
        pythons = [config.python] if config.python else [RUNTIME_PYTHON, sys.executable]
        super().__init__(name, bootstrap=pythons[-1], pythons=pythons, timeout_s=config.timeout_s)
        self._folder = config.folder.absolute()
        self._device = Folder(self._folder)

    def _ask(self, do: str, *arguments: Any, data: bytes | None = None) -> Any:
        more = {} if data is None else {"data": [data]}
        try:
            return getattr(self._device, do)(*arguments, **more)
        except Refusal as refusal:
            raise (FullError if refusal.full else DeviceError)(f"Device {self.name} {refusal}") from None

    def _unlock(self) -> None:
        self._device.unlock()
