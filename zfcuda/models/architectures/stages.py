"""Layers one after another, with the stages ReLU -> max pooling -> LRN computed in one go."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from zfcuda import ops


class FusedSequential(nn.Sequential):
    """A sequence of torch.nn layers; the stages ReLU -> pooling -> normalisation run fused wherever nobody looks
    inside.
    """

    def forward(self, input: Tensor) -> Tensor:
        """[N,C,H,W] -> what the last layer gives."""
        layers = list(self)
        x, i = input, 0
        while i < len(layers):
            stage = layers[i : i + 3]
            if _fusible(x, stage):
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
        and tuple(map(type, stage)) == (nn.ReLU, nn.MaxPool2d, nn.LocalResponseNorm)
        and not any(
            layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks or layer._backward_pre_hooks
            for layer in stage
        )
    )
