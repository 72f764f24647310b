"""What the engine and brute force take, predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from zfcuda.network import Node
from zfcuda.occlusion.incremental.change_analysis import Local, Whole
from zfcuda.occlusion.incremental.concatenation import Concatenation
from zfcuda.occlusion.incremental.engine import Plan


@dataclass(frozen=True)
class _Rates:
    """Multiply-adds and bytes per second (of a thread, on a CPU); seconds per node that is followed, per step and chunk
    on patches and in full, and per layer and batch. The ratios of the first three differ little between machines.
    Patches move slower than whole maps: they are gathered, and each surrounded by what its next layer reads. grouped:
    bytes per second of torch's convolutions in groups. sums: how much of its multiply-adds the engine takes for a 3x3
    convolution. node: half of what following takes, which the first call alone does.
    """

    products: float
    whole: float
    patches: float
    grouped: float
    sums: float
    node: float
    local: float
    full: float
    layer: float


_RATES = {
    "cpu": _Rates(30e9, 4.7e9, 3e9, 1.5e9, 0.6, 320e-6, 450e-6, 60e-6, 45e-6),
    # By the data sheet of an H100 and the launches of a step; not measured.
    "cuda": _Rates(25e12, 2.5e12, 1e12, 2.5e12, 1.0, 0.0, 60e-6, 60e-6, 0.0),
}


@dataclass(frozen=True)
class Costs:
    """Seconds, predicted; only their ratios are worth much.

    once: for the engine's preparation. checks: of brute force, before it begins. chunk: for one of the engine's chunks.
    each: of the engine for each window. batch: for one of brute force's batches. whole: of brute force for each window.
    chunks, batches: their sizes.
    """

    once: float
    chunk: float
    each: npt.NDArray[np.float64]
    batch: float
    whole: float
    chunks: int
    batches: int
    checks: float = 0.0

    def engine(self, windows: Sequence[int] | None = None) -> float:
        """For these windows, all prepared; None: all windows."""
        each = self.each if windows is None else self.each[list(windows)]
        return float(each.sum()) + self.chunk * -(-len(each) // self.chunks)

    def brute(self, count: int | None = None) -> float:
        """For so many windows; None: all windows."""
        count = len(self.each) if count is None else count
        return count * self.whole + self.batch * -(-count // self.batches)

    def in_all(self) -> tuple[float, float]:
        """What the engine and brute force take for all windows, all that comes before them included."""
        return self.once + self.engine(), self.checks + self.brute()


def predict(plan: Plan, base: Mapping[int, Any], chunk: int, batch: int) -> Costs:
    """What the windows of a plan take. base: the values of all nodes; outlines are enough. chunk, batch: how many
    windows the engine and brute force run together.
    """
    device = base[plan.output].device.type
    rates = _RATES.get(device, _RATES["cpu"])
    threads = torch.get_num_threads() if device == "cpu" else 1
    (rows, columns), dense, whole = plan.grid, 0.0, 0.0
    each = np.zeros((rows, columns))
    for node in plan.nodes:
        value, change = base[node.index], plan.changes.of[node.index]
        if not isinstance(value, Tensor) or change is Whole.CONSTANT:
            continue
        products, moved = (amount / threads for amount in _work(node, base))
        full = products / rates.products + moved / (rates.grouped if _in_groups(node, base) else rates.whole)
        whole += full
        if isinstance(change, Local):
            height, width = value.shape[2:]
            sides = [interval[:, 1] - interval[:, 0] for interval in (change.rows, change.columns)]
            filled = bool((sides[0] == height).all() and (sides[1] == width).all())
            # Operands whose patches differ are gathered before they meet; concatenations are read part by part.
            gathered = not filled and len(node.refs) > 1 and node.kind in ("add", "mul", "pointwise")
            moved *= 3 if gathered else 1
            products *= rates.sums if _three_by_three(node, plan) else 1.0
            rate = rates.whole if filled and not _in_groups(node, base) else rates.patches
            each += np.outer(sides[0] / height, sides[1] / width) * (products / rates.products + moved / rate)
        else:
            dense += full
    layers = sum(isinstance(base[node.index], Tensor) for node in plan.nodes)
    weights = sum(base[i].numel() for node in plan.nodes if node.kind == "conv" for i in node.refs[1:2])
    local = {index for index, change in plan.changes.of.items() if isinstance(change, Local)}
    # A concatenation only notes its parts.
    steps = [
        (rates.local if step.index in local else rates.full, 1 if isinstance(step, Concatenation) else len(step.reads))
        for step in plan.steps
    ]
    return Costs(
        # The network is followed, the whole image goes through the graph, the filters get the kernel's order, and two
        # windows are run through the model.
        once=3 * whole + 3 * 4 * weights / rates.patches / threads + rates.node * len(plan.nodes),
        chunk=sum(step * max(1, reads) for step, reads in steps) + 4 * weights / rates.whole / threads,
        each=each.ravel() + dense,
        batch=rates.layer * layers,
        whole=whole,
        chunks=chunk,
        batches=batch,
        checks=whole,  # the whole image once more, in company
    )


def _in_groups(node: Node, base: Mapping[int, Any]) -> bool:
    if node.kind != "conv":
        return False
    weight, source = (base[node.arguments[name].index] for name in ("weight", "input"))
    return bool(weight.shape[1] != source.shape[1])


def _three_by_three(node: Node, plan: Plan) -> bool:
    """Whether the engine takes Winograd's algorithm for it."""
    sides = plan.changes.windows.get(node.index) if node.kind == "conv" else None
    return sides is not None and all((side.kernel, side.stride, side.dilation) == (3, 1, 1) for side in sides)


def _work(node: Node, base: Mapping[int, Any]) -> tuple[float, float]:
    """The work of one image in one node: multiply-adds, and bytes read and written."""
    value = base[node.index]
    products = 0
    if node.kind in ("conv", "linear"):
        weight = base[node.arguments["weight"].index]
        products = value.numel() * weight[0].numel()
    read = [base[i] for i in node.refs if isinstance(base[i], Tensor) and base[i].shape[:1] == (1,)]
    moved = value.numel() + sum(x.numel() for x in read)
    return products, moved * value.element_size()
