"""Set what a device knows of itself and of us, by the runtime that is installed there: name, class, trusted keys."""

from collections.abc import Sequence

from stages.core.project.errors import DeviceError
from stages.push import answers
from stages.push.transport import Transport
from stages.runtime import trust
from stages.runtime.lines import Line


def identify(transport: Transport, name: str, device_class: str) -> None:
    """Set a device's name and class; from then on it refuses releases for another class.

    Parameters
    ----------
    transport : Transport
    name : str
    device_class : str
        ``"any"`` refuses none.

    Raises
    ------
    DeviceError
        If it cannot be set.
    """
    _ask(transport, ["identify", f"--name={name}", f"--class={device_class}"])


def trust_key(transport: Transport, public_key: bytes) -> list[str]:
    """Make a device trust one more public key; from the first on it takes signed releases only.

    Parameters
    ----------
    transport : Transport
    public_key : bytes
        32 bytes.

    Returns
    -------
    list[str]
        The fingerprints of all keys that it trusts now.

    Raises
    ------
    DeviceError
        If the device cannot check signatures, or cannot be reached.
    """
    return _trusted(transport, _ask(transport, ["trust", trust.encode(public_key)]))


def distrust_key(transport: Transport, fingerprint: str) -> tuple[bool, list[str]]:
    """Make a device stop trusting a public key. It goes on asking for signatures, also after the last key.

    Parameters
    ----------
    transport : Transport
    fingerprint : str
        As `stages.runtime.trust.fingerprint` returns it.

    Returns
    -------
    removed : bool
        Whether the device trusted it.
    trusted : list[str]
        The fingerprints of the keys that are left.

    Raises
    ------
    DeviceError
        If the key cannot be removed.
    """
    answer = _ask(transport, ["distrust", fingerprint])
    with answers.understood(transport.name):
        return answers.flag(answer["removed"]), _trusted(transport, answer)


def keys(transport: Transport) -> list[str] | None:
    """Return the fingerprints of the keys that a device trusts; None if it asks for no signature."""
    answer = _ask(transport, ["keys"])
    with answers.understood(transport.name):
        return _trusted(transport, answer) if answers.flag(answer["asks_for_signature"]) else None


def _trusted(transport: Transport, answer: Line) -> list[str]:
    with answers.understood(transport.name):
        return [answers.text(name) for name in answers.items(answer["trusted"])]


def _ask(transport: Transport, arguments: Sequence[str]) -> Line:
    with transport.lock():
        done = transport.run(".", ["-I", "-m", "stages.runtime", *arguments, "--device", "."])
    if done.returncode != 0:
        reason = answers.failure(done)
        raise DeviceError(f"Device {transport.name} cannot do that ({reason}). Run `edac devices setup` first.")
    (answer,) = answers.lines(transport.name, done.stdout) or [{}]
    return answer
