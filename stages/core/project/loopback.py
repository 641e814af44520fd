"""Requests to this machine go directly, whatever proxy the environment names."""

import os

NAMES = ("127.0.0.1", "localhost", "::1")


def without_proxy() -> None:
    """Add this machine's names to NO_PROXY, for this process and those that it starts."""
    if not any(name.lower().endswith("_proxy") and name.lower() != "no_proxy" for name in os.environ):
        return
    for variable in ("NO_PROXY", "no_proxy"):  # programs differ in which they read
        given = [name for name in os.environ.get(variable, "").replace(" ", "").split(",") if name]
        if "*" not in given:
            os.environ[variable] = ",".join([*given, *(name for name in NAMES if name not in given)])
