"""Weights are loaded whole or not at all, and what does not fit is named."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from zfcuda.models.checkpoints.errors import WeightsError
from zfcuda.models.checkpoints.match import load_weights
from zfcuda.models.checkpoints.read import read_metadata, read_weights


def network(classes: int = 3, *, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, classes))


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def save_safetensors(content: dict[str, Tensor], path: Path) -> Path:
    save_file(content, path)
    return path


def save_pickle(content: object, path: Path) -> Path:
    torch.save(content, path)
    return path


def refused(model: nn.Module, path: Path) -> str:
    before = state(model)
    with pytest.raises(WeightsError) as caught:
        load_weights(model, path)
    message = str(caught.value)
    assert same(before, state(model)), "the network changed although the weights were refused"
    assert "\n" not in message and isinstance(caught.value, ValueError)
    return message


@pytest.mark.parametrize(
    ("name", "save"),
    [
        ("w.safetensors", save_safetensors),
        ("w.pth", save_pickle),
        ("w.pt", save_pickle),
        ("safetensors_under_another_name.bin", save_safetensors),
        ("w.pth", lambda s, p: save_pickle({"state_dict": s, "epoch": 3}, p)),
        ("w.pth", lambda s, p: save_pickle({f"module.{k}": v for k, v in s.items()}, p)),
        ("w.pth", lambda s, p: save_pickle({"state_dict": {f"module._orig_mod.{k}": v for k, v in s.items()}}, p)),
        ("w.safetensors", lambda s, p: save_safetensors({f"_orig_mod.{k}": v for k, v in s.items()}, p)),
        ("w.pth", lambda s, p: save_pickle({k: v for k, v in s.items() if "num_batches" not in k}, p)),
    ],
)
def test_round_trip(tmp_path: Path, name: str, save: Callable[[dict[str, Tensor], Path], Path]) -> None:
    source, target = network(seed=1), network(seed=2)
    load_weights(target, save(state(source), tmp_path / name))
    assert same(state(source), state(target))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_are_cast_to_the_network(tmp_path: Path, dtype: torch.dtype) -> None:
    source, target = network(seed=1).to(dtype), network(seed=2)
    load_weights(target, save_safetensors(state(source), tmp_path / "w.safetensors"))
    assert target[0].weight.dtype == torch.float32
    assert torch.equal(target[0].weight, source[0].weight.float())


def test_prefix_of_the_network_itself_stays(tmp_path: Path) -> None:
    class Wrapped(nn.Module):
        def __init__(self, seed: int) -> None:
            super().__init__()
            self.module = network(seed=seed)

    source, target = Wrapped(1), Wrapped(2)
    load_weights(target, save_pickle(state(source), tmp_path / "w.pth"))
    assert same(state(source), state(target))


@pytest.mark.parametrize("kind", ["safetensors", "pth"])
def test_weights_of_another_network(tmp_path: Path, kind: str) -> None:
    save = save_safetensors if kind == "safetensors" else save_pickle
    path = tmp_path / f"w.{kind}"

    save(state(network(classes=5)), path)
    assert refused(network(), path) == (
        f"{path}: weights of another network: '3.weight' is [5, 4] in the file and [3, 4] in the network"
    )
    save({k: v for k, v in state(network()).items() if k != "0.bias"}, path)
    assert "'0.bias' [4] is missing from the file" in refused(network(), path)
    save({"features.weight": torch.zeros(2, 3)}, path)
    assert "'0.weight' [4, 3, 3, 3] is missing from the file (it has 'features.weight' [2, 3] instead)" in refused(
        network(), path
    )
    save(state(network()) | {"4.weight": torch.zeros(1, 2)}, path)
    assert "'4.weight' [1, 2] does not exist in the network" in refused(network(), path)


def test_pickled_code_is_refused_and_never_run(tmp_path: Path) -> None:
    mark = tmp_path / "executed"

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {mark}",)

    for name, content in (("a.pth", Bomb()), ("b.pt", {"state_dict": state(network()), "extra": Bomb()})):
        message = refused(network(), save_pickle(content, tmp_path / name))
        assert "refused, since loading it would run Python code (posix.system)" in message
    plain = tmp_path / "plain.pth"
    plain.write_bytes(pickle.dumps(Bomb()))
    refused(network(), plain)
    assert "code" in refused(network(), save_pickle(network(), tmp_path / "whole.pth"))
    assert not mark.exists()


@pytest.mark.parametrize("kind", ["safetensors", "pth"])
@pytest.mark.parametrize("part", [0.0, 0.001, 0.1, 0.5, 0.95])
def test_truncated_files_are_refused(tmp_path: Path, kind: str, part: float) -> None:
    path = tmp_path / f"w.{kind}"
    (save_safetensors if kind == "safetensors" else save_pickle)(state(network()), path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    message = refused(network(), path)
    assert message.startswith(f"{path}: ") and ("truncated" in message or "empty" in message)


def test_what_holds_no_weights_is_refused(tmp_path: Path) -> None:
    model = network()
    assert refused(model, tmp_path / "none.pth").endswith("no such file")
    assert "a folder" in refused(model, tmp_path)
    text = tmp_path / "notes.pth"
    text.write_text("These are notes, not weights.")
    assert "not a file of weights" in refused(model, text)
    text.write_text("{}{}{}{}{{{{{{{{{{{{{")
    refused(model, text)
    assert "holds a list" in refused(model, save_pickle([1, 2], tmp_path / "list.pth"))
    assert "'epoch' is a int" in refused(model, save_pickle({"epoch": 3}, tmp_path / "dict.pth"))
    assert "holds no tensors" in refused(model, save_pickle({}, tmp_path / "nothing.pth"))
    sparse = {"0.weight": torch.eye(3).to_sparse()}
    assert "'0.weight' is not a plain dense tensor" in refused(model, save_pickle(sparse, tmp_path / "sparse.pth"))


def test_a_network_without_storage_is_refused(tmp_path: Path) -> None:
    path = save_pickle(state(network()), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="meta device"):
        load_weights(network().to("meta"), path)


def test_read_weights_keeps_the_dtypes(tmp_path: Path) -> None:
    path = save_safetensors({"a": torch.ones(2, dtype=torch.float16)}, tmp_path / "w.safetensors")
    assert read_weights(path)["a"].dtype == torch.float16


@pytest.mark.filterwarnings("ignore:.*nested tensors is in prototype")
def test_tensors_without_numbers_are_refused(tmp_path: Path) -> None:
    content = state(network())
    name = next(iter(content))
    for odd, message in (
        (content[name].to("meta"), f"'{name}' has a shape but no numbers"),
        (torch.nested.nested_tensor([torch.rand(2), torch.rand(3)]), f"'{name}' is not a plain dense tensor"),
        (content[name].to_sparse(), f"'{name}' is not a plain dense tensor"),
    ):
        assert message in refused(network(), save_pickle(content | {name: odd}, tmp_path / "w.pth"))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    for name in ("w.safetensors", "w.pth", "w.caffemodel", "w"):
        os.mkfifo(tmp_path / name)
        assert "not a regular file" in refused(network(), tmp_path / name)
        assert read_metadata(tmp_path / name) == {}
