"""Made for telephones: filters of one map each between convolutions of one place each."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.zoo.families.chain import classifier, norm_after


class Gate(nn.Module):
    """Squeeze and excitation: every channel times a gate that sees the whole map."""

    def __init__(self, maps: int, gate: nn.Module) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(maps, maps // 4, 1), nn.Conv2d(maps // 4, maps, 1)
        self.gate = gate

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(self.fc2(F.relu(self.fc1(F.adaptive_avg_pool2d(x, 1)))))


class Inverted(nn.Module):
    """Makes maps more, filters each alone, makes them fewer; added to the input where the shapes allow."""

    def __init__(
        self, before: int, after: int, stride: int, activation: type[nn.Module], gate: type[nn.Module] | None = None
    ) -> None:
        super().__init__()
        wide = 3 * before
        self.widen = nn.Sequential(*norm_after(nn.Conv2d(before, wide, 1, bias=False)), activation())
        depthwise = nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False)
        self.filter = nn.Sequential(*norm_after(depthwise), activation())
        self.gate = nn.Identity() if gate is None else Gate(wide, gate())
        self.narrow = nn.Sequential(*norm_after(nn.Conv2d(wide, after, 1, bias=False)))
        self.added = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        y = self.narrow(self.gate(self.filter(self.widen(x))))
        return x + y if self.added else y


def inverted(activation: type[nn.Module], gate: type[nn.Module] | None = None) -> nn.Module:
    """MobileNet v2 and v3, EfficientNet."""
    stem = nn.Sequential(*norm_after(nn.Conv2d(3, 8, 3, 2, 1, bias=False)), activation())
    blocks = [Inverted(8, 8, 1, activation, gate), Inverted(8, 16, 2, activation, gate)]
    return classifier(stem, *blocks, Inverted(16, 16, 1, activation, gate), maps=16)


class SamePadded(nn.Conv2d):
    """TensorFlow's "same" padding: as much as the size asks for, the odd one below and on the right."""

    def forward(self, x: Tensor) -> Tensor:
        step, size = self.stride[0], self.kernel_size[0]
        high, wide = (max((-(-side // step) - 1) * step + size - side, 0) for side in x.shape[-2:])
        x = F.pad(x, [wide // 2, wide - wide // 2, high // 2, high - high // 2])
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def same_padded() -> nn.Module:
    """EfficientNet-Lite, as TensorFlow pads it."""
    stem = nn.Sequential(*norm_after(SamePadded(3, 8, 3, 2, bias=False)), nn.ReLU6())
    middle = nn.Sequential(*norm_after(SamePadded(8, 8, 3, 2, groups=8, bias=False)), nn.ReLU6())
    return classifier(stem, middle, nn.Sequential(*norm_after(nn.Conv2d(8, 16, 1, bias=False))), maps=16)


class Shuffled(nn.Module):
    """Half of the channels pass; the other half is filtered; then they are shuffled."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        half = maps // 2
        self.branch = nn.Sequential(
            *norm_after(nn.Conv2d(half, half, 1, bias=False)),
            nn.ReLU(inplace=True),
            *norm_after(nn.Conv2d(half, half, 3, 1, 1, groups=half, bias=False)),
            *norm_after(nn.Conv2d(half, half, 1, bias=False)),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        left, right = x.chunk(2, 1)
        x = torch.cat([left, self.branch(right)], 1)
        n, c, h, w = x.size()
        return torch.transpose(x.view(n, 2, c // 2, h, w), 1, 2).contiguous().view(n, c, h, w)


def shufflenet() -> nn.Module:
    """Ma et al. 2018."""
    stem = nn.Sequential(*norm_after(nn.Conv2d(3, 16, 3, 2, 1, bias=False)), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
    return classifier(stem, Shuffled(16), Shuffled(16), maps=16)


class Ghost(nn.Module):
    """Some maps by a convolution, the others by a filter of each of these; what is too much is cut off."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        own = after // 2 + 1
        self.primary = nn.Sequential(*norm_after(nn.Conv2d(before, own, 1, bias=False)), nn.ReLU(inplace=True))
        cheap = nn.Conv2d(own, own, 3, 1, 1, groups=own, bias=False)
        self.cheap = nn.Sequential(*norm_after(cheap), nn.ReLU(inplace=True))
        self.after = after

    def forward(self, x: Tensor) -> Tensor:
        primary = self.primary(x)
        return torch.cat([primary, self.cheap(primary)], 1)[:, : self.after, :, :]


def ghostnet() -> nn.Module:
    """Han et al. 2019."""
    stem = nn.Sequential(*norm_after(nn.Conv2d(3, 8, 3, 2, 1, bias=False)), nn.ReLU())
    return classifier(stem, Ghost(8, 16), nn.MaxPool2d(2), Ghost(16, 16), maps=16)


class Separable(nn.Module):
    """A filter of each map, and one of each place; the sum passes by with a stride."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(before, before, 3, 1, 1, groups=before, bias=False)
        self.pointwise = nn.Sequential(*norm_after(nn.Conv2d(before, after, 1, bias=False)))
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.skip = nn.Sequential(*norm_after(nn.Conv2d(before, after, 1, 2, bias=False)))

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.pointwise(self.depthwise(F.relu(x)))) + self.skip(x)


def xception() -> nn.Module:
    """Chollet 2016."""
    stem = nn.Sequential(*norm_after(nn.Conv2d(3, 8, 3, 2, bias=False)), nn.ReLU())
    return classifier(stem, Separable(8, 16), Separable(16, 24), nn.ReLU(), maps=24)
