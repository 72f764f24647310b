"""Layers one after another, with the stages ReLU -> max pooling -> LRN computed in one go."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from zfcuda import ops
from zfcuda.ops import conv_stage


class FusedSequential(nn.Sequential):
    """A sequence of torch.nn layers; the stages ReLU -> pooling -> normalisation run fused wherever nobody looks
    inside. In float32 training on a CPU the convolution before them, and one before ReLU -> pooling, joins the
    stage, for the way back.
    """

    def forward(self, input: Tensor) -> Tensor:
        """[N,C,H,W] -> what the last layer gives."""
        layers = list(self)
        x, i = input, 0
        while i < len(layers):
            stage = layers[i : i + 3]
            trained = _trained_stage(x, layers[i : i + 4]) if self.training else None
            if trained is not None:
                x, count = trained
                i += count
            elif _fusible(x, stage):
                pool: Any = stage[1]
                norm: Any = stage[2]
                x, _switches = ops.relu_max_pool2d_lrn(
                    x,
                    pool.kernel_size,
                    pool.stride,
                    pool.padding,
                    pool.ceil_mode,
                    size=norm.size,
                    alpha=norm.alpha,
                    beta=norm.beta,
                    k=norm.k,
                )
                i += 3
            else:
                x = layers[i](x)
                i += 1
        return x


def _fusible(x: Tensor, stage: list[nn.Module]) -> bool:
    """Whether the next three layers are ReLU, max pooling, LRN, with no hook that would miss its call."""
    return (
        not isinstance(x, torch.fx.Proxy)
        and x.dim() == 4
        and tuple(map(type, stage)) == (nn.ReLU, nn.MaxPool2d, nn.LocalResponseNorm)
        and not _hooked(stage)
    )


def _trained_stage(x: Tensor, layers: list[nn.Module]) -> tuple[Tensor, int] | None:
    """What the next layers give, and how many they are, where these are a convolution, ReLU, max pooling and perhaps
    LRN, and one way back for all of them pays.
    """
    if isinstance(x, torch.fx.Proxy) or tuple(map(type, layers[:3])) != (nn.Conv2d, nn.ReLU, nn.MaxPool2d):
        return None
    count = 4 if type(layers[-1]) is nn.LocalResponseNorm else 3
    conv: Any = layers[0]
    pool: Any = layers[2]
    norm: Any = layers[3] if count == 4 else None
    pooling = (pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode)
    plain = (
        conv.groups == 1
        and conv.dilation == (1, 1)
        and conv.padding_mode == "zeros"
        and not isinstance(conv.padding, str)
        and pool.dilation in (1, (1, 1))
        and not pool.return_indices
    )
    if not plain or _hooked(layers[:count]) or not conv_stage.pays(x, conv.weight, conv.bias, pooling):
        return None
    constants = None if norm is None else (norm.size, norm.alpha, norm.beta, norm.k)
    return conv_stage.conv2d_stage(x, conv.weight, conv.bias, conv.stride, conv.padding, pooling, constants), count


def _hooked(layers: list[nn.Module]) -> bool:
    """Whether somebody is called with what goes into a layer or comes out, or in its stead."""
    everywhere = nn.modules.module._has_any_global_hook()  # type: ignore[no-untyped-call]
    return everywhere or any(
        layer._forward_hooks
        or layer._forward_pre_hooks
        or layer._backward_hooks
        or layer._backward_pre_hooks
        or "forward" in vars(layer)
        for layer in layers
    )
