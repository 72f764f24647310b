"""One training step of ZFNet (forward, backward, SGD with momentum) beside the same network made of torch's layers.

Loss and gradients of every side are verified before anything is timed, and so are the losses of 20 steps. Weights,
pictures and labels are the same, the pictures lie on the device, and dropout is left out: with random numbers of its
own no side could be held against another. Sides run in channels_last unless their name says otherwise; bfloat16 is
autocast. float32 is float32 here: TF32 is off on a GPU, and cuDNN is tuned for all.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import zfcuda
from benchmarks import opponents, zoo
from benchmarks.measure import Run, full_float32, race, timed, tuned_convolutions

BATCH = {"cpu": 8, "cuda": 128}
CASES: tuple[tuple[float, int | None], ...] = ((1.0, None), (0.5, 32))  # width, batch (None: BATCH's)
STEPS = {"cuda": 5}  # in one measurement, so that the device is kept busy as in training
OURS, OURS_NCHW, OURS_COMPILED = "zfcuda", "zfcuda, NCHW", "zfcuda, torch.compile"
TORCH, TORCH_NCHW, COMPILED = "torch", "torch, NCHW", "torch.compile"
OPPONENTS = (TORCH, TORCH_NCHW, COMPILED)
LEARNING_RATE, MOMENTUM = 1e-4, 0.9
# A part of the norm of a parameter's gradient; as deconvnet.TOLERANCE, but for sums over many images.
TOLERANCE = 0.03
# Steps of the curves, a rate at which the loss falls, and how far the losses may be apart, as a part of the first: each
# step adds to what rounding made of the one before. With autocast twice as much is allowed as torch's own layers are
# off by, if that is more.
CURVE_STEPS, CURVE_RATE = 20, 1e-3
CURVE_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.03}


def run(
    device: torch.device, dtype: torch.dtype, quick: bool, batch: int | None = None, width: float | None = None
) -> Iterator[dict[str, Any]]:
    """A row for each of CASES, as soon as it is measured, or one for the batch and width that are given.

    There is none for a dtype in which nobody trains.

    quick: one row with a small batch, few repeats, and without torch.compile.
    """
    if dtype not in (torch.float32, torch.bfloat16):
        return
    asked = quick or batch is not None or width is not None
    for wide, images in ((width or 1.0, batch),) if asked else CASES:
        images = images or (2 if quick else BATCH.get(device.type, 8))
        with full_float32(), tuned_convolutions():
            row = _row(device, dtype, quick, images, wide)
        print(describe(row), flush=True)
        yield row
        if not quick:
            torch._dynamo.reset()


def network(width: float) -> nn.Module:
    """ZFNet without dropout, in training mode."""
    with torch.device("meta"):
        built = zfcuda.models.zfnet(width=width)
    for name, layer in list(built.named_children()):
        if isinstance(layer, nn.Dropout):
            setattr(built, name, nn.Identity())
    zoo.randomise(built)
    return built.train()


class Side:
    """A network with its optimiser, on one batch."""

    def __init__(
        self,
        network: nn.Module,
        images: Tensor,
        labels: Tensor,
        dtype: torch.dtype,
        compiled: bool = False,
        rate: float = LEARNING_RATE,
    ) -> None:
        self.network, self.images, self.labels, self.dtype = network, images, labels, dtype
        self.forward: Callable[[Tensor], Tensor] = torch.compile(network, dynamic=False) if compiled else network
        self.optimiser = torch.optim.SGD(network.parameters(), rate, MOMENTUM, fused=True)

    def backward(self) -> Tensor:
        """The loss; gradients are in .grad."""
        narrow = self.dtype != torch.float32
        with torch.autocast(self.images.device.type, self.dtype if narrow else None, enabled=narrow):
            loss = F.cross_entropy(self.forward(self.images), self.labels)
        loss.backward()
        return loss.detach()

    def step(self) -> Tensor:
        """The loss before the step."""
        loss = self.backward()
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return loss

    def gradients(self) -> dict[str, Tensor]:
        """The gradients of one pass, float32, with the loss among them; none is left behind."""
        gradients = {"the loss": self.backward().float()}
        for name, parameter in self.network.named_parameters():
            assert parameter.grad is not None
            gradients[name] = parameter.grad.float()
        self.optimiser.zero_grad(set_to_none=True)
        return gradients


def _row(device: torch.device, dtype: torch.dtype, quick: bool, batch: int, width: float) -> dict[str, Any]:
    left_out = {COMPILED: "not in --quick", OURS_COMPILED: "not in --quick"} if quick else {}
    sides, expected = _sides(device, dtype, batch, width, left_out, with_compile=not quick)
    deviations = verified(sides, expected, dtype)
    curve = curves(sides, dtype, 3 if quick else CURVE_STEPS)
    steps = 1 if quick else STEPS.get(device.type, 1)
    runs: dict[str, Run] = {
        name: lambda side=side: [side.step() for _ in range(steps)]  # type: ignore[misc]
        for name, side in sides.items()
    }
    repeats = (2, 1) if quick else (20, 3) if device.type == "cuda" else (9, 2)
    times = race(runs, device, repeats=repeats[0], warmup=repeats[1])
    times = {name: timing.each(steps) for name, timing in times.items()}
    ours = times[OURS].median
    return {
        "network": "zfnet",
        "title": "ZFNet" if width == 1 else f"ZFNet, width {width:g}",
        "dtype": str(dtype).removeprefix("torch."),
        "batch": batch,
        "deviation": deviations,
        "curve": curve,
        **timed(times),
        "ratio": {name: round(times[name].median / ours, 3) for name in OPPONENTS if name in times},
        "pictures_per_second": round(batch / ours, 1),
        "settings": {
            "autocast": dtype != torch.float32,
            "steps_per_measurement": steps,
            "optimiser": "SGD, momentum, fused",
        },
        "left_out": left_out,
    }


def _sides(
    device: torch.device, dtype: torch.dtype, batch: int, width: float, left_out: dict[str, str], with_compile: bool
) -> tuple[dict[str, Side], dict[str, Tensor]]:
    """The sides by name, and the gradients that torch's eager layers give in float32."""
    start, images, labels = network(width).to(device), *_batch(device, batch)

    def side(ours: bool, format: torch.memory_format, compiled: bool = False) -> Side:
        own = copy.deepcopy(start)
        own = own if ours else opponents.torch_form(own, torch.float32)
        own = own.to(memory_format=format)  # type: ignore[call-overload]
        return Side(own, images.contiguous(memory_format=format), labels, dtype, compiled)

    last, first = torch.channels_last, torch.contiguous_format
    sides = {
        OURS: side(True, last),
        OURS_NCHW: side(True, first),
        TORCH: side(False, last),
        TORCH_NCHW: side(False, first),
    }
    for name, ours in ((COMPILED, False), (OURS_COMPILED, True)) if with_compile else ():
        candidate = side(ours, last, compiled=True)
        try:
            candidate.gradients()
        except Exception as error:  # whatever inductor, its compiler or triton may raise
            left_out[name] = opponents.reason(error)
        else:
            sides[name] = candidate
    reference = sides[TORCH]
    wide = Side(reference.network, reference.images, labels, torch.float32)
    return sides, wide.gradients()


def _batch(device: torch.device, batch: int) -> tuple[Tensor, Tensor]:
    """Images [batch,3,224,224], and their labels."""
    random = torch.Generator().manual_seed(0)
    noise = torch.randn(batch, 3, 224, 224, generator=random)
    images = torch.cat([zoo.picture(seed=seed) for seed in range(min(batch, 8))]).repeat(-(-batch // 8), 1, 1, 1)
    labels = torch.randint(0, 1000, (batch,), generator=random)
    return (images[:batch] + 0.5 * noise).to(device), labels.to(device)


def alone(device: torch.device, dtype: torch.dtype, batch: int) -> Side:
    """Our side by itself."""
    last = torch.channels_last
    own = network(1.0).to(device).to(memory_format=last)  # type: ignore[call-overload]
    images, labels = _batch(device, batch)
    return Side(own, images.contiguous(memory_format=last), labels, dtype)


def verified(sides: dict[str, Side], expected: dict[str, Tensor], dtype: torch.dtype) -> dict[str, float]:
    """How far each side's loss and gradients are from the expected, the worst as a part of its norm.

    With autocast twice as much is allowed as torch's own layers are off by, for each parameter.

    Raises:
        RuntimeError: a side is further off.
    """
    off = {
        name: {key: float((own - expected[key]).norm() / expected[key].norm()) for key, own in gradients.items()}
        for name, gradients in ((name, side.gradients()) for name, side in sides.items())
    }
    for name, deviations in off.items():
        for key, deviation in deviations.items():
            allowed = TOLERANCE if dtype == torch.float32 else max(TOLERANCE, 2 * off[TORCH][key])
            if not deviation <= allowed:  # NaN too
                raise RuntimeError(
                    f"training: {key} of {name!r} is off by {deviation:.3g} of its norm, allowed are {allowed:.3g}"
                )
    return {name: float(f"{max(deviations.values()):.2g}") for name, deviations in off.items()}


def curves(sides: dict[str, Side], dtype: torch.dtype, steps: int) -> dict[str, Any]:
    """The losses of ours and of torch's layers over some steps from the same weights, in channels_last.

    Returns:
        steps, both curves, their largest difference as a part of the first loss, and that of torch's own: of its two
        memory formats in float32, from float32 else.

    Raises:
        RuntimeError: the difference is more than rounding explains.
    """

    def losses(name: str, dtype: torch.dtype) -> Tensor:
        side = sides[name]
        learner = Side(copy.deepcopy(side.network), side.images, side.labels, dtype, rate=CURVE_RATE)
        return torch.stack([learner.step().float() for _ in range(steps)]).cpu()

    def difference(a: Tensor, b: Tensor) -> float:
        return float(f"{float((a - b).abs().max() / b[0]):.2g}")

    ours, torchs = losses(OURS, dtype), losses(TORCH, dtype)
    # What rounding alone does: torch's layers in the other memory format, or against float32.
    own = difference(torchs, losses(*((TORCH_NCHW, dtype) if dtype == torch.float32 else (TORCH, torch.float32))))
    off = difference(ours, torchs)
    if not off <= max(CURVE_TOLERANCE[dtype], 2 * own):
        raise RuntimeError(f"training: the losses of {steps} steps are {off:.3g} off torch's, its own {own:.3g}")
    curve = {name: [round(loss, 5) for loss in found.tolist()] for name, found in ((OURS, ours), (TORCH, torchs))}
    return {"steps": steps, "losses": curve, "difference": off, "own": own}


def describe(row: dict[str, Any]) -> str:
    """A few lines for people."""
    kind = f"{row['dtype']} autocast" if row["settings"]["autocast"] else row["dtype"]
    lines = [
        f"a training step of {row['title']}, batch {row['batch']}, {kind}: verified, gradients off by at most "
        f"{max(row['deviation'].values()):.2g} of their norm",
        f"  losses of {row['curve']['steps']} steps, {row['curve']['losses'][OURS][0]:.4g} to "
        f"{row['curve']['losses'][OURS][-1]:.4g}: off torch's by at most {row['curve']['difference']:.2g} of the first",
    ]
    for name, seconds in row["seconds"].items():
        low, high = row["quartiles"][name]
        ratio = f"{row['ratio'][name]:6.2f}x" if name in row["ratio"] else ""
        lines.append(f"  {name:34} {seconds * 1e3:9.2f} ms ({low * 1e3:.2f} to {high * 1e3:.2f}) {ratio}")
    lines += [f"  {name}: {why}" for name, why in row["left_out"].items()]
    return "\n".join(lines)
