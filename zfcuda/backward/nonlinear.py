"""Layers that are no linear maps: maximum pooling, and rectifiers, on which the methods disagree.

Each method's settings at a rectifier, `relu` in zfcuda.backward.rules.Rules:

- max(0, x): "deconvnet" rectifies the signal wherever the activation was (Zeiler & Fergus, section 2.1); "gradient"
  passes it where the activation was positive; "guided" does both (Springenberg et al. 2014).
- min(max(0, x), 6) and every other upper end: in "gradient" and "guided" nothing passes where the activation was at its
  upper end. The deconvnet takes no notice of it, as it takes none of the activation at a ReLU: it rectifies the signal.
  An upper end alone leaves its signal as it is.
- maximum(x, 0), with a tensor of zeros, and threshold(x, 0, 0) are max(0, x); other thresholds have a gradient alone.
- max(-1, x), max(0.1 x, x) and the like let negative values through: what rectifying the signal would mean there is not
  agreed. They have a gradient, and no rule for the two others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zfcuda import ops
from zfcuda.backward.way import Arguments, TorchCall, UnsupportedError, Way, WayBack, per_image, same
from zfcuda.network import Node, Ref, kinds


def max_pool(arguments: Arguments) -> tuple[Tensor, WayBack]:
    """Returns each value to where its maximum was, by the switches; where windows overlap, values add up."""
    input = arguments["input"]
    kernel = kinds.pair(arguments["kernel_size"])
    stride = kinds.window_stride(arguments)
    padding = kinds.pair(arguments["padding"])
    if input.ndim != 4:
        raise UnsupportedError(f"pooling of {input.ndim} dimensions")
    if kinds.pair(arguments["dilation"]) != (1, 1):
        raise UnsupportedError(f"pooling with dilation {arguments['dilation']}")
    if kernel[0] * kernel[1] > 256:
        raise UnsupportedError(f"pooling windows of {kernel[0]} x {kernel[1]}; at most 256 elements have switches")
    output, switches = ops.max_pool2d_with_switches(input, kernel, stride, padding, bool(arguments["ceil_mode"]))

    def back(signal: Tensor) -> list[Tensor]:
        repeated = switches.expand_as(signal).flatten(0, 1)
        return [
            per_image(
                signal, lambda s: ops.max_unpool2d(s, repeated, kernel, stride, padding, output_size=input.shape[2:])
            )
        ]

    return output, back


# ---------------------------------------------------------------- rectifiers


def relu(arguments: Arguments, method: str) -> tuple[Tensor, WayBack]:
    output = kinds.relu(**arguments)
    return output, _between(method, output, 0, None)  # at exactly zero torch's gradient is zero too


def _between(method: str, output: Tensor, low: float, high: float | None) -> WayBack:
    """The way back through what is level up to `low` and from `high` on, both included; output: its value."""
    if method == "deconvnet":
        return _rectified(method, output)
    # As torch's own gradients do it: a mask of bytes takes ten times as long.
    aten = torch.ops.aten

    def passed(signal: Tensor) -> Tensor:
        if high is None:
            return aten.threshold_backward(signal, output, low)  # type: ignore[no-any-return]
        return aten.hardtanh_backward(signal, output, low, high)  # type: ignore[no-any-return]

    return lambda signal: [passed(signal) if method == "gradient" else F.relu_(passed(signal))]


def _rectified(method: str, active: Tensor) -> WayBack:
    """active: where the gradient is one."""
    if method == "deconvnet":
        return lambda signal: [F.relu(signal)]
    if method == "gradient":
        return lambda signal: [torch.where(active, signal, 0)]
    return lambda signal: [torch.where(active, F.relu(signal), 0)]


# The ends of each, by the arguments that follow the input, and whether torch's gradient is one at the ends themselves.
_CLAMPING: dict[str, tuple[Callable[..., tuple[Any, Any]], bool]] = {
    "relu6": (lambda inplace=False: (0, 6), False),
    "hardtanh": (lambda min_val=-1.0, max_val=1.0, inplace=False: (min_val, max_val), False),
    **dict.fromkeys(("clamp", "clip"), (lambda min=None, max=None: (min, max), True)),
    "clamp_min": (lambda min: (min, None), True),
    "clamp_max": (lambda max: (None, max), True),
}
# The slope below zero of each.
_LEAKING: dict[str, Callable[..., Any]] = {
    "leaky_relu": lambda negative_slope=0.01, inplace=False: negative_slope,
    "prelu": lambda weight: weight,
}
_THRESHOLD = ("threshold", "_threshold")  # the second is what torch.nn.functional's calls itself
_NO_RULE = {
    "deconvnet": "it lets negative values through, for which the deconvnet has no rule",
    "guided": "it lets negative values through, for which guided backpropagation has no rule",
}


def is_rectifier(call: TorchCall) -> bool:
    """Whether a call is piecewise linear, element by element."""
    known = isinstance(call.function, nn.Hardtanh | nn.LeakyReLU | nn.PReLU | nn.Threshold)
    return known or call.name in _CLAMPING or call.name in _LEAKING or call.name in _THRESHOLD


def rectifier(call: TorchCall, output: Tensor, method: str) -> WayBack:
    """Gives the way back through such a call, from the values of its arguments and its own."""
    input = call.input
    slope = _slope(call)
    if isinstance(slope, int | float) and slope == 0:
        return _rectified(method, input > 0)
    if slope is not None:
        if method != "gradient":
            raise UnsupportedError(_NO_RULE[method])
        return lambda signal: [torch.where(input > 0, signal, signal * slope)]
    if isinstance(call.function, nn.Threshold) or call.name in _THRESHOLD:
        threshold, value = _threshold(call)
        if method != "gradient" and (threshold, value) != (0, 0):
            raise UnsupportedError(f"it gives {value} up to {threshold}, not zero up to zero")
        return _rectified(method, input > threshold)
    low, high, inclusive = _ends(call)
    if not all(end is None or isinstance(end, int | float) for end in (low, high)):
        raise UnsupportedError("its ends are tensors")
    if low not in (None, 0) and method != "gradient":
        raise UnsupportedError(_NO_RULE[method] if low < 0 else f"it ends at {low}, not at zero")
    if low is None and high is not None and high <= 0 and method == "guided":
        raise UnsupportedError(_NO_RULE[method])
    if method == "deconvnet":
        return same if low is None else _rectified(method, output)
    if low is not None and high is not None and not inclusive:
        return _between(method, output, low, high)
    inside = torch.ones_like(output, dtype=torch.bool)
    if low is not None:
        # Where torch's gradient of clamp is one, at the end itself, the activation is zero: guided passes nothing.
        inside = inside & (input >= low if inclusive and method == "gradient" else input > low)
    if high is not None:
        inside = inside & (input <= high if inclusive else input < high)
    return _rectified("gradient" if low is None else method, inside)


def _threshold(call: TorchCall) -> tuple[Any, Any]:
    """(threshold, value) of what gives the value up to the threshold, and its input above."""
    if isinstance(call.function, nn.Threshold):
        return call.function.threshold, call.function.value

    def arguments(threshold: Any, value: Any, inplace: bool = False) -> tuple[Any, Any]:
        return threshold, value

    return arguments(*call.settings, **call.named)


def is_maximum(call: TorchCall) -> bool:
    """Whether a call takes the larger of two tensors, element by element."""
    operands = (*call.settings, *call.named.values())
    return call.name in ("maximum", "max") and len(operands) == 1 and isinstance(operands[0], Ref | Tensor)


def maximum(node: Node, call: TorchCall, sees: set[int], method: str) -> Way:
    """The way through such a call, where one of the two depends on the image."""
    operands = [call.input, *call.settings, *call.named.values()]
    seen = [x.index for x in operands if isinstance(x, Ref) and x.index in sees]
    if len(seen) != 1:
        raise UnsupportedError("both of its operands depend on the image")

    def run(values: Mapping[int, Any]) -> tuple[Tensor, WayBack]:
        output = node.run(node.resolve(values))
        input = values[seen[0]]
        if output.shape != input.shape or output.dtype != input.dtype:
            raise UnsupportedError(f"it makes {output.dtype} {list(output.shape)} of {input.dtype} {list(input.shape)}")
        (other,) = (values[x.index] if isinstance(x, Ref) else x for x in operands if x != Ref(seen[0]))
        if method == "gradient":
            share = torch.where(input == other, 0.5, (input > other).to(input.dtype))  # torch halves it between equals
            return output, lambda signal: [signal * share]
        if bool((other != 0).any()):
            raise UnsupportedError("its other operand is not zero")
        return output, _rectified(method, output > 0)

    return Way(seen, run)


def _ends(call: TorchCall) -> tuple[Any, Any, bool]:
    if isinstance(call.function, nn.Hardtanh):
        return call.function.min_val, call.function.max_val, False
    ends, inclusive = _CLAMPING[call.name]
    return *ends(*call.settings, **call.named), inclusive


def _slope(call: TorchCall) -> Any:
    """The slope below zero, to be multiplied with a signal; None: it is level there."""
    if isinstance(call.function, nn.LeakyReLU):
        slope: Any = call.function.negative_slope
    elif isinstance(call.function, nn.PReLU):
        slope = call.function.weight
    elif call.name in _LEAKING:
        slope = _LEAKING[call.name](*call.settings, **call.named)
    else:
        return None
    if isinstance(slope, Tensor):  # of each channel
        slope = slope.detach().view(-1, *[1] * (call.input.ndim - 2))
    return slope
