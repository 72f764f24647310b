"""A pass that is killed goes on, processes that share one come to the very same answer, and a state is held to."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zfcuda
from tests.features.run_patches import COUNT, result
from tests.features.small import LAYERS, Net, Slow, images
from zfcuda.features import loading, stream
from zfcuda.features.stream import Stream

Answer = dict[str, list[Tensor]]


@pytest.fixture(autouse=True)
def as_in_the_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "block_size", lambda image: 4)
    monkeypatch.setattr(loading, "block_size", lambda image: 4)
    monkeypatch.setattr(stream, "WRITE_EVERY", 0.0)
    monkeypatch.setattr(stream, "WRITE_SHARE", 0)


@pytest.fixture
def expected(as_in_the_other_processes: None) -> Answer:
    return result(0.0, None)


def same(a: Answer, b: Answer) -> bool:
    return list(a) == list(b) and all(torch.equal(x, y) for layer in a for x, y in zip(a[layer], b[layer], strict=True))


def started(*words: str, processes: int = 1) -> subprocess.Popen[str]:
    several = ["torch.distributed.run", f"--nproc_per_node={processes}", "--no-python", sys.executable, "-m"]
    launcher = several if processes > 1 else []
    command = [sys.executable, "-m", *launcher, "tests.features.run_patches", *words]
    settings = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=settings, stderr=subprocess.PIPE, text=True, start_new_session=True)


def test_a_killed_pass_goes_on_with_the_same_answer(expected: Answer, tmp_path: Path) -> None:
    state = tmp_path / "state.safetensors"
    killed = started("0.05", str(tmp_path / "result"), str(state))
    ends = time.monotonic() + 60
    while not state.exists():  # after the first block; all fifteen would take seconds more
        assert killed.poll() is None and time.monotonic() < ends
        time.sleep(0.01)
    killed.kill()
    assert killed.wait() == -signal.SIGKILL and not (tmp_path / "result").exists()
    assert 0 < done_in(state) < COUNT
    assert same(result(0.0, str(state)), expected)
    assert done_in(state) == COUNT
    assert [path.name for path in tmp_path.iterdir()] == ["state.safetensors"]  # no draft of the dead is left


def done_in(state: Path) -> int:
    done = zfcuda.features.state.StateFile(state)._read(state).done
    return sum(min(4, COUNT - 4 * block) for block in done.nonzero().flatten().tolist())


def test_two_processes_come_to_the_same_answer(expected: Answer, tmp_path: Path) -> None:
    state = tmp_path / "state.safetensors"
    both = started("0.0", str(tmp_path / "result"), str(state), processes=2)
    said = both.communicate(timeout=100)[1]
    assert both.returncode == 0, said
    for rank in (0, 1):
        assert same(torch.load(tmp_path / f"result{rank}", weights_only=True), expected)
    assert done_in(state) == COUNT and not list(tmp_path.glob("*.part*"))
    assert same(result(0.0, str(state)), expected)


class FakeRanks:
    """One of two processes, which is killed when the other's work is asked for."""

    count = 2

    def __init__(self, rank: int) -> None:
        self.rank, self.first = rank, rank == 0

    def of_first(self, value: Any) -> Any:
        return value

    def gathered(self, value: Any) -> Any:
        raise ZeroDivisionError


@pytest.mark.parametrize("ranks", [(0, 1), (1, 0), (1,)])
def test_what_killed_processes_have_done_is_taken(
    expected: Answer, ranks: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state.safetensors"
    before = stream.Ranks
    for rank in ranks:
        # Processes that start together see no work of one another.
        hidden = [path.rename(tmp_path / f"hidden-{path.name}") for path in tmp_path.iterdir()]
        monkeypatch.setattr(stream, "Ranks", lambda rank=rank: FakeRanks(rank))
        with pytest.raises(ZeroDivisionError):
            result(0.0, str(state))
        for path in hidden:
            path.rename(tmp_path / path.name.removeprefix("hidden-"))
    names = {0: "state.safetensors", 1: "state.safetensors.part1"}
    assert {path.name for path in tmp_path.iterdir()} == {names[rank] for rank in ranks}
    monkeypatch.setattr(stream, "Ranks", before)
    assert same(result(0.0, str(state)), expected)
    assert [path.name for path in tmp_path.iterdir()] == ["state.safetensors"]


class Stopping(Net):
    """Presses Ctrl-C when a block runs, the fourth one."""

    def __init__(self, at: int = 4) -> None:
        super().__init__()
        self.relu.register_forward_pre_hook(self.stop)
        self.blocks, self.at = 0, at

    def stop(self, module: nn.Module, inputs: Any) -> None:
        self.blocks += tuple(inputs[0].shape) == (4, 7, 3, 3)
        if self.blocks == self.at:
            signal.raise_signal(signal.SIGINT)


def test_ctrl_c_keeps_what_was_done_and_says_so(tmp_path: Path) -> None:
    state, every = tmp_path / "state", Slow(images(23))
    whole = zfcuda.strongest_patches(Net(), every, ["conv1"], top=4)["conv1"]
    with pytest.raises(KeyboardInterrupt, match="12 of 23 pictures were done, and none is kept"):
        zfcuda.strongest_patches(Stopping(), every, ["conv1"], top=4)
    with pytest.raises(KeyboardInterrupt, match=r"12 of 23 pictures are kept in .*/state, and the same call goes on"):
        zfcuda.strongest_patches(Stopping(), every, ["conv1"], top=4, state=state)
    every.broken = (2, 5, 10)  # what was done is not asked for again
    found = zfcuda.strongest_patches(Stopping(at=-1), every, ["conv1"], top=4, state=state)["conv1"]
    assert torch.equal(found.indices, whole.indices) and torch.equal(found.boxes, whole.boxes)


def test_a_finished_state_returns_at_once(tmp_path: Path) -> None:
    state, every = tmp_path / "state", Slow(images(23))
    first = zfcuda.strongest_patches(Net(), every, LAYERS, state=state)
    every.broken = tuple(range(1, 11)) + tuple(range(12, 22))  # the first one runs, three tell the data set
    again = zfcuda.strongest_patches(Net(), every, LAYERS, state=state)
    for layer in LAYERS:
        assert torch.equal(again[layer].values, first[layer].values) and again[layer].seen == 23


def changed(model: nn.Module) -> nn.Module:
    with torch.no_grad():
        model.fc.bias += 1
    return model


class Negating(Net):
    """Gives other values of the same weights; it even calls itself the same."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(-x)

    def _get_name(self) -> str:
        return "Net"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pictures": images(9, seed=2)}, "is of other pictures"),
        ({"pictures": images(10)}, "is of other pictures"),
        ({"model": Net(seed=1)}, "is of another model"),
        ({"model": changed(Net())}, "is of another model"),
        ({"model": Negating()}, r"is of another model \(its layers give other values for the first picture\)"),
        ({"layers": ["conv1"]}, "is of other layers: conv1, relu, conv2, fc, not conv1"),
        ({"top": 3}, "is of other settings: top 2, not 3"),
        ({"units": [1]}, "is of other settings: units"),
    ],
)
def test_a_state_of_something_else_is_refused(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    state = tmp_path / "state"
    arguments: dict[str, Any] = {"model": Net(), "pictures": images(9), "layers": LAYERS, "top": 2, "state": state}
    zfcuda.strongest_patches(**arguments)
    before = state.read_bytes()
    with pytest.raises(ValueError, match=f"state: {re.escape(str(state))} {said}"):
        zfcuda.strongest_patches(**{**arguments, **change})
    assert state.read_bytes() == before


def test_what_is_no_state_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "photo.jpg"
    file.write_bytes(b"somebody's photograph")
    with pytest.raises(ValueError, match=r"state: .*photo\.jpg: not a file with what was done .* name another file"):
        zfcuda.strongest_patches(Net(), images(3), LAYERS, state=file)
    assert file.read_bytes() == b"somebody's photograph"
    with pytest.raises(ValueError, match=r"state: .* a folder, not a file"):
        zfcuda.strongest_patches(Net(), images(3), LAYERS, state=tmp_path)
    with pytest.raises(TypeError, match="state: expected the path of a file, got int"):
        zfcuda.strongest_patches(Net(), images(3), LAYERS, state=3)


class Kept:
    """Keeps all activations, as they were when the layer gave them."""

    question, settings = "kept", {}

    def __init__(self) -> None:
        self.found: dict[int, dict[str, Tensor]] = {}

    def reduce(self, layer: str, activation: Tensor, indices: Tensor) -> Tensor:
        return activation.clone()

    def add(self, indices: Tensor, found: Mapping[str, Any], size: tuple[int, int]) -> None:
        for place, index in enumerate(indices.tolist()):
            self.found[index] = {layer: value[place] for layer, value in found.items()}

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        raise AssertionError

    merge = load_state_dict


def test_the_same_blocks_run_whatever_was_done_before() -> None:
    """Every picture comes once, in batches that depend on its number alone; the model ends behind the last layer."""
    model, every, kept = Net(), images(10), Kept()
    batches = []
    model.conv1.register_forward_pre_hook(lambda module, inputs: batches.append(len(inputs[0])))
    passed = Stream(model, every, ["conv1", "relu"]).run(kept)
    assert passed.seen == 10 and sorted(kept.found) == list(range(10))
    assert batches[-3:] == [4, 4, 2]
    with torch.no_grad():
        conv1 = model.conv1(every)
    for index in range(10):
        assert torch.equal(kept.found[index]["conv1"], conv1[index])  # not what the ReLU in place made of it


class Wandering(Net):
    """Calls a layer as often as the image says."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        for _ in range(int(x.abs().sum()) % 3):
            x = self.relu(x)
        return self.relu(x).sum((2, 3))


def test_a_layer_that_is_called_as_often_as_the_image_says_is_refused() -> None:
    with pytest.raises(ValueError, match="layer: expected one that is called as often for every image, got 'relu'"):
        Stream(Wandering(), images(40), ["relu"]).run(Kept())


def test_the_pictures_of_a_slow_data_set_are_loaded_beside_the_model() -> None:
    """While a block runs, the next one is asked for: the data set is ahead of the model."""
    data, ahead = Slow(images(24)), []
    asked = 0
    own = data.__class__.__getitem__

    class Noting(Slow):
        def __getitem__(self, index: int) -> Tensor:
            nonlocal asked
            asked = max(asked, index + 1)
            return own(self, index)

    class Waiting(Kept):
        def add(self, indices: Tensor, found: Mapping[str, Any], size: tuple[int, int]) -> None:
            ends = time.monotonic() + 5
            while asked < min(24, int(indices[-1]) + 5) and time.monotonic() < ends:
                time.sleep(0.001)
            ahead.append(asked - int(indices[-1]) - 1)

    Stream(Net(), Noting(data.every), ["conv1"]).run(Waiting())
    assert ahead[0] >= 4 and max(ahead) <= 12  # one block or two, not the whole data set


def test_no_warning_where_nothing_is_wrong() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Stream(Net(), images(5), ["conv1"]).run(Kept())
