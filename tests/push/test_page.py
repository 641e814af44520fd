"""The page's server on loopback, the pinned keys, the release for integer models, and one self-test in a browser."""

import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from flows.cli import main
from stages.core.project.errors import DataError, DeviceError, ParameterError
from stages.core.project.provenance import ROOT
from stages.push import browser, bundle, page
from stages.push.page_server import Served, serving
from stages.quantize.params import QuantizeParams
from stages.runtime.litert import Model

sys.path.insert(0, str(Path(__file__).parent))
import pages  # type: ignore[import-not-found]
import tiny  # type: ignore[import-not-found]


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "site").mkdir()
    (tmp_path / "release/golden").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "site/index.html").write_text("page")
    (tmp_path / "site/link").symlink_to(tmp_path / "secret")
    (tmp_path / "release/golden/0.wav").write_bytes(b"wave")
    with serving(Served(tmp_path / "site", tmp_path / "release")) as address:
        yield address


def ask(address: str, path: str, *, method: str = "GET", host: str | None = None) -> tuple[int, bytes, dict[str, str]]:
    where = urlsplit(address).netloc
    connection = http.client.HTTPConnection(where, timeout=10)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", host or where)
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, answer.read(), dict(answer.getheaders())
    connection.close()
    return found


def test_the_server_gives_page_and_release_and_nothing_else(address: str) -> None:
    assert ask(address, "/")[1] == b"page"
    assert ask(address, "/current/golden/0.wav")[:2] == (200, b"wave")
    for path in (
        "/../secret",
        "/%2e%2e/secret",
        "/current/../secret",
        "/current/%2e%2e/secret",
        "/link",
        "/absent",
        "/ask/x",
    ):
        assert ask(address, path)[0] == 404, path
    assert ask(address, "/ask/x", method="POST")[0] == 404


def test_another_sites_name_is_refused(address: str) -> None:
    assert ask(address, "/", host="evil.example")[0] == 404


def test_every_answer_carries_the_strict_policy(address: str) -> None:
    for path in ("/", "/absent", "/current/golden/0.wav"):
        headers = ask(address, path)[2]
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "require-trusted-types-for 'script'" in policy
        assert "unsafe-inline" not in policy
        assert "'unsafe-eval'" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"


def test_a_taken_port_is_one_sentence(address: str, tmp_path: Path) -> None:
    port = urlsplit(address).port
    assert port is not None
    with pytest.raises(ParameterError, match="--port must be free"), serving(Served(tmp_path, tmp_path), port):
        pass


def test_a_full_integer_release_has_one_file_for_browsers_and_a_float_one_has_not(tmp_path: Path) -> None:
    selected = pages.selected(tmp_path / "float")
    bundle.build(tmp_path / "a", selected=selected, version=1)
    assert not (tmp_path / "a" / bundle.SINGLE).exists()
    frontend, model = pages.files()
    waveforms = np.stack([pages.tone(0.5, level) for level in np.linspace(0.01, 0.3, 32)])
    features = Model(frontend).run(waveforms)
    scheme, config = QuantizeParams().scheme("static_wi8_ai8")
    integers = scheme.quantize(config, model, features)
    (tmp_path / "int" / "selected").mkdir(parents=True)
    (tmp_path / "int" / "features").mkdir()
    tiny.write_features(tmp_path / "int" / "features")
    again = tiny.write_selection(tmp_path / "int" / "selected", tmp_path / "float" / "features", frontend, integers, 0)
    bundle.build(tmp_path / "b", selected=again, version=1)
    together = Model(tmp_path / "b" / bundle.SINGLE).run(waveforms)
    assert np.array_equal(together, Model(integers).run(features))


@pytest.fixture(scope="session")
def found_browser() -> browser.Browser:
    try:
        page.built()
        return browser.find()
    except (DataError, DeviceError) as error:
        pytest.skip(str(error))


def test_pinned_keys_are_data_whatever_they_hold(found_browser: browser.Browser, tmp_path: Path) -> None:
    page.write(tmp_path, {"f": b"</script><script>alert(1)</script>"[:32]})
    text = (tmp_path / page.INDEX).read_text()
    found = json.loads(text.partition('id="site">')[2].partition("</script>")[0])
    assert len(found["keys"]) == 1
    assert "__" not in text.replace("__proto__", "")
    page.write(tmp_path, None)
    assert '{"keys": null,' in (tmp_path / page.INDEX).read_text()
    assert not list(tmp_path.rglob("*threaded*"))


def test_a_real_browser_computes_the_golden_scores(found_browser: browser.Browser, tmp_path: Path) -> None:
    said = browser.ask(pages.release(tmp_path), {"do": "selftest"}, keys=None, browser=found_browser, timeout_s=120)
    assert said["ok"], said
    assert len(said["differences"]) == 4
    assert max(said["differences"].values()) < 1e-5


@pytest.mark.thorough
def test_firefox_computes_them_too(found_browser: browser.Browser, tmp_path: Path) -> None:
    try:
        firefox = browser.find("firefox-esr")
    except DeviceError:
        pytest.skip("no Firefox here; install firefox-esr")
    said = browser.ask(pages.release(tmp_path), {"do": "selftest"}, keys=None, browser=firefox, timeout_s=120)
    assert said["ok"], said
    assert max(said["differences"].values()) < 1e-5


def test_a_browser_that_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(browser.ENVIRONMENT, "no-such-browser")
    with pytest.raises(DeviceError, match=r"no-such-browser.*is not installed"):
        browser.find()
    monkeypatch.delenv(browser.ENVIRONMENT)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match="No browser is installed"):
        browser.find()


@pytest.mark.thorough
def test_edac_try_serves_until_it_is_interrupted(found_browser: browser.Browser, tmp_path: Path) -> None:
    release = pages.release(tmp_path)
    command = [sys.executable, "-m", "flows.cli.main", "try", "--no-browser", "--folder", str(release)]
    # What a shell starts in the background ignores SIGINT, and hands that on to what it starts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        signal.signal(signal.SIGINT, before)
        try:
            assert started.stdout is not None
            line = started.stdout.readline()
            address = line.split()[0]
            assert "nothing leaves this machine" in line
            assert ask(address, "/current/manifest.json")[1] == (release / "manifest.json").read_bytes()
            assert b"Content-Security-Policy" in ask(address, "/")[1]
            started.send_signal(signal.SIGINT)
            assert started.wait(20) == 0
        finally:
            started.kill()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--port", "70000"], "--port must be in"),
        (["--folder", "absent"], "absent"),
        (["--device", "nobody"], "push.devices has no device 'nobody'"),
    ],
)
def test_mistakes_in_edac_try_are_one_sentence(
    found_browser: browser.Browser,
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("push: {}\n")
    with pytest.raises(SystemExit) as ended:
        main.main(["try", "--no-browser", *arguments])
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert sentence in said
