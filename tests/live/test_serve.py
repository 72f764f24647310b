"""``zfcuda serve`` as its user starts it: one line, signals, hang-ups, mistakes."""

from __future__ import annotations

import asyncio
import importlib.util
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.report import small
from zfcuda.cli import main

pytest.importorskip("uvicorn", reason="the extra live")
pytest.importorskip("starlette")
pytest.importorskip("python_multipart")
httpx = pytest.importorskip("httpx")
websockets = pytest.importorskip("websockets")

NETWORK = "tests.report.small:network"
WORDS = ("serve", "--no-browser", "--model", NETWORK, "--size", "48")


@contextmanager
def serving(*words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running server and the address that it printed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "zfcuda", *(words or WORDS)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


async def connected(address: str, work: Any, **options: Any) -> Any:
    """Does some work on a connection of a visitor who uploaded a picture; its identity is given to the work."""
    origin = address[: address.index("/", 8)]
    async with httpx.AsyncClient() as client:
        files = [("picture", ("a.png", _PICTURE.getvalue(), "image/png"))]
        answer = await client.post(f"{address}pictures", files=files, headers={"X-Visitor": "visitor-1"})
    identity = answer.json()["pictures"][0]["id"]
    async with websockets.connect(
        f"ws{address[4:]}work?visitor=visitor-1", origin=origin, max_size=2**26, close_timeout=0.5, **options
    ) as ws:
        return await work(ws, {"picture": identity, "network": NETWORK})


_PICTURE = io.BytesIO()
small.drawing(1).save(_PICTURE, "PNG")


def said(kind: str, identity: int, **fields: Any) -> str:
    return json.dumps({"kind": kind, "id": identity, **fields})


async def busy(ws: Any, about: dict[str, Any]) -> None:
    """Leaves it with long work under way."""
    await ws.send(said("look", 1, **about))
    assert "classes" in json.loads(await ws.recv())
    await ws.send(said("map", 2, window=2, stride=1, **about))
    assert json.loads(await ws.recv())["done"]
    await ws.send(said("methods", 3, names=["smoothgrad", "integrated"], **about))


def test_it_prints_one_line_and_sigterm_ends_it_with_work_under_way() -> None:
    with serving() as (process, address):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32}/", address)
        first = httpx.get(address)
        assert first.status_code == 200 and "server" not in first.headers and "date" not in first.headers

        async def work(ws: Any, about: dict[str, Any]) -> None:
            await busy(ws, about)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, 10) == 143

        asyncio.run(connected(address, work))
        out, err = process.communicate()
        assert out == "" and "Traceback" not in err and err.splitlines()[-1].startswith("zfcuda: interrupted")


def test_who_hangs_up_or_does_not_read_disturbs_nobody() -> None:
    with serving("serve", "--no-browser", "--model", NETWORK, "--size", "512") as (process, address):
        port = int(address.split(":")[2].partition("/")[0])
        path = address[address.index("/", 8) :]
        head = f"POST {path}pictures HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-Visitor: visitor-1\r\n"
        for text in (
            "",
            "GET / HT",
            "nonsense\r\n\r\n",
            f"{head}Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 100000\r\n\r\n--x\r\nContent-Dis",
        ):
            with socket.create_connection(("127.0.0.1", port), 5) as half:
                half.sendall(text.encode())

        async def cut(ws: Any, about: dict[str, Any]) -> None:
            await busy(ws, about)
            ws.transport.abort()

        async def unread(ws: Any, about: dict[str, Any]) -> None:
            asked = {"names": ["gradient"], **about}  # a megabyte each
            await ws.send(said("methods", 0, **asked))
            for _ in range(3):
                await ws.recv()
            before = _memory(process.pid)
            for i in range(100):
                await ws.send(said("methods", i, **asked))
                await asyncio.sleep(0.005)
            assert _memory(process.pid) - before < 60e6
            with pytest.raises(websockets.ConnectionClosed) as closed:
                for _ in range(1000):
                    await asyncio.wait_for(ws.recv(), 10)
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 1013

        async def last(ws: Any, about: dict[str, Any]) -> None:
            await busy(ws, about)
            process.send_signal(signal.SIGINT)
            assert await asyncio.to_thread(process.wait, 10) == 130

        for _ in range(6):  # more than a visitor may have connections
            asyncio.run(connected(address, cut))
        asyncio.run(connected(address, unread, max_queue=1))
        asyncio.run(connected(address, last))


def _memory(pid: int) -> float:
    """Bytes of a process that are in memory; 0 where the system does not tell."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0.0


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main([*WORDS, "--port", str(port)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines()[-1] == (
        f"zfcuda: error: --port {port}: something listens there already; --port 0 takes a free one"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--port", "70000"), "--port: expected 0 to 65535, got 70000"),
        (("--model", "resnet"), "no network 'resnet'"),
        (("--weights", "w.pth", "--model", "zfnet", "--model", "vgg16"), "--weights: expected one --model"),
        (("no-such-folder",), "no-such-folder"),
        (("--patches", "no-such-folder"), "--patches no-such-folder: expected a folder that zfcuda patches wrote"),
        (("--device", "toaster"), "--device toaster: not available here"),
        (("--model", NETWORK, "--classes", "none.txt"), "none.txt: no such file"),
    ],
)
def test_mistakes_are_told_before_it_listens(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--no-browser", *words]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and said in printed.err.splitlines()[-1]


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("zfcuda.cli.serve.find_spec", lambda name: None if name == "uvicorn" else find(name))
    assert main(["serve"]) == 2
    assert capsys.readouterr().err == "zfcuda: error: this needs uvicorn: pip install zfcuda[live]\n"


def test_help_needs_neither_torch_nor_the_extra(tmp_path: Path) -> None:
    for name in ("torch", "starlette", "uvicorn", "websockets"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('it was imported')\n")
    path = os.pathsep.join([str(tmp_path), os.getcwd(), os.environ.get("PYTHONPATH", "")])
    words = [sys.executable, "-m", "zfcuda", "serve", "--help"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 0 and "--listen" in done.stdout, done.stderr


@pytest.mark.parametrize(("own", "found"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_that_wait_are_told_to_sleep_before_torch_is_loaded(
    own: str | None, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", own or "")
    if own is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    seen: list[str | None] = []
    torch = importlib.import_module("torch")

    def load(name: str) -> None:
        seen.append(os.environ.get("OMP_WAIT_POLICY"))
        sys.modules["torch"] = torch

    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr("zfcuda.command.import_module", load)
    monkeypatch.setattr("zfcuda.cli.serve.check_installed", lambda: sys.exit(0))  # and goes no further
    main(["serve"])
    assert seen == [found]
