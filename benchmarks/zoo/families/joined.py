"""Maps put side by side, cut apart, and added over several scales."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.zoo.families.chain import classifier, norm_after


def _conv(before: int, after: int, kernel: int = 1, stride: int = 1) -> nn.Module:
    conv = nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(*norm_after(conv), nn.ReLU(inplace=True))


class Fire(nn.Module):
    """Few maps, then more by small filters and by large ones, side by side."""

    def __init__(self, before: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(before, squeezed, 1)
        self.small, self.large = nn.Conv2d(squeezed, expanded, 1), nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze(x))
        return torch.cat([F.relu(self.small(x)), F.relu(self.large(x))], 1)


def squeezenet() -> nn.Module:
    """Iandola et al. 2016: pooling may reach over the border, and the logits are means of maps."""
    stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, ceil_mode=True))
    last = nn.Sequential(nn.Conv2d(16, 10, 1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(stem, Fire(16, 4, 8), Fire(16, 4, 8), nn.Dropout(), last)


class Dense(nn.Module):
    """Puts new maps beside those that it was given."""

    def __init__(self, before: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(before), nn.Conv2d(before, 16, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(16), nn.Conv2d(16, 8, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu(self.norm1(x), inplace=True))
        return torch.cat([x, self.conv2(F.relu(self.norm2(y), inplace=True))], 1)


def densenet() -> nn.Module:
    """Huang et al. 2016."""
    transition = nn.Sequential(nn.BatchNorm2d(24), nn.ReLU(), nn.Conv2d(24, 12, 1, bias=False), nn.AvgPool2d(2))
    stem = _conv(3, 8, 3, 2)
    return classifier(stem, Dense(8), Dense(16), transition, Dense(12), nn.BatchNorm2d(20), nn.ReLU(), maps=20)


class Inception(nn.Module):
    """Recolours what it is given, and looks at it in four ways."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.stem = _conv(3, maps, 3, 2)
        self.branch1 = _conv(maps, 8)
        long = (nn.Conv2d(8, 8, (1, 7), padding=(0, 3)), nn.Conv2d(8, 8, (7, 1), padding=(3, 0)))
        self.branch2 = nn.Sequential(_conv(maps, 8), *long, nn.ReLU())
        self.branch3 = _conv(maps, 8, 3)
        self.branch4 = _conv(maps, 8)

    def forward(self, x: Tensor) -> Tensor:
        colours = ((0.229, 0.485), (0.224, 0.456), (0.225, 0.406))
        channels = [torch.unsqueeze(x[:, i], 1) * (s / 0.5) + (m - 0.5) / 0.5 for i, (s, m) in enumerate(colours)]
        x = self.stem(torch.cat(channels, 1))
        pooled = self.branch4(F.avg_pool2d(x, kernel_size=3, stride=1, padding=1))
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), pooled], 1)


def inception() -> nn.Module:
    """Szegedy et al. 2015, with torchvision's transform_input."""
    return classifier(Inception(8), nn.MaxPool2d(3, 2), _conv(32, 16, 3), maps=16)


class Normalised(nn.Module):
    """Takes values of 0 ... 1, and normalises them itself."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


def normalised() -> nn.Module:
    """A plain network with its preprocessing inside."""
    return classifier(Normalised(), _conv(3, 8, 3, 2), nn.MaxPool2d(2), _conv(8, 16, 3), maps=16)


class TwoPaths(nn.Module):
    """Some of the new maps are added to the old, the others put beside them."""

    def __init__(self, maps: int, wide: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(_conv(wide, 8), _conv(8, maps + 4, 3))
        self.maps = maps

    def forward(self, x: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        new = self.conv(torch.cat(x, 1))
        return x[0] + new[:, : self.maps, :, :], torch.cat([x[1], new[:, self.maps :, :, :]], 1)


class DualPath(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = _conv(3, 20, 3, 2)
        self.block1, self.block2 = TwoPaths(16, 20), TwoPaths(16, 24)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return torch.cat(self.block2(self.block1((x[:, :16, :, :], x[:, 16:, :, :]))), 1)


def dpn() -> nn.Module:
    """Chen et al. 2017."""
    return classifier(DualPath(), maps=28)


class Aggregated(nn.Module):
    """A chain of filters, all of whose answers are put together once, and gated by their means."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.chain = nn.ModuleList([_conv(maps, 8, 3), _conv(8, 8, 3)])
        self.all = _conv(maps + 16, maps)
        self.fc = nn.Conv2d(maps, maps, 1)

    def forward(self, x: Tensor) -> Tensor:
        outputs = [x]
        for layer in self.chain:
            outputs.append(layer(outputs[-1]))
        y = self.all(torch.cat(outputs, 1))
        return y * F.hardsigmoid(self.fc(y.mean((2, 3), keepdim=True))) + x


def vovnet() -> nn.Module:
    """Lee and Park 2019."""
    return classifier(_conv(3, 16, 3, 2), Aggregated(16), nn.MaxPool2d(3, 2, ceil_mode=True), _conv(16, 16), maps=16)


class Partial(nn.Module):
    """One half of the maps goes through the block, the other past it."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        half = maps // 2
        self.expand = nn.Sequential(*norm_after(nn.Conv2d(maps, maps, 1, bias=False)), nn.LeakyReLU(0.1))
        self.block = nn.Sequential(*norm_after(nn.Conv2d(half, half, 3, 1, 1, bias=False)), nn.LeakyReLU(0.1))
        self.merge = nn.Sequential(*norm_after(nn.Conv2d(maps, maps, 1, bias=False)), nn.LeakyReLU(0.1))

    def forward(self, x: Tensor) -> Tensor:
        past, through = self.expand(x).chunk(2, dim=1)
        return self.merge(torch.cat([past, through + self.block(through)], 1))


class Focus(nn.Module):
    """Each four neighbours become four maps."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1)


def cspnet() -> nn.Module:
    """Wang et al. 2019, with Darknet's leaky ReLU, and YOLO's first step."""
    return classifier(Focus(), _conv(12, 16, 3), Partial(16), nn.MaxPool2d(2), Partial(16), maps=16)


class TwoScales(nn.Module):
    """A large map and a small one, which tell one another what they have found."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.large, self.small = _conv(maps, maps, 3), _conv(maps, maps, 3)
        down = nn.Conv2d(maps, maps, 3, 2, 1, bias=False)
        self.down = nn.Sequential(*norm_after(down))
        up = nn.Conv2d(maps, maps, 1, bias=False)
        self.up = nn.Sequential(*norm_after(up), nn.Upsample(scale_factor=2, mode="nearest"))

    def forward(self, x: Tensor) -> Tensor:
        large, small = self.large(x), self.small(F.max_pool2d(x, 2))
        both = F.relu(large + self.up(small))
        return torch.cat([F.max_pool2d(both, 2), F.relu(small + self.down(large))], 1)


def hrnet() -> nn.Module:
    """Wang et al. 2019: resolutions side by side."""
    return classifier(_conv(3, 8, 3, 2), TwoScales(8), _conv(16, 16), maps=16)
