"""The built page is what its sources build, with the locked packages, and the Python package carries all of it."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from stages.core.project import files
from stages.core.project.errors import DataError
from stages.core.project.provenance import ROOT
from stages.push import page

SOURCES = ROOT / "stages/push/web"
HINT = "install Node.js 20 or newer, or `pip install 'edac[page]'`, then run `make page`"


def hashes(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): files.sha256(p) for p in sorted(folder.rglob("*")) if p.is_file()}


def difference(built: Path, made: Path) -> str:
    """A sentence that names the files in which a built page is not what its sources build; empty if there are none."""
    first, second = hashes(built), hashes(made)
    names = sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
    if not names:
        return ""
    return f"The built page {built} is not what its sources build ({', '.join(names)} differ). Run `make page`."


def build(folder: Path, edit: tuple[str, str, str] | None = None) -> Path:
    """Build the page from a copy of the sources, one text of one file replaced on request; return what was built."""
    shutil.copytree(SOURCES, folder, ignore=shutil.ignore_patterns("dist", "node_modules"))
    (folder / "node_modules").symlink_to(SOURCES / "node_modules")
    if edit is not None:
        name, old, new = edit
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))
    done = subprocess.run(["node", "build.mjs"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "dist"


@pytest.fixture(scope="module")
def built() -> Path:
    """The page that the set-up built."""
    try:
        return page.built()
    except DataError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def node(built: Path) -> None:
    if shutil.which("node") is None or not (SOURCES / "node_modules/.package-lock.json").is_file():
        pytest.skip(f"no Node.js here that built the page; {HINT}")


@pytest.mark.thorough
def test_the_built_page_is_what_its_sources_build_in_any_folder(node: None, built: Path, tmp_path: Path) -> None:
    first, second = build(tmp_path / "one"), build(tmp_path / "another folder" / "deeper")
    assert hashes(first) == hashes(second)
    assert difference(built, first) == ""


@pytest.mark.thorough
def test_a_page_of_other_sources_is_told_by_the_files_that_differ(node: None, tmp_path: Path) -> None:
    as_is, edited = build(tmp_path / "as is"), build(tmp_path / "edited", ("static/page.css", "46rem", "45rem"))
    said = difference(as_is, edited)
    assert re.search(r"\(index\.html, page-\w+\.css, .*service_worker\.js differ\)", said)
    assert said.endswith("Run `make page`.")
    assert "app-" not in said


@pytest.mark.thorough
def test_the_page_was_built_with_the_packages_of_the_lock_file(node: None) -> None:
    locked = json.loads((SOURCES / "package-lock.json").read_text())["packages"]
    installed = json.loads((SOURCES / "node_modules/.package-lock.json").read_text())["packages"]
    needed = {name for name, package in locked.items() if name and not package.get("optional")}
    assert needed <= installed.keys(), f"run `npm ci` in {SOURCES}"
    wrong = [
        name for name, package in installed.items() if locked.get(name, {}).get("integrity") != package["integrity"]
    ]
    assert not wrong, f"run `npm ci` in {SOURCES}"


def test_the_lock_file_holds_a_hash_of_each_package_and_no_address() -> None:
    text = (SOURCES / "package-lock.json").read_text()
    packages = {name: package for name, package in json.loads(text)["packages"].items() if name}
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert not any("resolved" in package for package in packages.values())
    assert "omit-lockfile-registry-resolved=true" in (SOURCES / ".npmrc").read_text().splitlines()


def test_the_python_package_carries_every_file_of_the_page(built: Path) -> None:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["stages.push"]
    carried = {path for pattern in data for path in (ROOT / "stages/push").glob(pattern) if path.is_file()}
    assert {built / name for name in hashes(built)} <= carried
