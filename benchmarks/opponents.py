"""What a user would write or install instead of zfcuda.occlusion_map, each at its best setting."""

from __future__ import annotations

import copy
import importlib.util
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._functorch import config as functorch

from benchmarks.measure import tuned_convolutions
from zfcuda.models.architectures.zfnet import ZFNet

Forward = Callable[[Tensor], Tensor]
# The batch sizes tried for each. A GPU is not full with 64 small ones.
PER_EVALUATION = {"cpu": (1, 4, 16, 64), "cuda": (1, 4, 16, 64, 256)}
BATCHES = {"cpu": (16, 64), "cuda": (16, 64, 256)}


@dataclass(frozen=True)
class Scene:
    """An image [1,3,H,W], and an occluder of zeros, `window` pixels square, at each of the origins [n,2] (y, x)."""

    image: Tensor
    window: int
    stride: int
    origins: Tensor


class _WideNorm(nn.LocalResponseNorm):
    """LRN through float32 and back: the best that torch has for bfloat16 on the CPU."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.float()).to(input.dtype)


def torch_form(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """The network with weights in `dtype` and nothing of zfcuda's: pooling and LRN are torch's."""
    if isinstance(network, ZFNet):
        network = nn.Sequential(OrderedDict(network.named_children()))
    if dtype == torch.float32:
        return network
    narrow = copy.deepcopy(network).to(dtype)
    for name, layer in list(narrow.named_children()):
        if isinstance(layer, nn.LocalResponseNorm) and next(narrow.parameters()).device.type == "cpu":
            narrow.add_module(name, _WideNorm(layer.size, layer.alpha, layer.beta, layer.k))
    return narrow


def _occluded(scene: Scene, origins: Tensor) -> Tensor:
    """[n,3,H,W], channels_last."""
    size = scene.window
    if scene.image.is_cuda:  # few launches
        y, x = (torch.arange(n, device=origins.device) for n in scene.image.shape[2:])
        rows, columns = (
            (at >= first) & (at < first + size) for at, first in zip((y, x), origins.T[..., None], strict=True)
        )
        covered = rows[:, None, :, None] & columns[:, None, None, :]
        return scene.image.masked_fill(covered, 0).contiguous(memory_format=torch.channels_last)
    batch = scene.image.expand(len(origins), -1, -1, -1).clone(memory_format=torch.channels_last)
    for image, (y, x) in zip(batch, origins.tolist(), strict=True):
        image[:, y : y + size, x : x + size] = 0
    return batch


def loop(forward: Forward, scene: Scene, batch: int, filled: bool = False) -> Tensor:
    """Brute force by hand, float32 [n,classes]: copy, fill, forward. `filled`: no batch is smaller than the others."""
    origins = scene.origins
    if filled:
        origins = torch.cat([origins, origins[: -len(origins) % batch]])
    with tuned_convolutions():
        answers = [forward(_occluded(scene, some)).float() for some in origins.split(batch)]
    return torch.cat(answers)[: len(scene.origins)]


def even_batch(windows: int, batch: int) -> int:
    """A size near `batch` of which few windows make no full one, for a network that is compiled for one size."""
    sizes = range(min(batch, windows), max(1, batch * 3 // 4) - 1, -1)
    return min(sizes, key=lambda size: -windows % size, default=min(batch, windows))


def captum(forward: Forward, scene: Scene, target: int, perturbations_per_eval: int) -> Tensor:
    """Captum's map [H,W] for the same experiment."""
    from captum.attr import Occlusion

    with tuned_convolutions():
        map = Occlusion(forward).attribute(
            scene.image,
            sliding_window_shapes=(scene.image.shape[1], scene.window, scene.window),
            strides=(1, scene.stride, scene.stride),
            target=target,
            baselines=0,
            perturbations_per_eval=perturbations_per_eval,
        )
    return map[0, 0]


def captum_missing() -> str | None:
    """Why Captum cannot take part."""
    return None if importlib.util.find_spec("captum") else "not installed"


def compiled(network: nn.Module, scene: Scene, batch: int) -> tuple[Forward | None, str]:
    """The network under torch.compile for batches of this size, or None and why not."""
    return compiled_function(network, [_occluded(scene, scene.origins[:1].expand(batch, -1))], fullgraph=False)


def compiled_function(
    function: Callable[..., Any], example: Sequence[Tensor], fullgraph: bool = True
) -> tuple[Callable[..., Any] | None, str]:
    """A function under torch.compile for arguments of these shapes, called once; or None and why not."""
    try:
        compiled = torch.compile(function, dynamic=False, fullgraph=fullgraph)
        compiled(*example)
    except Exception as error:  # whatever inductor, its compiler or triton may raise
        return None, reason(error)
    return compiled, ""


def repeatable_gradients() -> AbstractContextManager[None]:
    """What torch.compile compiles here may go the way back many times: it does not overwrite what it has kept."""
    return functorch.patch(donated_buffer=False)


def reason(error: Exception) -> str:
    """Why torch.compile takes no part."""
    return f"torch.compile failed: {type(error).__name__}: {(str(error).strip() or '-').splitlines()[0]}"
