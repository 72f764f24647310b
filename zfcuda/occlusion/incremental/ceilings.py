"""Rectifiers with a ceiling: ReLU6 and its like."""

from __future__ import annotations

import inspect

import torch.nn.functional as F
from torch import nn

from zfcuda.network import Node


def ceiling_of(node: Node) -> float | None:
    """The largest value that a rectifier of one map lets through; None: it has no ceiling, or is no rectifier."""
    if node.kind != "pointwise" or len(node.refs) != 1:
        return None
    function, args, kwargs = (node.arguments[name] for name in ("function", "args", "kwargs"))
    function = inspect.unwrap(function) if not isinstance(function, nn.Module) else function
    if isinstance(function, nn.Hardtanh) and type(function) in (nn.Hardtanh, nn.ReLU6):
        low, high = function.min_val, function.max_val
    elif function is F.relu6:
        low, high = 0.0, 6.0
    elif function is F.hardtanh and len(args) + len(kwargs) >= 3:
        named = dict(zip(("input", "min_val", "max_val", "inplace"), args, strict=False)) | kwargs
        low, high = named.get("min_val", -1.0), named.get("max_val", 1.0)
    else:
        return None
    numbers = isinstance(low, int | float) and isinstance(high, int | float)
    return float(high) if numbers and low == 0 and high > 0 else None
