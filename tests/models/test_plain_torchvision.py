"""torchvision's networks where its compiled operators do not fit the torch in use, on a small stand-in for it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from zfcuda.models.checkpoints import plain_torchvision as plain
from zfcuda.models.checkpoints.load import find, load

NETWORK = """
import torch
from torch import nn
from torchvision.extension import answer

class Tiny(nn.Sequential):
    def __init__(self, num_classes=1000):
        super().__init__(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(72, num_classes))

    def forward(self, x):
        return helper(super().forward(x))

def helper(x):
    return x * answer

def tiny(*, weights=None, num_classes=1000):
    import torchvision.models.late
    return Tiny(num_classes)

def list_models():
    return ["tiny"]

def get_model_builder(name):
    return tiny

def get_model(name, **options):
    return tiny(**options)

class Weights:
    meta = {"categories": ["a", "b"]}

    def transforms(self):
        from torchvision import models
        def transform(picture):
            return torch.zeros(3, 8, 8)
        transform.crop_size = [8]
        return transform

def get_model_weights(name):
    return [Weights()]
"""
BROKEN = "from . import extension\nraise RuntimeError('operator torchvision::nms does not exist')\nfrom . import models"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Writes a package torchvision: its first lines, and its module of networks."""

    def write(first: str = BROKEN, networks: str = NETWORK) -> None:
        folder = tmp_path / "torchvision"
        (folder / "models").mkdir(parents=True)
        (folder / "__init__.py").write_text(first)
        (folder / "extension.py").write_text("answer = 42")
        (folder / "models" / "__init__.py").write_text(networks)
        (folder / "models" / "late.py").write_text("")

    def theirs() -> list[str]:
        return [name for name in sys.modules if name.partition(".")[0] == "torchvision"]

    kept = {name: sys.modules.pop(name) for name in theirs()}
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(plain, "_package", [])
    yield write
    for name in theirs():
        del sys.modules[name]
    sys.modules.update(kept)


def test_its_networks_are_loaded_all_the_same(install: Callable[..., None]) -> None:
    install()
    for _ in range(2):
        loaded = find("torchvision/tiny", num_classes=2)
        model: Any = loaded.model
        assert loaded.input_size == (3, 8, 8) and model.classes == ["a", "b"]
        assert model.preprocess(Image.new("L", (9, 9))).shape == (1, 3, 8, 8)
    assert type(model) is type(load("tiny")), "a network has one class, however often it is loaded"
    assert type(load("torchvision.models:tiny")) is type(model)
    with plain.torchvision_models() as models:
        assert models is not None and isinstance(models.tiny(), type(model))


def test_names_that_come_near(install: Callable[..., None]) -> None:
    install()
    with pytest.raises(ValueError, match="torchvision has no network 'tinny'; did you mean tiny"):
        load("torchvision/tinny")
    with pytest.raises(ValueError, match="name: no network 'tinny'; did you mean torchvision/tiny"):
        load("tinny")


def test_nobody_else_finds_it(install: Callable[..., None]) -> None:
    install()
    load("torchvision/tiny")
    assert "torchvision" not in sys.modules
    for _ in range(2):
        with pytest.raises(RuntimeError, match="operator torchvision::nms does not exist"):
            importlib.import_module("torchvision")
    with pytest.raises(KeyError), plain.plain_torchvision():
        assert "torchvision" in sys.modules
        raise KeyError
    assert "torchvision" not in sys.modules


def test_a_network_that_was_made_can_be_followed(install: Callable[..., None]) -> None:
    install()
    model = load("torchvision/tiny", num_classes=2)
    x = torch.randn(1, 3, 8, 8)
    followed = torch.export.export(model, (x,), strict=True).module()
    torch.testing.assert_close(followed(x), model(x))


def test_one_that_works_is_left_alone(install: Callable[..., None]) -> None:
    install("from . import extension, models")
    load("torchvision/tiny")
    assert importlib.import_module("torchvision") is sys.modules["torchvision"]
    assert plain._package == []


def test_one_that_cannot_be_used_at_all(install: Callable[..., None]) -> None:
    install(networks="raise ImportError('no numbers')")
    with plain.torchvision_models() as models:
        assert models is None
    with pytest.raises(ValueError, match="torchvision cannot be imported: ImportError: no numbers"):
        load("torchvision/tiny")


def test_none_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with plain.torchvision_models() as models:
        assert models is None
    with pytest.raises(ValueError, match="torchvision"):
        load("torchvision/tiny")
