"""Which is cheaper, predicted: the engine or brute force."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from zfcuda.network import Node
from zfcuda.occlusion.incremental.change_analysis import Local, Whole
from zfcuda.occlusion.incremental.engine import Plan


@dataclass(frozen=True)
class _Rates:
    """Multiply-adds and bytes per second, seconds per step and chunk, windows of a chunk. Only the ratios count, and
    those of the first three differ little between machines. Patches move at less than half the speed of whole maps:
    they are gathered, and each surrounded by what its next layer reads.
    """

    products: float
    whole: float
    patches: float
    step: float
    windows: int


_RATES = {
    "cpu": _Rates(190e9, 30e9, 12e9, 60e-6, 64),
    # By the data sheet of an H100 and the launches of a step; not measured.
    "cuda": _Rates(25e12, 2.5e12, 1e12, 60e-6, 4096),
}


def costs(plan: Plan, base: Mapping[int, Any]) -> tuple[float, float]:
    """Seconds for all windows, roughly: (the engine's, brute force's)."""
    windows = plan.grid[0] * plan.grid[1]
    rates = _RATES.get(base[plan.output].device.type, _RATES["cpu"])
    engine = brute = 0.0
    for node in plan.nodes:
        value, change = base[node.index], plan.changes.of[node.index]
        if not isinstance(value, Tensor) or change is Whole.CONSTANT:
            continue
        products, moved = _work(node, base)
        whole = products / rates.products + moved / rates.whole
        brute += whole
        if isinstance(change, Local):
            height, width = value.shape[2:]
            rows = (change.rows[:, 1] - change.rows[:, 0]).mean() / height
            columns = (change.columns[:, 1] - change.columns[:, 0]).mean() / width
            # Operands whose patches differ are gathered before they meet.
            moved *= 3 if len(node.refs) > 1 and node.kind in ("add", "mul", "cat", "pointwise") else 1
            engine += float(rows * columns) * (products / rates.products + moved / rates.patches)
        else:
            engine += whole
    chunks = -(-windows // rates.windows)
    operands = sum(max(1, len(step.reads)) for step in plan.steps)
    weights = sum(base[i].numel() for node in plan.nodes if node.kind == "conv" for i in node.refs[1:2])
    # Once: the whole image through the graph, and the filters in the kernel's order.
    once = 2 * brute + 3 * 4 * weights / rates.patches + rates.step * operands * chunks
    return windows * engine + once, windows * brute


def _work(node: Node, base: Mapping[int, Any]) -> tuple[int, int]:
    """The work of one image in one node: multiply-adds, and bytes read and written."""
    value = base[node.index]
    products = 0
    if node.kind in ("conv", "linear"):
        weight = base[node.arguments["weight"].index]
        products = value.numel() * weight[0].numel()
    read = [base[i] for i in node.refs if isinstance(base[i], Tensor) and base[i].shape[:1] == (1,)]
    moved = value.numel() + sum(x.numel() for x in read)
    return products, moved * value.element_size()
