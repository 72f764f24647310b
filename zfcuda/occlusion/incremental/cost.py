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
from zfcuda.occlusion.incremental.engine import Plan


@dataclass(frozen=True)
class _Rates:
    """Multiply-adds and bytes per second (of a thread, on a CPU); seconds per node that is followed, per step and chunk
    on patches and in full, and per layer and batch; windows of a chunk and of a batch. The ratios of the first three
    differ little between machines. Patches move slower than whole maps: they are gathered, and each surrounded by what
    its next layer reads.
    """

    products: float
    whole: float
    patches: float
    node: float
    local: float
    full: float
    layer: float
    chunk: int
    batch: int


_RATES = {
    "cpu": _Rates(30e9, 4.7e9, 3e9, 600e-6, 450e-6, 60e-6, 45e-6, 64, 16),
    # By the data sheet of an H100 and the launches of a step; not measured.
    "cuda": _Rates(25e12, 2.5e12, 1e12, 0.0, 60e-6, 60e-6, 0.0, 4096, 1024),
}


@dataclass(frozen=True)
class Costs:
    """Seconds, predicted; only their ratios are worth much.

    once: for the engine's preparation. chunk: for one of the engine's chunks. each: of the engine for each window.
    batch: for one of brute force's batches. whole: of brute force for each window. chunks, batches: their sizes.
    """

    once: float
    chunk: float
    each: npt.NDArray[np.float64]
    batch: float
    whole: float
    chunks: int
    batches: int

    def engine(self, windows: Sequence[int] | None = None) -> float:
        """For these windows, all prepared; None: all windows."""
        each = self.each if windows is None else self.each[list(windows)]
        return float(each.sum()) + self.chunk * -(-len(each) // self.chunks)

    def brute(self, count: int | None = None) -> float:
        """For so many windows; None: all windows."""
        count = len(self.each) if count is None else count
        return count * self.whole + self.batch * -(-count // self.batches)


def predict(plan: Plan, base: Mapping[int, Any]) -> Costs:
    """What the windows of a plan take. base: the values of all nodes; outlines are enough."""
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
        full = products / rates.products + moved / rates.whole
        whole += full
        if isinstance(change, Local):
            height, width = value.shape[2:]
            # Operands whose patches differ are gathered before they meet.
            moved *= 3 if len(node.refs) > 1 and node.kind in ("add", "mul", "cat", "pointwise") else 1
            sides = [interval[:, 1] - interval[:, 0] for interval in (change.rows, change.columns)]
            each += np.outer(sides[0] / height, sides[1] / width) * (products / rates.products + moved / rates.patches)
        else:
            dense += full
    layers = sum(isinstance(base[node.index], Tensor) for node in plan.nodes)
    weights = sum(base[i].numel() for node in plan.nodes if node.kind == "conv" for i in node.refs[1:2])
    local = {index for index, change in plan.changes.of.items() if isinstance(change, Local)}
    steps = [(rates.local if step.index in local else rates.full, step.reads) for step in plan.steps]
    return Costs(
        # The network is followed, the whole image goes through the graph, and the filters get the kernel's order.
        once=2 * whole + 3 * 4 * weights / rates.patches / threads + rates.node * len(plan.nodes),
        chunk=sum(step * max(1, len(reads)) for step, reads in steps) + 4 * weights / rates.whole / threads,
        each=each.ravel() + dense,
        batch=rates.layer * layers,
        whole=whole,
        chunks=rates.chunk,
        batches=rates.batch,
    )


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
