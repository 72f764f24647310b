"""What is made of the model's tensors and kept from image to image: anew wherever they hold other numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import zfcuda
from zfcuda.occlusion.incremental.kept import Kept, fingerprint
from zfcuda.ops import patches as patch_ops

SHAPES = [(), (0,), (7,), (3, 5), (16, 3, 3, 3), (64, 33, 3, 3), (96, 96, 3, 3), (300, 257)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_fingerprint_tells_other_numbers(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    values = torch.randn(shape).to(dtype)
    seen = fingerprint(values)
    assert fingerprint(values.clone()) == fingerprint(nn.Parameter(values)) == seen
    if not values.numel():
        return
    others = [2 * values, -values, values.masked_fill(torch.ones(shape, dtype=torch.bool), 0), values.double()]
    if values.numel() > 1:
        flat = values.flatten()
        swapped = flat.clone()
        swapped[[0, -1]] = flat[[-1, 0]]
        others += [x.view(shape) for x in (flat.flip(0), flat.roll(1), swapped)]
    for place in {0, values.numel() // 2, values.numel() - 1}:
        other = values.clone()
        other.view(-1)[place] = torch.nextafter(other.view(-1)[place].float(), torch.tensor(9.0)).to(dtype) + 1
        others.append(other)
    for other in others:
        if not (other.dtype == dtype and torch.equal(other, values)):
            assert fingerprint(other) != seen


def test_a_fingerprint_of_any_layout() -> None:
    values = torch.randn(64, 40, 3, 3)
    parts = torch.randn(1 + values.numel())[1:].view(values.shape)  # not at a multiple of eight bytes
    forms = [values, values.contiguous(memory_format=torch.channels_last), values.transpose(0, 1), values[::2], parts]
    forms.append(torch.randn(1).expand(64, 40, 3, 3))
    for form in forms:
        seen = fingerprint(form)
        assert fingerprint(form) == seen
        other = form.clone()
        other[-1, -1, -1, -1] += 1
        assert fingerprint(other) != seen


def test_made_once_while_the_numbers_are_the_same() -> None:
    kept, weight = Kept(), torch.randn(200, 200)
    made: list[None] = []

    def make() -> Tensor:
        made.append(None)
        return weight.sum()

    for change in (None, None, lambda: weight.data.mul_(2), None, lambda: weight.numpy().__imul__(-1), None):
        if change is not None:
            change()
        assert torch.equal(kept.once("sum", [weight, 1.0], make), weight.sum())
    assert len(made) == 3
    kept.once("sum", [weight, 2.0], make)  # a setting
    kept.once("another", [weight, 2.0], make)
    assert len(made) == 5


class Net(nn.Module):
    """A convolution of each way, with batch norms that are folded in."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.conv2, self.conv3 = nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 64, 1)
        self.conv4, self.bn4, self.fc = nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64), nn.Linear(64, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv3(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return self.fc(torch.relu(self.bn4(self.conv4(x))).mean((2, 3)))


WRITES: dict[str, Callable[[Any], Any]] = {
    "in place": lambda m: nn.init.normal_(m.conv1.weight),
    "replaced": lambda m: setattr(m.conv2, "weight", nn.Parameter(torch.randn(8, 1, 3, 3))),
    "data": lambda m: m.conv4.weight.data.mul_(-1),
    "data of a bias": lambda m: m.conv3.bias.data.add_(1),
    "numpy": lambda m: np.negative(m.conv4.weight.detach().numpy(), out=m.conv4.weight.detach().numpy()),
    "running mean": lambda m: m.bn4.running_mean.data.add_(0.5),
    "running variance": lambda m: m.bn1.running_var.mul_(4),
    "eps": lambda m: setattr(m.bn1, "eps", 3.0),
    "state": lambda m: m.load_state_dict(Net().state_dict()),
    "another tensor's memory": lambda m: setattr(m.conv4.weight, "data", torch.randn(64, 64, 3, 3)),
}


@pytest.mark.parametrize("dtype", [None, torch.bfloat16], ids=str)
def test_a_mapper_packs_once_and_after_each_write(dtype: torch.dtype | None, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    packed: list[None] = []
    real = patch_ops.pack_filters

    def counted(*arguments: Any, **more: Any) -> Tensor:
        packed.append(None)
        return real(*arguments, **more)

    monkeypatch.setattr(patch_ops, "pack_filters", counted)
    model = Net().eval()
    how: dict[str, Any] = {"window": 8, "stride": 8, "method": "incremental", "dtype": dtype}
    images = torch.randn(3, 3, 24, 24)
    mapper = zfcuda.OcclusionMapper(model, images[0], **how)
    mapper(images[0])
    packed.clear()
    for image in images:
        assert torch.equal(mapper(image).logits, zfcuda.occlusion_map(model, image, **how).logits)
        assert len(packed) == 3  # by occlusion_map
        packed.clear()
    for name, write in WRITES.items():
        write(model)
        for image in images[:2]:
            found, expected = mapper(image), zfcuda.occlusion_map(model, image, **how)
            assert torch.equal(found.logits, expected.logits), name
            assert torch.equal(found.base_logits, expected.base_logits), name
