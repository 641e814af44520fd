"""Requests to this machine go directly, whatever proxy the environment names."""

import os

SCHEMES = ("http", "https", "socks5", "socks5h")
"""What the address of a proxy may begin with: clients of HTTP take no other."""
NAMES = ("127.0.0.1", "localhost", "::1")


def without_proxy() -> None:
    """Add this machine's names to NO_PROXY, for this process and those that it starts."""
    if not any(name.lower().endswith("_proxy") and name.lower() != "no_proxy" for name in os.environ):
        return
    for variable in ("NO_PROXY", "no_proxy"):  # programs differ in which they read
        given = [name for name in os.environ.get(variable, "").replace(" ", "").split(",") if name]
        if "*" not in given:
            os.environ[variable] = ",".join([*given, *(name for name in NAMES if name not in given)])


def foreign_proxy() -> str | None:
    """Return the environment variable that names a proxy of a kind with which no client of HTTP starts; None if none.

    Examples
    --------
    >>> os.environ["ALL_PROXY"] = "socks4://proxy.example:1080"
    >>> foreign_proxy()
    'ALL_PROXY'
    >>> del os.environ["ALL_PROXY"]
    """
    for variable, address in sorted(os.environ.items()):
        scheme, known, _ = address.partition("://")
        named = variable.lower() in ("http_proxy", "https_proxy", "all_proxy")
        if named and known and scheme.lower() not in SCHEMES:
            return variable
    return None
