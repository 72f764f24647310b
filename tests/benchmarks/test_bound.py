"""The multiply-adds that the benchmarks call needed are those of the values that really change."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import zfcuda
from benchmarks import bound
from benchmarks.survey import trial
from zfcuda.occlusion import windows
from zfcuda.ops import local_response_norm

SIDE, WINDOW, STRIDE = 24, 6, 7


class Everything(nn.Module):
    """What networks do besides convolutions: padding, permuting, shuffling, slicing, a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, groups=8)
        self.norm = nn.LayerNorm(8)
        self.pointwise = nn.Linear(8, 8)
        self.grouped = nn.Conv2d(8, 16, 3, padding=2, dilation=2, groups=2)
        self.narrow = nn.Conv2d(8, 4, 5, padding=2)
        self.up = nn.ConvTranspose2d(4, 4, 2, stride=2)
        self.gate = nn.Linear(4, 4)
        self.answer = nn.Linear(4 * 24 * 24, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.first(x))
        x = self.depthwise(F.pad(x, (0, 2, 0, 2)))
        x = self.pointwise(self.norm(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        x = F.silu(self.grouped(x))
        x = x.view(len(x), 2, 8, *x.shape[2:]).transpose(1, 2).reshape(x.shape)
        kept, other = x.chunk(2, dim=1)
        x = torch.cat([F.avg_pool2d(kept, 3, 1, 1)[:, :4], other[:, 4:]], 1)
        x = self.up(self.narrow(x))
        gated = x * self.gate(x.mean((2, 3))).sigmoid()[..., None, None]
        return self.answer(x.flatten(1)) + self.answer(gated.flatten(1))


def changing(network: nn.Module, shape: tuple[int, ...]) -> float:
    """The multiply-adds of what changes, of two images that differ in a window, added over all windows."""
    total = 0.0
    runs: list[list[tuple[Tensor, int]]] = []

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(layer, nn.Linear):
            runs[-1].append((inputs[0], layer.out_features))
        elif isinstance(layer, nn.ConvTranspose2d):  # whose kernels do not overlap
            runs[-1].append((output, layer.in_channels))
        elif isinstance(layer, nn.Conv2d):
            runs[-1].append((output, layer.weight[0].numel()))

    layers = [m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    images = torch.randn(2, 1, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for top in windows.starts(shape[1], WINDOW, STRIDE):
        for left in windows.starts(shape[2], WINDOW, STRIDE):
            occluded = images[0].clone()
            place = (..., slice(top, top + WINDOW), slice(left, left + WINDOW))
            occluded[place] = images[1][place]
            for image in (images[0], occluded):
                runs.append([])
                network(image)
            for (before, each), (after, _) in zip(*runs[-2:], strict=True):
                total += float(((before - after).abs() > 1e-13).sum()) * each
    for hook in hooks:
        hook.remove()
    return total


def test_what_is_marked_is_what_changes() -> None:
    torch.manual_seed(0)
    network = Everything().double().eval()
    with torch.no_grad():
        expected = changing(network, (3, SIDE, SIDE))
    network.float()
    image = torch.randn(1, 3, SIDE, SIDE)
    found = bound.work(network, image, WINDOW, STRIDE)
    with torch.inference_mode():
        assert bound.work(copy.deepcopy(network), torch.randn(1, 3, SIDE, SIDE), WINDOW, STRIDE) == found
    assert found.exact == pytest.approx(expected, rel=1e-6)
    assert found.windows == 16
    assert 1.5 < found.ratio < 5


def test_attention_is_counted_and_changes_everywhere() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, 8, 6, stride=6)
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
            self.answer = nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.patches(x).flatten(2).transpose(1, 2)
            return self.answer(self.attention(x, x, x, need_weights=False)[0].mean(1))

    network, image = Attention().eval(), torch.randn(1, 3, SIDE, SIDE)
    found = bound.work(network, image, 6, 6)
    assert found.naive == 16 * trial.counted(trial.Subject(network, image, image))
    patch, into, products, out = 16 * 3 * 36 * 8, 16 * 8 * 24, 2 * 2 * 16 * 16 * 4, 16 * 8 * 8 + 8 * 3
    scores = (7 / 16) ** 2  # of tokens in the row or in the column of the window; the values mix all
    assert found.exact == pytest.approx(
        16 * (patch / 16 + into / 16 + products / 2 * scores + products / 2 + out), rel=1e-6
    )


@pytest.mark.parametrize("name", ["relu6", "hardswish", "hardsigmoid", "gelu", "silu", "elu", "leaky_relu", "mish"])
def test_marks_pass_through_activations(name: str) -> None:
    for length in (1, 7, 64):  # by vectors and one by one
        x = torch.full((length,), torch.nan)
        assert getattr(F, name)(x).isnan().all()


def test_a_kernel_of_ours_is_refused() -> None:
    class Normed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return local_response_norm(x, 3)

    with pytest.raises(ValueError, match="model: it calls zfcuda"):
        bound.work(Normed(), torch.randn(1, 3, 8, 8), 4, 4)
    network = zfcuda.models.zfnet(5, width=0.05).eval()  # in torch's own layers
    assert bound.work(network, torch.randn(1, 3, 224, 224), 112, 112).ratio > 1
