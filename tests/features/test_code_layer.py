"""The layer that codes are taken from where nobody names one."""

from __future__ import annotations

import pytest
from torch import nn

import zfcuda
from zfcuda.features.code_layer import code_layer


@pytest.mark.parametrize(("name", "layer"), [("alexnet", "classifier.5"), ("resnet18", "flatten")])
def test_it_is_what_the_last_linear_layer_reads(name: str, layer: str) -> None:
    model = getattr(zfcuda.models, name)()
    found = code_layer(nn.DataParallel(model))
    assert found == layer
    assert found in zfcuda.network.layers(model)


def test_dropout_is_passed_over() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(), nn.Identity(), nn.Linear(4, 2))
    assert code_layer(model) == "2"
    for without in (model[:2], nn.Sequential(nn.Linear(3, 2))):
        with pytest.raises(ValueError, match=r"layer: expected a name, since Sequential has no linear layer behind"):
            code_layer(without)
