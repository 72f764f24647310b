"""Projections back to the pixels beside what a user would run instead, verified before they are timed.

The others get what helps them: layers beyond the projected one are cut off, at local response normalisation the signal
passes unchanged (as the paper's method implies, and as ours does), cuDNN is tuned. Autograd by hand finds the units in
its own forward, without waiting for the device; Captum is told them. float32 is float32 here: TF32 is off on a GPU.

- zfcuda: a zfcuda.Projector, made once, as for many pictures; zfcuda.project finds out everything at each call.
- captum: captum.attr.Deconvolution, all units in one batch or one by one, whichever is faster.
- autograd: one forward that is kept, torch.autograd.grad per unit through ReLUs that rectify the signal.
- autograd, one batch: the image repeated, forward and back once.
- torch.compile: the faster of the two, compiled.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import zfcuda
from benchmarks import opponents, zoo
from benchmarks.failures import Failures
from benchmarks.measure import Run, full_float32, race, timed, tuned_convolutions
from zfcuda.backward.deconvnet import strongest
from zfcuda.network import trace


@dataclass(frozen=True)
class Case:
    """A network, a layer by its name there, and a title for people; the network's size is 224x224 of 3 channels."""

    network: str
    title: str
    layer: str
    build: Callable[[], nn.Module]


CASES = (
    Case("zfnet", "ZFNet conv5", "conv5", lambda: zoo.made(zfcuda.models.zfnet)),
    Case("vgg16", "VGG16 conv5_3", "features.28", lambda: zoo.NETWORKS["vgg16"]()),
)
TOPS = (1, 9)
OURS, SINGLE, UNITS, FORWARD = "zfcuda", "zfcuda.project", "zfcuda, forward and units alone", "forward alone"
CAPTUM, AUTOGRAD, BATCH, COMPILED = "captum", "autograd", "autograd, one batch", "torch.compile"
OPPONENTS = (CAPTUM, AUTOGRAD, BATCH, COMPILED)
# A part of the norm of a projection. Where two convolutions add in another order, another of two activations that
# differ in their last bit may win a window; that moves one value of many thousands by a pixel.
TOLERANCE = 0.05


def run(
    device: torch.device, dtype: torch.dtype, quick: bool, networks: Sequence[str] | None = None
) -> Iterator[dict[str, Any]]:
    """One row per layer and number of units, as soon as it is measured.

    In float32 and float64 alone: in bfloat16 many activations of a window are equal, so that no answer can be held
    against another. quick: few repeats, without torch.compile, and several units of the first layer alone.
    """
    if dtype not in (torch.float32, torch.float64):
        print(f"deconvnet: not measured in {dtype}, whose near ties leave no answer to verify")
        return
    failures = Failures()
    for case in CASES:
        if networks is not None and case.network not in networks:
            continue
        network = case.build().to(device, dtype)
        image = zoo.picture().to(device, dtype)
        for top in TOPS[:1] if quick and case != CASES[0] else TOPS:
            row = None
            with failures.noted(f"{case.title}, top {top}"), full_float32(), opponents.repeatable_gradients():
                row = _row(case, network, image, top, quick)
            if row is not None:
                print(describe(row), flush=True)
                yield row
            if not quick:
                torch._dynamo.reset()
    failures.end()


def _row(case: Case, network: nn.Module, image: Tensor, top: int, quick: bool) -> dict[str, Any]:
    subject = _Subject(case, network, image, top)
    left_out = {COMPILED: "not in --quick"} if quick else {}
    sides = subject.sides(left_out, with_compile=not quick)
    deviation = subject.verified(sides)
    sides[UNITS], sides[FORWARD] = subject.units_alone, subject.forward_alone
    repeats = (3, 1) if quick else (30, 5) if image.is_cuda else (9, 1)
    times = race(sides, image.device, repeats=repeats[0], warmup=repeats[1])
    ours = times[OURS].median
    return {
        "network": case.network,
        "title": case.title,
        "layer": case.layer,
        "top": top,
        "shape": list(image.shape),
        "dtype": str(image.dtype).removeprefix("torch."),
        "deviation": deviation,
        **timed(times),
        "ratio": {name: round(times[name].median / ours, 3) for name in OPPONENTS if name in times},
        "settings": {**subject.settings, "units": subject.units, "tolerance": TOLERANCE},
        "left_out": left_out,
    }


class _Subject:
    """One layer and number of units: what is run on it, and the check."""

    def __init__(self, case: Case, network: nn.Module, image: Tensor, top: int) -> None:
        self.case, self.model, self.image, self.top = case, network, image, top
        self.network = trace(network)
        self.projector = zfcuda.Projector(self.network, image, case.layer, top=top)
        units = strongest(self.network, image, case.layer, top)
        self.units = [[unit.unit, *(unit.position or ())] for unit in units]
        self.values = image.new_tensor([unit.value for unit in units]).view(-1, 1, 1, 1)
        layers = until(network, case.layer)
        self.settings: dict[str, Any] = {}
        self.plain, self.rectifying = _with_layers(layers, nn.ReLU), _with_layers(layers, _Rectify)

    # ------------------------------------------------------------ ours

    def ours(self) -> Tensor:
        return self.projector(self.image)

    def single(self) -> Tensor:
        return zfcuda.project(self.model, self.image, self.case.layer, top=self.top)

    def units_alone(self) -> object:
        return strongest(self.network, self.image, self.case.layer, self.top)

    # ------------------------------------------------------------ the others

    def forward_alone(self) -> Tensor:
        with tuned_convolutions(), torch.inference_mode():
            return self.plain(self.image)

    def captum(self, batch: int) -> Tensor:
        """The gradient of each unit; ours and autograd's are seeded with the activation itself."""
        from captum.attr import Deconvolution

        projections = []
        with tuned_convolutions(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Captum warns about its hooks, on each call
            for first in range(0, self.top, batch):
                units = [tuple(unit) for unit in self.units[first : first + batch]]
                images = self.image.expand(len(units), -1, -1, -1).clone()
                projections.append(Deconvolution(self.plain).attribute(images, target=units))
        return torch.cat(projections)

    def autograd(self, forward: Callable[[Tensor], Tensor]) -> Tensor:
        with tuned_convolutions():
            image = self.image.detach().requires_grad_()
            activation = forward(image)
            seeds = _seeds(activation.detach(), self.top)
            return torch.cat(
                [torch.autograd.grad(activation, image, seed[None], retain_graph=True)[0] for seed in seeds]
            )

    def batch(self, forward: Callable[[Tensor], Tensor]) -> Tensor:
        with tuned_convolutions():
            images = self.image.detach().expand(self.top, -1, -1, -1).contiguous().requires_grad_()
            activation = forward(images)
            seeds = _seeds(activation.detach()[:1], self.top)
            return torch.autograd.grad(activation, images, seeds)[0]

    def sides(self, left_out: dict[str, str], with_compile: bool) -> dict[str, Run]:
        """All sides that give projections, by name."""
        sides: dict[str, Run] = {
            OURS: self.ours,
            SINGLE: self.single,
            AUTOGRAD: lambda: self.autograd(self.rectifying),
            BATCH: lambda: self.batch(self.rectifying),
        }
        self.settings = {COMPILED: self.faster({name: sides[name] for name in (AUTOGRAD, BATCH)})}
        if self.top == 1:
            del sides[BATCH]  # one batch is the same as one by one
        missing = opponents.captum_missing()
        if missing is None:
            tried: dict[int, Run] = {n: lambda n=n: self.captum(n) for n in {1, self.top}}  # type: ignore[misc]
            self.settings[CAPTUM] = batch = self.faster(tried)
            sides[CAPTUM] = tried[batch]
        else:
            left_out[CAPTUM] = missing
        if with_compile:
            forward: Callable[[Tensor], Tensor] = torch.compile(self.rectifying, dynamic=False)
            call = self.batch if self.settings[COMPILED] == BATCH else self.autograd
            try:
                call(forward)
            except Exception as error:  # whatever inductor, its compiler or triton may raise
                left_out[COMPILED] = opponents.reason(error)
            else:
                sides[COMPILED] = lambda: call(forward)
        return sides

    def faster(self, tried: dict[Any, Run]) -> Any:
        """Which of several ways takes the least time."""
        times = race(tried, self.image.device, repeats=2, warmup=1)
        return min(times, key=lambda way: times[way].median)

    def verified(self, sides: dict[str, Run]) -> dict[str, float]:
        """How far each side's projections are from autograd's, as a part of their norm.

        Raises:
            RuntimeError: one is further off than is allowed.
        """
        expected = self.autograd(self.rectifying)
        deviations = {}
        for name, run in sides.items():
            projections = run()
            assert isinstance(projections, Tensor)
            projections = projections.detach() * self.values if name == CAPTUM else projections
            off = (projections - expected).flatten(1).norm(dim=1) / expected.flatten(1).norm(dim=1)
            deviations[name] = float(off.max())
            if not deviations[name] <= TOLERANCE:  # NaN too
                raise RuntimeError(
                    f"{self.case.title}, top {self.top}: the projection of {name!r} is off by {deviations[name]:.3g} "
                    f"of its norm, allowed are {TOLERANCE}"
                )
        return {name: float(f"{deviation:.2g}") for name, deviation in deviations.items()}


# ---------------------------------------------------------------- the network as the others run it


class _RectifySignal(torch.autograd.Function):
    """ReLU, and on the way back ReLU of the signal, wherever the activation was."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # type: ignore[override]
        return F.relu(x)

    @staticmethod
    def backward(ctx: Any, signal: Tensor) -> Tensor:  # type: ignore[override]
        return F.relu(signal)


class _Rectify(nn.Module):
    def forward(self, input: Tensor) -> Tensor:
        return _RectifySignal.apply(input)  # type: ignore[no-any-return]


class _NormAndPass(torch.autograd.Function):
    """Local response normalisation, and on the way back nothing."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:  # type: ignore[override]
        return F.local_response_norm(x, size, alpha, beta, k)

    @staticmethod
    def backward(ctx: Any, signal: Tensor) -> tuple[Tensor, None, None, None, None]:  # type: ignore[override]
        return signal, None, None, None, None


class _Norm(nn.LocalResponseNorm):
    def forward(self, input: Tensor) -> Tensor:
        return _NormAndPass.apply(input, self.size, self.alpha, self.beta, self.k)  # type: ignore[no-any-return]


def until(network: nn.Module, layer: str) -> list[nn.Module]:
    """The layers of a chain from the first to the named one, containers of layers opened."""
    layers: list[nn.Module] = []
    for name, module in network.named_modules():
        if next(module.children(), None) is None:
            layers.append(module)
        if name == layer:
            return layers
    raise ValueError(f"layer: no layer {layer!r}")


def _with_layers(layers: Sequence[nn.Module], relu: Callable[[], nn.Module]) -> nn.Module:
    """Builds the chain with the same weights, but every ReLU and LRN replaced."""
    replaced = []
    for layer in layers:
        if isinstance(layer, nn.ReLU):
            replaced.append(relu())
        elif isinstance(layer, nn.LocalResponseNorm):
            replaced.append(_Norm(layer.size, layer.alpha, layer.beta, layer.k))
        else:
            replaced.append(copy.copy(layer))
    return nn.Sequential(*replaced).eval().requires_grad_(False)


def _seeds(activation: Tensor, top: int) -> Tensor:
    """[1,K,h,w] -> [top,K,h,w]: the strongest units at their strongest places, everything else zero."""
    value, place = activation[0].flatten(1).max(dim=1)
    best = value.topk(top)
    seeds = activation.new_zeros(top, *value.shape, activation[0, 0].numel())
    seeds[torch.arange(top, device=seeds.device), best.indices, place[best.indices]] = best.values.clamp(min=0)
    return seeds.view(top, *activation.shape[1:])


def describe(row: dict[str, Any]) -> str:
    """A few lines for people."""
    worst = max(row["deviation"].values())
    lines = [f"{row['title']}, top {row['top']}, {row['dtype']}: verified, off by at most {worst:.2g} of the norm"]
    for name, seconds in row["seconds"].items():
        low, high = row["quartiles"][name]
        ratio = f"{row['ratio'][name]:6.2f}x" if name in row["ratio"] else ""
        lines.append(f"  {name:34} {seconds * 1e3:9.3f} ms ({low * 1e3:.3f} to {high * 1e3:.3f}) {ratio}")
    lines += [f"  {name}: {why}" for name, why in row["left_out"].items()]
    return "\n".join(lines)


def share(row: dict[str, Any]) -> float:
    """The share of our time beyond the forward pass and the choice of units: the deconvnet itself."""
    return max(0.0, 1 - row["seconds"][UNITS] / row["seconds"][OURS])
