"""Small networks of each family, which the tests of this folder share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zfcuda.models import zfnet


def trained(model: nn.Module, device: torch.device, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Weights of a useful scale, and batch norm statistics as after training."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    return model.to(device, dtype).eval()


class Residual(nn.Module):
    """Two branches added, with batch norm; its ReLUs written in one of several styles."""

    def __init__(self, maps: int, out: int, style: str) -> None:
        super().__init__()
        self.style = style
        self.conv1, self.bn1 = nn.Conv2d(maps, out, 3, 2, 1, bias=False), nn.BatchNorm2d(out)
        self.conv2, self.bn2 = nn.Conv2d(out, out, 3, 1, 1, groups=2, bias=False), nn.BatchNorm2d(out)
        self.down = nn.Sequential(nn.Conv2d(maps, out, 1, 2, bias=False), nn.BatchNorm2d(out))
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        self.shared = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.down(x)
        if self.style == "modules":
            x = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
            return self.relu2(x + shortcut)
        if self.style == "functional":
            return F.relu(torch.add(self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))), shortcut))
        if self.style == "shared":
            x = self.bn2(self.conv2(self.shared(self.bn1(self.conv1(x)))))
            x += shortcut
            return self.shared(x)
        x = self.bn1(self.conv1(x))
        x.relu_()
        x = self.bn2(self.conv2(x)).add_(shortcut)
        F.relu(x, inplace=True)
        return x


def resnet(style: str) -> nn.Module:
    stem = [nn.Conv2d(3, 6, 5, 2, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(
        *stem,
        Residual(6, 8, style),
        Residual(8, 10, style),
        nn.AdaptiveAvgPool2d((2, 3)),
        nn.Flatten(),
        nn.Linear(60, 5),
    )


class Inception(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.ra = nn.Conv2d(4, 3, 1), nn.ReLU()
        self.b, self.rb = nn.Conv2d(4, 5, 3, padding="same", dilation=2), nn.ReLU()
        self.pool, self.c, self.rc = nn.MaxPool2d(3, 1, 1), nn.Conv2d(4, 2, 4, padding="same"), nn.ReLU()
        self.avg = nn.AvgPool2d(3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.ra(self.a(x)), self.rb(self.b(x)), self.rc(self.c(self.pool(x))), self.avg(x)], 1)


def inception() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.ReLU(),
        Inception(),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.Conv2d(14, 6, 3),
        nn.ReLU(),
        nn.AvgPool2d((2, 3), (2, 1), (1, 1), ceil_mode=True, count_include_pad=False),
        nn.Dropout(),
        nn.Conv2d(6, 4, 1),
        nn.AvgPool2d(3, 2, 1, divisor_override=5),
        nn.ReLU(),
    )


class Frozen(nn.Module):
    """A batch norm as detection networks write it: a scale and a shift of buffers."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        for name in ("weight", "bias", "mean"):
            self.register_buffer(name, torch.randn(maps))
        self.register_buffer("var", torch.rand(maps) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        weight, bias, mean, var = (
            getattr(self, name).reshape(1, -1, 1, 1) for name in ("weight", "bias", "mean", "var")
        )
        scale = weight * (var + 1e-5).rsqrt()
        return x * scale + (bias - mean * scale)


class Shuffled(nn.Module):
    """Half of the maps pass by, the others go through filters of one map each; then they are shuffled."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        half = maps // 2
        self.deep = nn.Sequential(
            *(nn.Conv2d(half, half, 3, padding=1, groups=half), Frozen(half), nn.ReLU6(inplace=True)),
            *(nn.Conv2d(half, half, 1), nn.ReLU6()),
        )

    def forward(self, x: Tensor) -> Tensor:
        left, right = x[:, : x.shape[1] // 2], x[:, x.shape[1] // 2 :]
        x = torch.cat([left, self.deep(right)], 1)
        n, maps, height, width = x.shape
        return x.view(n, 2, maps // 2, height, width).transpose(1, 2).reshape(n, maps, height, width)


class Transformed(nn.Module):
    """The picture in another normalisation, channel by channel, as torchvision's GoogLeNet wants it."""

    def forward(self, x: Tensor) -> Tensor:
        factors = zip((0.229, 0.224, 0.225), (0.485, 0.456, 0.406), strict=True)
        x = torch.cat(
            [(x[:, i].unsqueeze(1) * (std / 0.5) + (mean - 0.5) / 0.5) for i, (std, mean) in enumerate(factors)], 1
        )
        return F.pad(x, (0, 1, 0, 1))


def mobile() -> nn.Module:
    return nn.Sequential(
        *(Transformed(), nn.Conv2d(3, 8, 3, 2), Frozen(8), nn.ReLU6(), Shuffled(8), nn.MaxPool2d(2), Shuffled(8)),
        *(nn.Conv2d(8, 12, 1), nn.Hardtanh(0, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 4)),
    )


def vgg() -> nn.Module:
    layers: list[nn.Module] = []
    maps = 3
    for out in (8, 16):
        layers += [nn.Conv2d(maps, out, 3, padding=1), nn.ReLU(), nn.Conv2d(out, out, 3, padding=1), nn.ReLU()]
        layers += [nn.MaxPool2d(2)]
        maps = out
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(144, 20), nn.ReLU(), nn.Linear(20, 4)
    )


def zfnet_without_lrn() -> nn.Module:
    children = [(n, m) for n, m in zfnet(9, width=0.1).named_children() if not n.startswith("norm")]
    model = nn.Sequential()
    for name, module in children:
        model.add_module(name, module)
    return model
