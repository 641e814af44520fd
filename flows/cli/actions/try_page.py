"""What `edac try` does."""

import argparse
import contextlib
import tempfile
import threading
import webbrowser
from pathlib import Path

from flows.cli import project, registry
from stages.core.project.errors import DataError, ParameterError
from stages.push import bundle, page
from stages.push.page_server import Served, serving
from stages.push.rollout import CURRENT
from stages.push.transports import local, web
from stages.runtime import manifest


def try_page(given: argparse.Namespace) -> None:
    """Serve the page with a release on this machine until Ctrl-C, and open it in the browser."""
    page.built()
    if not 0 <= given.port < 2**16:
        raise ParameterError(f"--port must be in [0, 65535]; got {given.port}. Leave it out.")
    with tempfile.TemporaryDirectory(prefix="edac-try-") as temporary:
        release, site = _release(given, Path(temporary)), Path(temporary) / "site"
        about = manifest.load(release)
        opened = page.Rollback(about.registered_name, bundle.release_id(release), 0)  # whatever ran at this port before
        page.write(site, None, rollback=opened)
        with serving(Served(site, release), given.port) as address, contextlib.suppress(KeyboardInterrupt):
            print(f"{address} runs {about.name} in the browser; nothing leaves this machine. ", end="")
            print("Ctrl-C ends it.", flush=True)
            if not given.no_browser:
                webbrowser.open(address)
            threading.Event().wait()


def _release(given: argparse.Namespace, temporary: Path) -> Path:
    """Return the folder of the release to open; made in `temporary` where there is none yet."""
    if given.device is not None:
        device = project.device(given.device)
        if not isinstance(device.config, local.Config | web.Config):
            raise ParameterError(f"--device must be on this machine; {given.device} is reached by {device.transport}.")
        folder: Path = device.config.folder / CURRENT
        if not (folder / manifest.NAME).is_file():
            raise DataError(f"Device {given.device} holds no release. Push one to it first.")
        return folder.resolve()
    selected, version = given.folder, 1
    if selected is None:
        selected = temporary / "selected"
        version = registry.find().download(registry.registered_name(), given.alias, selected)
    elif (selected / manifest.NAME).is_file():
        return Path(selected)
    bundle.build(temporary / "release", selected=selected, version=version)
    return temporary / "release"
