"""Windows, fills and the form of the image: where the occluder goes, and what it changes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import zfcuda
from tests.harness.random_networks import Code, normal
from tests.occlusion.incremental.definition import METHOD, brute_force, check, deviation, places, prepared
from tests.occlusion.incremental.networks import SIZE, code, same


@pytest.mark.parametrize("window", [(1, 1), (4, 9), (8, 8), (1, 31), (26, 1), (25, 30), (26, 31)], ids=str)
@pytest.mark.parametrize("stride", [(3, 3), (5, 2), (11, 40)], ids=str)
def test_windows(net: nn.Module, image: Tensor, window: tuple[int, int], stride: tuple[int, int]) -> None:
    result = check(net, image, window=window, stride=stride, fill=normal(SIZE, 2))
    assert result.origins[:, 0, 0].tolist() == places(26, window[0], stride[0])
    assert result.origins[0, :, 1].tolist() == places(31, window[1], stride[1])


def test_every_pixel_by_itself(net: nn.Module, image: Tensor) -> None:
    assert check(net, image, window=1, stride=1, together=128).logits.shape == (26, 31, 4)


FILLS = {
    "number": -0.7,
    "integer": 2,
    "channels": [0.1, -0.2, 0.3],
    "tuple": (0.1, -0.2, 0.3),
    "scalar tensor": torch.tensor(0.4),
    "channel tensor": normal((3, 1, 1), 3),
    "row": normal((1, 1, 31), 4),
    "picture": normal(SIZE, 5),
    "batch of one": normal((1, *SIZE), 6),
    "double": normal(SIZE, 5).double(),
    "expanded": normal((3, 1, 1), 3).expand(SIZE),
    "huge": 1e4,
}


@pytest.mark.parametrize("name", FILLS)
def test_fills(net: nn.Module, image: Tensor, name: str) -> None:
    fill = FILLS[name]
    expected = list(fill) if isinstance(fill, tuple) else fill
    logits = brute_force(net, image, (6, 6), (5, 5), expected)[0]
    result = zfcuda.occlusion_map(net, image, window=6, stride=5, fill=fill, method=METHOD)
    assert deviation(result.logits, logits) <= 1


def test_a_fill_that_changes_nothing(net: nn.Module, image: Tensor) -> None:
    result = check(net, image, fill=image.clone())
    torch.testing.assert_close(result.logits, result.base_logits.expand_as(result.logits))
    mostly = image.clone()
    mostly[:, 3, 4] += 1
    check(net, image, fill=mostly)


def test_everything_else_in_the_map_fits_the_logits(net: nn.Module, image: Tensor) -> None:
    result = check(net, image, target=2, stride=(4, 7))
    with torch.no_grad():
        torch.testing.assert_close(result.base_logits, net(image[None])[0])
    torch.testing.assert_close(result.score, result.logits[..., 2])
    torch.testing.assert_close(result.base_score, result.base_logits[2])
    torch.testing.assert_close(result.probability, result.logits.softmax(-1)[..., 2])
    assert torch.equal(result.label, result.logits.argmax(-1)) and result.label.dtype == torch.int64
    assert result.heatmap().shape == SIZE[1:]
    assert all(t.device == image.device for t in (result.logits, result.origins, result.label, result.base_logits))
    margin = check(net, image, target=lambda z: z[:, 0] - z[:, 1])
    torch.testing.assert_close(margin.score, margin.logits[..., 0] - margin.logits[..., 1])


UNREAD: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(8 * 12 * 14, 3)),
    "mean": code("return x.mean((2, 3))"),
    "residual": code("y = self.b(F.elu(x)); return F.relu(y + x).flatten(1)", b=lambda: nn.BatchNorm2d(8)),
    "branches": code("return torch.cat([self.a(x), x], 1).mean((2, 3))", a=same(3)),
    "grouped": lambda: nn.Sequential(nn.Conv2d(8, 8, 3, groups=8), nn.LocalResponseNorm(3), nn.Flatten()),
    "pooled": lambda: nn.Sequential(nn.AvgPool2d(2), nn.MaxPool2d(2, ceil_mode=True), nn.PReLU(), nn.Flatten()),
    "instance norm": lambda: nn.Sequential(nn.Sigmoid(), nn.InstanceNorm2d(8), nn.Flatten()),
    "gate": code("return (x * x.mean((2, 3), keepdim=True)).permute(0, 2, 3, 1).reshape(x.size(0), -1)"),
    "resized": code("return F.interpolate(x, scale_factor=2, mode='bilinear').flatten(1)"),
}


@pytest.mark.parametrize("name", UNREAD)
def test_windows_that_nothing_reads(name: str, image: Tensor) -> None:
    """Every window of the first, some of the second: cropped away, or in between what a stride reads."""
    crop = Code("return x[..., 2:-1, 3:-1]")
    model = nn.Sequential(crop, nn.Conv2d(3, 8, 1, stride=(2, 2)), nn.BatchNorm2d(8), UNREAD[name]())
    prepared(model.to(image.device), image)
    result = check(model, image, window=(5, 2), stride=(4, 40))
    assert (result.logits - result.base_logits).abs().max() <= 1e-5 * result.base_logits.abs().max()
    check(model, image, window=1, stride=(5, 3), together=16)


def test_picture_and_model_in_any_memory_format(net: nn.Module, image: Tensor) -> None:
    wide = torch.cat([image, image], 2)
    forms = {
        "batch of one": image[None],
        "channels_last": image[None].to(memory_format=torch.channels_last),
        "transposed": image.transpose(1, 2).contiguous().transpose(1, 2),
        "a slice": wide[:, :, 31:],
        "expanded": image[:1].expand(3, -1, -1),
        "gradient wanted": image.clone().requires_grad_(),
    }
    for form in forms.values():
        result = check(net, form)
        assert not result.logits.requires_grad
    assert forms["gradient wanted"].grad is None and forms["gradient wanted"].requires_grad
    check(net.to(memory_format=torch.channels_last), image)


def test_double_precision_is_kept(net: nn.Module, image: Tensor) -> None:
    # A bright window far from zero: float32 anywhere on the way would show.
    check(net.double(), image.double() * 30 + 200, fill=-100.0)
