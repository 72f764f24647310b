"""The rules of a method: how a layer is computed, and how a signal goes back through it.

At most layers every method does the same: the transpose of the layer's derivative. What the methods disagree on are
the settings of Rules: what happens at a rectifier and at local response normalisation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from torch import Tensor

from zfcuda.backward import axes, filters, linear, nonlinear, normalisation, stages
from zfcuda.backward.stages import Stage
from zfcuda.backward.way import SETTINGS_DEPEND, Rule, TorchCall, UnsupportedError, Way, WayBack
from zfcuda.network import Node, Ref

RELU = ("deconvnet", "gradient", "guided")
LRN = ("identity", "divide", "exact")

_OF_EVERY_METHOD: dict[str, Rule] = {
    "conv": filters.conv,
    "linear": filters.linear,
    "batch_norm": filters.batch_norm,
    "max_pool": nonlinear.max_pool,
    "avg_pool": axes.avg_pool,
    "adaptive_avg_pool": axes.adaptive_avg_pool,
    "mean": axes.mean,
    "identity": filters.identity,
    "cat": filters.cat,
    "add": filters.add,
}


@dataclass(frozen=True)
class Rules:
    """The rules of one method.

    relu: "deconvnet" rectifies the signal, wherever the activation was (Zeiler & Fergus, section 2.1); "gradient"
        passes it where the activation was positive; "guided" does both (Springenberg et al. 2014). What that means at
        other rectifiers, ReLU6 for one, says zfcuda.backward.nonlinear.
    lrn: "identity" passes the signal through local response normalisation, "divide" divides it by the forward scale,
        "exact" is the derivative.

    With "gradient" and "exact" the walk is the gradient of the network.

    Raises:
        ValueError: a setting is unknown.
    """

    relu: str = "deconvnet"
    lrn: str = "identity"

    def __post_init__(self) -> None:
        for name, value, settings in (("relu", self.relu, RELU), ("lrn", self.lrn, LRN)):
            if value not in settings:
                raise ValueError(f"{name}: expected one of {', '.join(map(repr, settings))}, got {value!r}")

    def way(self, node: Node, sees: set[int]) -> Way:
        """The way through a node that depends on the image.

        sees: the nodes that do.

        Raises:
            UnsupportedError: there is no rule for it.
        """
        rule = self._by_kind.get(node.kind)
        if node.kind == "cat" and isinstance(node.arguments["tensors"], Ref):  # a list that another node gives
            rule = None
        if rule is not None:
            return _by_name(node, rule, sees)
        call = TorchCall.of(node, node.arguments)
        if call is not None and node.kind == "reshape":
            return _of_input(node, call, sees, filters.reshaped)
        if call is not None and nonlinear.is_rectifier(call):
            return _of_input(node, call, sees, partial(nonlinear.rectifier, method=self.relu))
        if call is not None and nonlinear.is_maximum(call):
            return nonlinear.maximum(node, call, sees, self.relu)
        if call is not None and axes.moves_along_axes(call):
            return _of_input(node, call, sees, axes.moved_along_axes)
        return linear.way(node, call, sees)

    def fused(self, stage: Stage) -> Way:
        """The way through a stage of several nodes that depend on the image."""
        return stages.way(stage, self.relu, self.lrn)

    @cached_property
    def _by_kind(self) -> dict[str, Rule]:
        return {
            **_OF_EVERY_METHOD,
            "relu": partial(nonlinear.relu, method=self.relu),
            "lrn": partial(normalisation.across_channels, setting=self.lrn),
            "lrn_within": partial(normalisation.within_channels, setting=self.lrn),
        }


def _by_name(node: Node, rule: Rule, sees: set[int]) -> Way:
    """The way through a node whose arguments have names of their own."""
    names = ("input", "other") if node.kind == "add" else ("input",)
    slots = node.arguments["tensors"] if node.kind == "cat" else [node.arguments[name] for name in names]
    kept = [i for i, slot in enumerate(slots) if isinstance(slot, Ref) and slot.index in sees]
    sources = [slots[i].index for i in kept]
    if sum(i in sees for i in node.refs) != len(sources):
        raise UnsupportedError(SETTINGS_DEPEND)

    def run(values: Mapping[int, Any]) -> tuple[Any, WayBack]:
        value, back = rule(node.resolve(values))
        return value, back if len(kept) == len(slots) else lambda signal: [back(signal)[i] for i in kept]

    return Way(sources, run)


def _of_input(node: Node, call: TorchCall, sees: set[int], rule: Callable[[TorchCall, Tensor], WayBack]) -> Way:
    """The way through a call that only its first argument may make depend on the image.

    rule: takes the call with the values of its arguments, and its own.
    """
    if not isinstance(call.input, Ref) or sum(i in sees for i in node.refs) != 1 or call.input.index not in sees:
        raise UnsupportedError(SETTINGS_DEPEND)

    def run(values: Mapping[int, Any]) -> tuple[Any, WayBack]:
        arguments = node.resolve(values)
        output, resolved = node.run(arguments), TorchCall.of(node, arguments)
        assert resolved is not None
        if output.dtype != resolved.input.dtype:
            raise UnsupportedError(f"it makes {output.dtype} of {resolved.input.dtype}")
        return output, rule(resolved, output)

    return Way([call.input.index], run)
