"""Objectives in words: what they mean, and what is said of those that mean nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from zfcuda.synthesis import unit
from zfcuda.synthesis.parse import objective_of


def network() -> nn.Module:
    model = nn.Sequential()
    model.add_module("conv", nn.Conv2d(3, 4, 3))
    model.add_module("pool", nn.AdaptiveAvgPool2d(1))
    model.add_module("flat", nn.Flatten())
    model.add_module("fc", nn.Linear(4, 3))
    model.classes = ["tabby", "tiger cat", "conv"]  # type: ignore[assignment]
    return model


def test_what_they_mean() -> None:
    model = network()
    for text, means in (
        ("conv", "conv"),  # a class is called so too
        (" conv:2 ", "conv:2"),
        ("conv:0@12,3", "conv:0@12,3"),
        ("1", "class 1"),
        ("tabby", "class 0"),
        ("Tiger_Cat", "class 1"),
        (1, "class 1"),
        (np.int64(2), "class 2"),
    ):
        assert objective_of(text, model).text == means, text
    given = unit("conv", 1)
    assert objective_of(given, model) is given


@pytest.mark.parametrize("wrap", [torch.compile, nn.DataParallel], ids=["compile", "DataParallel"])
def test_layers_by_the_names_that_a_wrapper_gives_them(wrap: Any) -> None:
    wrapped = wrap(network())
    for name in ("conv", next(name for name, _ in wrapped.named_modules() if name.endswith("conv"))):
        assert objective_of(f"{name}:1", wrapped).text == "conv:1"
    assert objective_of("tabby", wrapped).text == "class 0"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("conv:", "'conv:': at character 6: expected the number of a unit, 0 to 3, got its end"),
        ("conv:-1", "'conv:-1': at character 6: expected the number of a unit, 0 to 3, got '-1'"),
        ("conv:x", "at character 6: expected the number of a unit, 0 to 3, got 'x'"),
        ("pool:x", "at character 6: expected the number of a unit, got 'x'"),
        ("conv:1@5", "at character 7: expected the end, or a place @Y,X, got '@5'"),
        ("conv:1@5,", "at character 7: expected the end, or a place @Y,X, got '@5,'"),
        ("conv:1.5", "at character 7: expected the end, or a place @Y,X, got '.5'"),
        (
            "cnov:1",
            "'cnov:1': at character 1: Sequential has no layer 'cnov'; there are: conv, pool, flat, fc;",
        ),
        (
            "taby",
            "'taby' is neither a layer nor a class: .* there are: conv, .*no class 'taby'; did you mean tabby",
        ),
        ("", "expected LAYER:UNIT, a layer or a class, got ''"),
        ("-1", "expected the index of a class, 0 or more, got -1"),
    ],
)
def test_strings_that_mean_nothing_are_refused_with_the_place(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^objective: .*{message}"):
        objective_of(text, network())


def test_other_things_and_models_without_names() -> None:
    for wrong in (None, 1.5, True, ["conv:1"]):
        with pytest.raises(TypeError, match="objective: expected a string, a class index or an objective"):
            objective_of(wrong, network())
    nameless = network()
    del nameless.classes
    with pytest.raises(ValueError, match=r"neither a layer nor a class.*no names of its classes"):
        objective_of("tabby", nameless)
    with pytest.raises(TypeError, match=r"model: expected a torch.nn.Module, got int"):
        objective_of("conv", 3)  # type: ignore[arg-type]
