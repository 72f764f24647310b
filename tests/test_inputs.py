"""What every method asks of its caller: a dense image with numbers in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zfcuda

ODD: dict[str, tuple[Callable[[], Tensor], type[Exception], str]] = {
    "meta": (lambda: torch.zeros(3, 8, 8, device="meta"), ValueError, r"^\w+: .*\[3, 8, 8\] on the device meta"),
    "nested": (
        lambda: torch.nested.nested_tensor([torch.zeros(3, 8, 8)]),
        TypeError,
        r"^\w+: expected a dense Tensor, got a nested tensor",
    ),
    "jagged": (
        lambda: torch.nested.nested_tensor([torch.zeros(3, 8), torch.zeros(2, 8)], layout=torch.jagged),
        TypeError,
        r"^\w+: expected a dense Tensor, got a nested tensor",
    ),
    "sparse": (lambda: torch.eye(8)[None].expand(3, 8, 8).to_sparse(), TypeError, r"^\w+: .*torch.sparse_coo"),
}
METHODS: dict[str, Callable[[nn.Module, Any], Any]] = {
    "occlusion_map": lambda model, image: zfcuda.occlusion_map(model, image, window=4),
    "project": lambda model, image: zfcuda.project(model, image, layer="0"),
    "mapper": lambda model, image: zfcuda.OcclusionMapper(model, torch.zeros(3, 8, 8), window=4)(image),
    "captum": lambda model, image: zfcuda.Occlusion(model).attribute(image, (3, 4, 4), target=0),
    "baselines": lambda model, image: zfcuda.Occlusion(model).attribute(
        torch.zeros(1, 3, 8, 8), (3, 4, 4), target=0, baselines=image
    ),
    "fill": lambda model, image: zfcuda.occlusion_map(model, torch.zeros(3, 8, 8), window=4, fill=image),
    "projector": lambda model, image: zfcuda.Projector(model, torch.zeros(3, 8, 8), layer="0")(image),
}


@pytest.mark.filterwarnings("ignore:.*nested tensors is in prototype")
@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("method", METHODS)
def test_tensors_without_pixels_are_refused(method: str, kind: str) -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 2)).eval()
    make, error, message = ODD[kind]
    with pytest.raises(error, match=message):
        METHODS[method](model, make())
