"""The shipped network: small, good at its task, and explained truly by occlusion and projection."""

from __future__ import annotations

import importlib.util
import json
import sys
from itertools import islice
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from zfcuda import models
from zfcuda.data import HELD_OUT_SEED, Parts
from zfcuda.models.pretrained.demo import load_demo

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = Path(models.__file__).parent / "pretrained"
PICTURES = 24  # two of every class


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    """benchmarks/truth.py by its path: the tests may run against an installed package."""
    spec = importlib.util.spec_from_file_location("truth", ROOT / "benchmarks" / "truth.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["truth"] = module  # where its dataclass looks for itself
    spec.loader.exec_module(module)
    return module


def test_explanations_of_the_demo_network_are_true(benchmark: ModuleType) -> None:
    """Over 200 pictures the figures are in the README; a few pictures must not fall below the same bars."""
    parts = Parts(seed=HELD_OUT_SEED)
    truth = benchmark.measure(load_demo(), islice(parts, PICTURES), parts)
    assert truth.occlusion >= 0.9
    assert truth.occlusion_at_random <= 0.3  # so that 90 % says something
    assert truth.projection >= 0.8
    assert truth.accuracy >= 0.95
    assert truth.control_accuracy <= truth.chance + 2 / PICTURES  # two pictures by luck


def test_measures_by_hand(benchmark: ModuleType) -> None:
    part = np.zeros((6, 6), dtype=bool)
    part[2, 3] = True
    origins = np.stack(np.meshgrid([0, 2, 4], [0, 2, 4], indexing="ij"), axis=-1)
    # windows of 2: only the one from (2, 2) holds pixel (2, 3); of 3, cut off at the border: those from 0 and 2, and 2
    assert benchmark.overlaps(part, origins, 2).tolist() == [[False] * 3, [False, True, False], [False] * 3]
    assert benchmark.overlaps(part, origins, 3).tolist() == [[False, True, False]] * 2 + [[False] * 3]
    energy = np.where(part, 6.0, 2.0)
    assert benchmark.contrast(energy, part) == 3.0
    assert benchmark.contrast(part.astype(float), part) == float("inf")


def test_what_the_weights_say_of_themselves() -> None:
    facts = json.loads((WEIGHTS / "demo.json").read_text(encoding="utf-8"))
    assert facts["finished"] and facts["accuracy"] >= 0.95
    assert abs(facts["control_accuracy"] - facts["chance"]) <= 0.05
    assert facts["held_out"]["pictures"] >= 1000 and facts["seed"] != facts["held_out"]["seed"]
    assert facts["seconds"] < 30 * 60
    assert facts["command"].startswith("python -m zfcuda.train ") and facts["torch"]
    assert (WEIGHTS / "demo.safetensors").stat().st_size <= 8_000_000


def test_load_demo() -> None:
    network = load_demo()
    assert not network.training
    assert network.classes == list(Parts.classes)
    picture = Parts(seed=HELD_OUT_SEED)[0]
    image = network.preprocess(picture.image)
    assert image.shape == (1, 3, 224, 224) and image.dtype == torch.float32
    with torch.inference_mode():
        assert network(image).shape == (1, 12)
    assert [name for name, _ in network.named_children()][:4] == ["conv1", "relu1", "pool1", "norm1"]
    assert {value.dtype for value in network.state_dict().values()} == {torch.float32}
