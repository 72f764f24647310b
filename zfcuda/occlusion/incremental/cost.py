"""Which is cheaper, predicted: the engine or brute force."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from zfcuda.network import Node
from zfcuda.occlusion.incremental.engine import Plan
from zfcuda.occlusion.incremental.forms import Local, Whole

# Multiply-adds and bytes per second. Only their ratios count, and those differ little between machines.
_DENSE, _BYTES = 150e9, 15e9
_STEP = 60e-6  # seconds per step and chunk


def costs(plan: Plan, base: Mapping[int, Any]) -> tuple[float, float]:
    """Seconds for all windows, roughly: (the engine's, brute force's)."""
    windows = plan.grid[0] * plan.grid[1]
    engine = brute = 0.0
    for node in plan.nodes:
        value, form = base[node.index], plan.forms.of[node.index]
        if not isinstance(value, Tensor) or form is Whole.CONSTANT:
            continue
        whole = _seconds(node, base)
        brute += whole
        if isinstance(form, Local):
            height, width = value.shape[2:]
            rows = (form.rows[:, 1] - form.rows[:, 0]).mean() / height
            columns = (form.columns[:, 1] - form.columns[:, 0]).mean() / width
            # Reading the surroundings of a patch costs a little more than a map's own padding.
            engine += 1.1 * whole * float(rows * columns)
        else:
            engine += whole
    weights = sum(base[i].numel() for node in plan.nodes if node.kind == "conv" for i in node.refs[1:2])
    # Once: the whole picture through the graph, and the filters in the kernel's order.
    once = brute + 3 * 4 * weights / _BYTES + _STEP * len(plan.steps) * -(-windows // 64)
    return windows * engine + once, windows * brute


def _seconds(node: Node, base: Mapping[int, Any]) -> float:
    """Of one picture through one node."""
    value = base[node.index]
    products = 0
    if node.kind in ("conv", "linear"):
        weight = base[node.arguments["weight"].index]
        products = value.numel() * weight[0].numel()
    moved = value.numel() + sum(base[i].numel() for i in node.refs if isinstance(base[i], Tensor) and len(base[i]) == 1)
    return products / _DENSE + moved * value.element_size() / _BYTES
