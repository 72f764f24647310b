"""What the verbs over many pictures have in common: where things go, Ctrl-C, the drawn pictures, torchrun."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from zfcuda import cli
from zfcuda.data import HELD_OUT_SEED, Parts
from zfcuda.data.collection import Collection
from zfcuda.features import loading, stream
from zfcuda.models import load_demo

# verb -> its options beside the pictures and the network, where what is done is kept, what is printed last.
VERBS = {
    "patches": (["--layer", "conv5", "--units", "1"], "out/patches/state.safetensors", "out/patches/index.html"),
    "dead": (["--layer", "relu7"], "out/dead/units.state", "out/dead/units.csv"),
    "codes": ([], "out/codes/codes.state", "out/codes/codes.safetensors"),
    "embed": (["--method", "pca"], "out/embed/state.safetensors", "out/embed/codes.safetensors"),
}


@pytest.fixture(params=VERBS)
def verb(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A verb, in a folder with three drawn pictures in it."""
    if request.param == "embed":
        pytest.importorskip("sklearn")
    (tmp_path / "photos").mkdir()
    for index in range(3):
        Parts(seed=4)[index].image.save(tmp_path / "photos" / f"{index}.png")
    monkeypatch.chdir(tmp_path)
    return str(request.param)


def words(verb: str, pictures: str = "photos") -> list[str]:
    return [verb, pictures, "--model", "demo", *VERBS[verb][0]]


def of(state: str, name: str) -> Any:
    """What a state file is of."""
    with safe_open(state, framework="pt") as file:
        return json.loads(file.metadata()["subject"])[name]


class Stopped:
    """A bar at whose first step somebody presses Ctrl-C."""

    def __init__(self, **options: Any) -> None:
        pass

    def __enter__(self) -> Stopped:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def update(self, count: int) -> None:
        raise KeyboardInterrupt


def test_what_is_done_is_kept_and_said_and_the_same_command_goes_on(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, state, last = VERBS[verb]
    for module in (stream, loading):
        monkeypatch.setattr(module, "block_size", lambda image: 1)
    with monkeypatch.context() as patch:
        patch.setattr(stream, "tqdm", Stopped)
        assert cli.main(words(verb)) == 130
    said = f"zfcuda: interrupted: 1 of 3 pictures are kept in {state}, and the same call goes on there"
    assert said in capsys.readouterr().err and not Path(last).exists()
    ran: list[range] = []

    def loaded(collection: Collection, blocks: list[range]) -> Iterator[Any]:
        ran.extend(blocks)
        return loading.loaded(collection, blocks)

    monkeypatch.setattr(stream, "loaded", loaded)
    assert cli.main(words(verb)) == 0
    assert ran == [range(1, 2), range(2, 3)]
    assert capsys.readouterr().out.splitlines()[-1] == last and Path(last).exists()
    assert cli.main(words(verb)) == 0 and len(ran) == 2  # nothing is run that is done


def test_a_state_of_something_else_is_begun_anew_where_nobody_named_it(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    state = VERBS[verb][1]
    assert cli.main(words(verb)) == 0
    Path("photos/2.png").unlink()
    capsys.readouterr()
    assert cli.main([*words(verb), "--state", state]) == 2
    assert f"zfcuda: error: state: {state} is of other pictures" in capsys.readouterr().err
    before = of(state, "pictures")
    assert cli.main(words(verb)) == 0
    said = f"zfcuda: warning: {state} is of other pictures (or another preprocess); it is begun anew"
    assert said in capsys.readouterr().err and of(state, "pictures") != before


def test_a_preprocess_that_is_assumed_is_said(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own_network.py").write_text(
        "from torch import nn\n"
        "def net():\n"
        "    pool = nn.AdaptiveAvgPool2d(1)\n"
        "    return nn.Sequential(nn.Conv2d(3, 4, 7, 4), nn.ReLU(), pool, nn.Flatten(), nn.Linear(4, 2))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    more = ["--layer", "0"] if verb == "patches" else ["--layer", "1"]
    for options, said in (([], True), (["--size", "64"], False)):
        assert cli.main([verb, "photos", "--model", "own_network:net", *more, *options]) == 0
        printed = capsys.readouterr().err
        assert ("zfcuda: warning: own_network:net: pictures are made so: " in printed) == said


def test_parts_are_the_same_held_out_pictures(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zfcuda.data.collection.PARTS", 3)
    assert cli.main(words(verb, "parts")) == 0
    pictures = Collection.of((Parts(seed=HELD_OUT_SEED), 3), preprocess=load_demo().preprocess)
    assert of(VERBS[verb][1], "pictures") == pictures.fingerprint


@pytest.mark.parametrize("verb", ["embed", "patches"], indirect=True)
def test_under_torchrun_one_process_speaks(verb: str) -> None:
    Path("photos/3.png").write_text("no picture")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    known = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    known |= {"TORCHELASTIC_RUN_ID": "test", "PYTHONPATH": str(Path(cli.__file__).parents[2])}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "zfcuda", *words(verb)],
            env=known | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    (first, told), (second, silent) = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0, 0], told + silent
    assert first.splitlines()[-1] == VERBS[verb][2] and second == ""
    assert "1 of 4 left out: 3.png" in told and "zfcuda" not in silent
