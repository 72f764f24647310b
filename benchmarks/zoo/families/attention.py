"""Places that look at one another, and what was made of convolutions after them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.zoo.families.chain import CLASSES, classifier


class Block(nn.Module):
    """ConvNeXt's: filters of one map each, then each place by itself, channels last."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.filter = nn.Conv2d(maps, maps, 7, padding=3, groups=maps)
        self.norm = nn.LayerNorm(maps, eps=1e-6)
        self.wide, self.narrow = nn.Linear(maps, 4 * maps), nn.Linear(4 * maps, maps)
        self.scale = nn.Parameter(1e-6 * torch.ones(maps))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.filter(x).permute(0, 2, 3, 1))
        y = self.scale * self.narrow(F.gelu(self.wide(y)))
        return x + y.permute(0, 3, 1, 2)


class NormOfChannels(nn.LayerNorm):
    """Layer norm over the channels of each place of a map."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


def convnext() -> nn.Module:
    """Liu et al. 2022."""
    stem, down = nn.Conv2d(3, 8, 4, 4), nn.Conv2d(8, 16, 2, 2)
    return classifier(stem, NormOfChannels(8), Block(8), NormOfChannels(8), down, Block(16), maps=16)


class Pooled(nn.Module):
    """The mean around each place in place of attention."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(1, maps), nn.GroupNorm(1, maps)
        self.wide, self.narrow = nn.Conv2d(maps, 4 * maps, 1), nn.Conv2d(4 * maps, maps, 1)
        self.pool = nn.AvgPool2d(3, 1, 1, count_include_pad=False)
        self.scale = nn.Parameter(1e-5 * torch.ones(maps))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        x = x + (self.pool(y) - y) * self.scale.view(-1, 1, 1)
        return x + self.narrow(F.gelu(self.wide(self.norm2(x))))


def poolformer() -> nn.Module:
    """Yu et al. 2021."""
    return classifier(nn.Conv2d(3, 16, 7, 4, 2), Pooled(16), nn.Conv2d(16, 16, 3, 2, 1), Pooled(16), maps=16)


class Mixed(nn.Module):
    """Two layers over all places, two over all channels."""

    def __init__(self, places: int, maps: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(maps), nn.LayerNorm(maps)
        self.places = nn.Sequential(nn.Linear(places, 8), nn.GELU(), nn.Linear(8, places))
        self.channels = nn.Sequential(nn.Linear(maps, 32), nn.GELU(), nn.Linear(32, maps))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.places(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.norm2(x))


class Attentive(nn.Module):
    """Attention over all places, and two layers."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(maps), nn.LayerNorm(maps)
        self.qkv, self.proj = nn.Linear(maps, 3 * maps), nn.Linear(maps, maps)
        self.mlp = nn.Sequential(nn.Linear(maps, 2 * maps), nn.GELU(), nn.Linear(2 * maps, maps))

    def forward(self, x: Tensor) -> Tensor:
        n, places, maps = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(n, places, 3, 2, maps // 2).permute(2, 0, 3, 1, 4).unbind(0)
        seen = F.scaled_dot_product_attention(q, k, v)
        x = x + self.proj(seen.transpose(1, 2).reshape(n, places, maps))
        return x + self.mlp(self.norm2(x))


class Patched(nn.Module):
    """Cuts the image into patches, and takes each for a word."""

    def __init__(self, blocks: list[nn.Module], side: int, maps: int, own_class: bool) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, maps, 8, 8)
        self.blocks, self.norm = nn.Sequential(*blocks), nn.LayerNorm(maps)
        self.head = nn.Linear(maps, CLASSES)
        self.token = nn.Parameter(torch.zeros(1, 1, maps)) if own_class else None
        self.position = nn.Parameter(torch.zeros(1, (side // 8) ** 2 + own_class, maps))

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        if self.token is not None:
            x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1)
        x = self.norm(self.blocks(x + self.position))
        return self.head(x.mean(1) if self.token is None else x[:, 0])


def mixer(side: int = 32) -> nn.Module:
    """Tolstikhin et al. 2021."""
    return Patched([Mixed((side // 8) ** 2, 16), Mixed((side // 8) ** 2, 16)], side, 16, False)


def vit(side: int = 32) -> nn.Module:
    """Dosovitskiy et al. 2020."""
    return Patched([Attentive(16), Attentive(16)], side, 16, True)


class Windowed(nn.Module):
    """Attention within windows of a map [N,H,W,C], shifted by half of one."""

    def __init__(self, maps: int, size: int, shift: int) -> None:
        super().__init__()
        self.inner = Attentive(maps)
        self.size, self.shift = size, shift

    def forward(self, x: Tensor) -> Tensor:
        n, h, w, c = x.shape
        s = self.size
        x = torch.roll(x, (-self.shift, -self.shift), (1, 2))
        words = x.view(n, h // s, s, w // s, s, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, s * s, c)
        x = self.inner(words).view(n, h // s, w // s, s, s, c).permute(0, 1, 3, 2, 4, 5).reshape(n, h, w, c)
        return torch.roll(x, (self.shift, self.shift), (1, 2))


class Swin(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm = nn.Conv2d(3, 16, 4, 4), nn.LayerNorm(16)
        self.blocks = nn.Sequential(Windowed(16, 4, 0), Windowed(16, 4, 2))
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.embed(x).permute(0, 2, 3, 1))).mean((1, 2)))


def swin() -> nn.Module:
    """Liu et al. 2021."""
    return Swin()
