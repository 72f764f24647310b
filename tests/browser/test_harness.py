"""What the fixtures find, on pages with planted faults, and what they leave behind: nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import pytest

from tests.harness.serving import ROOT, serving

PAGE = """<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,"><title>Planted</title><style>:root {{ color-scheme: light dark }} body {{ margin: 0 }}
#box {{ width: 200px; height: 100px; background: #888; touch-action: none }}</style>
<div id="box" tabindex="0"></div>{body}
<script>'use strict';
const heard = [];
for (const kind of ['pointerdown', 'pointermove', 'pointerup', 'wheel', 'keydown'])
  document.getElementById('box').addEventListener(kind, e => heard.push(
    kind === 'keydown' ? e.key : kind === 'wheel' ? ['wheel', e.deltaY] : [kind, e.pointerType, e.offsetX, e.offsetY]));
</script>"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """The test's folder, on loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def page(folder: Path, body: str = "") -> Path:
    path = folder / "page.html"
    path.write_text(PAGE.format(body=body), encoding="utf-8")
    return path


def test_a_quiet_page_has_no_complaint(browser, tmp_path: Path) -> None:
    browser.open(page(tmp_path))
    assert browser.complaints() == [] and browser.too_wide() == []
    assert browser.requests()[0].endswith("/page.html")
    assert browser.picture("quiet").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("<script>console.error('planted')</script>", "planted"),
        ("<script>console.log('planted')</script>", "planted"),
        ("<script>throw new Error('planted')</script>", "planted"),
        ("<script>Promise.reject(new Error('planted'))</script>", "planted"),
        ("<img src='missing.png' alt=''>", "missing.png"),
    ],
)
def test_what_stands_on_the_console_is_found(browser, tmp_path: Path, body: str, said: str) -> None:
    browser.open(page(tmp_path, body))
    assert any(said in line for line in browser.complaints())


@pytest.mark.parametrize(
    "body",
    [
        "<img src='http://planted.example/x.png' alt=''>",
        "<img src='http://192.0.2.1/x.png' alt=''>",
        "<script>fetch('https://planted.example/x').catch(() => 0)</script>",
        "<script>new WebSocket('ws://planted.example/x')</script>",
        "<link rel='stylesheet' href='//planted.example/x.css'>",
    ],
)
def test_a_request_to_another_host_is_found_and_does_not_leave(browser, site: str, tmp_path: Path, body: str) -> None:
    page(tmp_path, body)
    browser.open(f"{site}page.html")
    assert browser.requests()[0] == f"{site}page.html"
    (asked,) = browser.foreign()
    assert asked.split("/")[2] in ("planted.example", "192.0.2.1")
    assert any("ERR_NAME_NOT_RESOLVED" in line for line in browser.console())
    browser._requests.clear()


@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_what_is_too_wide_is_named(browser, tmp_path: Path, size: str) -> None:
    browser.open(page(tmp_path, "<div class='wide' style='width: 2000px'>planted</div>"))
    browser.size(size)
    assert browser.ask("document.documentElement.clientWidth") == {"desktop": 1280, "phone": 360}[size]
    assert browser.too_wide() == [f"div.wide: 2000 of {1280 if size == 'desktop' else 360} pixels"]


def test_dark_and_reduced_motion_are_told(browser, tmp_path: Path) -> None:
    browser.open(page(tmp_path))
    colour, motion = "getComputedStyle(document.body).color", "matchMedia('(prefers-reduced-motion: reduce)').matches"
    browser.prefer(dark=True, reduced_motion=True)
    assert browser.ask(colour) == "rgb(255, 255, 255)" and browser.ask(motion)
    browser.prefer()
    assert browser.ask(colour) == "rgb(0, 0, 0)" and not browser.ask(motion)


def test_pointer_wheel_and_keys_arrive_where_they_are_meant(browser, tmp_path: Path) -> None:
    browser.open(page(tmp_path, "<div style='height: 3000px'></div>"))
    browser.move("#box", (30, 40))
    assert browser.ask("heard.splice(0)")[-1] == ["pointermove", "mouse", 30, 40]
    browser.drag("#box", (10, 20), (50, 60), (70, 80))
    heard = [h for h in browser.ask("heard.splice(0)") if h[0] != "pointermove" or h[2] != 10]
    assert heard == [
        ["pointerdown", "mouse", 10, 20],
        ["pointermove", "mouse", 50, 60],
        ["pointermove", "mouse", 70, 80],
        ["pointerup", "mouse", 70, 80],
    ]
    browser.wheel("#box", -120, (5, 5))
    assert browser.wait("heard.length && heard.splice(0)") == [["wheel", -120]]
    browser.click("#box")
    browser.ask("heard.splice(0)")
    browser.press("ARROW_LEFT", "a")
    browser.press("ARROW_UP", shift=True)
    assert browser.ask("heard") == ["ArrowLeft", "a", "Shift", "ArrowUp"]
    browser.size("phone")
    browser.ask("heard.splice(0)")
    browser.click("#box", (15, 25), touch=True)
    assert browser.ask("heard[0]") == ["pointerdown", "touch", 15, 25]


def test_files_and_folders_are_dropped(browser, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.txt").write_text("planted")
    taken = """<script>
const box = document.getElementById('box');
let dropped = null;
box.addEventListener('dragover', e => e.preventDefault());
box.addEventListener('drop', e => {
  e.preventDefault();
  dropped = [...e.dataTransfer.items].map(i => [i.webkitGetAsEntry().name, i.webkitGetAsEntry().isDirectory]);
});
</script>"""
    browser.open(page(tmp_path, taken))
    browser.drop("#box", tmp_path / "a.txt", tmp_path / "folder")
    assert browser.wait("dropped") == [["a.txt", False], ["folder", True]]


@pytest.mark.parametrize("turn", ["stores", "finds nothing"])
def test_a_tab_does_not_know_of_the_one_before(browser, turn: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp()
    browser.open(page(folder))
    kept = "[localStorage.length, sessionStorage.length, document.documentElement.clientWidth]"
    assert browser.ask(kept) == [0, 0, 1280]
    browser.ask("(localStorage.x = 1, sessionStorage.x = 1)")
    browser.size("phone")


def test_a_wait_that_fails_says_what_the_console_says(browser, tmp_path: Path) -> None:
    browser.open(page(tmp_path, "<script>console.warn('planted')</script>"))
    with pytest.raises(AssertionError, match=r"1 > 2: still False after 0.1 s; WARNING: .*planted"):
        browser.wait("1 > 2", seconds=0.1)
    browser.console()


def test_nothing_is_left_behind(installed: ModuleType) -> None:
    with installed.chromium() as driver:
        folder = Path(driver.capabilities["chrome"]["userDataDir"]).parent
        session = driver.service.process.pid
        driver.get("data:text/html,<title>here</title>")
        assert folder.parent == Path(tempfile.gettempdir())
        assert len(installed.processes_of(session)) > 2
    assert installed.processes_of(session) == [] and not folder.exists()


SERVER = "import sys, time; print('http://127.0.0.1:1/token/', flush=True); time.sleep(60)"


def test_a_server_is_ended_whatever_happens(tmp_path: Path) -> None:
    errors = tmp_path / "errors.txt"
    with pytest.raises(KeyError), serving(errors=errors, command=[sys.executable, "-c", SERVER]) as server:
        assert server.address == "http://127.0.0.1:1/token/" and server.process.poll() is None
        raise KeyError
    assert server.process.returncode is not None
    deaf = [sys.executable, "-c", "import sys; print('no verb', file=sys.stderr)"]
    with (
        pytest.raises(AssertionError, match="expected an address, got ''; no verb"),
        serving(errors=errors, command=deaf),
    ):
        pass


KILLED = """import os, signal
from tests.harness.chromium import chromium
with chromium() as driver:
    print(driver.service.process.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_test_that_is_killed_takes_chromium_with_it(installed: ModuleType) -> None:
    environment = {**os.environ, "TMPDIR": tempfile.mkdtemp(prefix="zfcuda-")}
    result = subprocess.run([sys.executable, "-c", KILLED], env=environment, capture_output=True, text=True)
    assert result.returncode < 0, result.stderr
    session = int(result.stdout)
    until = time.monotonic() + 20
    while installed.processes_of(session) and time.monotonic() < until:
        time.sleep(0.05)
    assert installed.processes_of(session) == []
    shutil.rmtree(environment["TMPDIR"])


@pytest.mark.parametrize("missing", ["chromium", "selenium"])
def test_where_something_is_missing_the_tests_are_skipped(tmp_path: Path, missing: str) -> None:
    environment = {**os.environ}
    if missing == "chromium":
        environment["PATH"] = str(tmp_path)
    else:
        (tmp_path / "selenium.py").write_text("raise ModuleNotFoundError('no selenium')\n")
        environment["PYTHONPATH"] = f"{tmp_path}:{environment.get('PYTHONPATH', '')}"
    command = [sys.executable, "-m", "pytest", "-rs", "--noconftest", "-p", "tests.browser.conftest"]
    command += [f"{__file__}::test_a_quiet_page_has_no_complaint"]
    result = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0 and "SKIPPED [1]" in result.stdout and missing in result.stdout, result.stdout
