"""What others make of the same images with the same settings: foolbox and torchattacks, where they are installed."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import torch
from torch import Tensor, nn

# (model, images [N,C,H,W], labels [N], epsilon in input units, limits, steps) -> images [N,C,H,W].
Attack = Callable[[nn.Module, Tensor, Tensor, float, tuple[float, float], int], Tensor]


def foolbox(kind: str) -> Attack:
    """Its attack of our name: "pgd inf", "pgd 2", "fgsm inf"."""
    there = importlib.import_module("foolbox")

    def attack(
        model: nn.Module, images: Tensor, labels: Tensor, epsilon: float, limits: tuple[float, float], steps: int
    ) -> Tensor:
        attacks = there.attacks
        if kind == "fgsm inf":
            chosen = attacks.LinfFastGradientAttack(random_start=False)
        else:
            named = attacks.LinfPGD if kind == "pgd inf" else attacks.L2PGD
            chosen = named(rel_stepsize=2.5 / steps, steps=steps, random_start=True)
        wrapped = there.PyTorchModel(model, bounds=limits, device=str(images.device))
        _, made, _ = chosen(wrapped, images, labels, epsilons=epsilon)
        return made

    return attack


class _OfUnit(nn.Module):
    """The network of images of 0 to 1, which is what torchattacks takes."""

    def __init__(self, model: nn.Module, low: float, high: float) -> None:
        super().__init__()
        self.model, self.low, self.high = model, low, high

    def forward(self, images: Tensor) -> Tensor:
        answer: Tensor = self.model(images * (self.high - self.low) + self.low)
        return answer


def torchattacks(kind: str) -> Attack:
    """Its attack of our name, of norm "inf"; its own way to norm "2" has other settings."""
    there = importlib.import_module("torchattacks")

    def attack(
        model: nn.Module, images: Tensor, labels: Tensor, epsilon: float, limits: tuple[float, float], steps: int
    ) -> Tensor:
        low, high = limits
        width = high - low
        wrapped = _OfUnit(model, low, high).eval()
        if kind == "fgsm inf":
            chosen = there.FGSM(wrapped, eps=epsilon / width)
        else:
            part = {"eps": epsilon / width, "alpha": 2.5 * epsilon / width / steps, "steps": steps}
            named = there.PGD if kind == "pgd inf" else there.PGDL2
            chosen = named(wrapped, random_start=True, **part)
        made: Tensor = chosen((images - low) / width, labels)
        return made * width + low

    return attack


def installed() -> dict[str, Callable[[str], Attack]]:
    """Those that can be imported, by name with version."""
    known: dict[str, Callable[[str], Attack]] = {"foolbox": foolbox, "torchattacks": torchattacks}
    found = {}
    for name, maker in known.items():
        try:
            version = getattr(importlib.import_module(name), "__version__", "")
        except ImportError:
            continue
        found[f"{name} {version}".strip()] = maker
    return found


def seeded(seed: int) -> None:
    """Fixes the random starts of the others, which draw from torch's own generator."""
    torch.manual_seed(seed)
