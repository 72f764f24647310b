"""The shipped network: small, good at its task, and what it says of itself."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from zfcuda import models
from zfcuda.data import HELD_OUT_SEED, Parts
from zfcuda.models.pretrained.demo import load_demo

WEIGHTS = Path(models.__file__).parent / "pretrained"


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
