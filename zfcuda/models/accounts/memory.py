"""How much memory a network needs for a batch, and the largest batch that fits: found from shapes alone."""

from __future__ import annotations

import re
import reprlib
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._prims_common import suggest_memory_format
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from zfcuda.models.checks import checked_size
from zfcuda.network.example import image_dtypes
from zfcuda.network.graph import first_line, unwrap
from zfcuda.network.intact import restoring, switched

_UNITS = {"": 1} | {p + b: n for i, p in enumerate("KMGT", 1) for b, n in (("B", 1000**i), ("iB", 1024**i))}
# How many tensors each of them reads, not counting biases.
_CONVOLUTIONS = {
    torch.ops.aten.conv2d.default: 2,
    torch.ops.aten.convolution.default: 2,
    torch.ops.aten.convolution_backward.default: 3,
}
_COUNTED = (2, 3)  # batches; one image alone would do, but batch norm refuses to train on one number per map


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes that are alive at once while a network runs, for any batch.

    All that torch allocates for tensors counts: parameters, buffers, images, maps; in training what is kept for the
    backward pass, gradients and momentum; on a CPU the copies that oneDNN's convolutions make of maps in NCHW. What
    other kernels need for themselves while they run does not (cuDNN's workspaces), nor does the process.

    moments: (bytes that do not depend on the batch, bytes per image), of all moments that may be a batch's peak.
    """

    moments: tuple[tuple[int, int], ...]

    def __repr__(self) -> str:
        one, more = (f"{self.bytes(batch) / (1 << 20):,.1f} MiB" for batch in (1, 32))
        return f"MemoryNeed: {one} for 1 image, {more} for 32"

    def bytes(self, batch: int) -> int:
        """How many bytes are alive at the peak, with so many images."""
        return max(fixed + each * batch for fixed, each in self.moments)

    def largest_batch(self, memory: int | str) -> int:
        """The most images whose peak is at most `memory` (bytes, or "8 GB", "7.5GiB"); 0 where not even one fits.

        Raises:
            ValueError: memory is no such amount.
        """
        limit = _amount(memory)
        return max(0, min((limit - fixed) // each for fixed, each in self.moments if each > 0))


def memory_need(
    model: nn.Module, input_size: Sequence[int], *, training: bool = False, dtype: torch.dtype | None = None
) -> MemoryNeed:
    """What a network needs: follows every tensor of a run from its birth to its end, without memory or arithmetic.

    Args:
        model: any network [N,C,H,W] -> anything; left as it was. It may be on the device "meta".
        input_size: (C, H, W) of the images.
        training: False: one forward in eval mode, under torch.no_grad. True: training steps with cross-entropy
            and SGD with momentum: zero_grad, forward, backward, step.
        dtype: that of parameters and images, as after model.to(dtype); None: as the model is.

    Raises:
        ValueError: naming the argument: an input_size that is not three positive integers or that the network cannot
            take, a dtype that is not floating, a model whose steps depend on the batch.
    """
    size = checked_size(input_size)
    if dtype is not None and not dtype.is_floating_point:
        raise ValueError(f"dtype: expected a floating torch.dtype, got {dtype}")
    model = unwrap(model)
    refusals = []
    for image_dtype in image_dtypes(model) if dtype is None else [dtype]:
        try:
            few, more = (_history(model, size, batch, training, dtype, image_dtype) for batch in _COUNTED)
            break
        except RuntimeError as error:
            refusals.append(error)
    else:
        reason = first_line(refusals[0])
        raise ValueError(f"input_size: the network cannot take {size}: {reason}") from refusals[0]
    if len(few) != len(more):
        raise ValueError(f"model: what {type(model).__name__} does depends on the number of pictures")
    each = [b - a for a, b in zip(few, more, strict=True)]
    moments = {(a - _COUNTED[0] * slope, slope) for a, slope in zip(few, each, strict=True)}
    return MemoryNeed(_envelope(moments))


def largest_batch(
    model: nn.Module,
    input_size: Sequence[int],
    memory: int | str,
    *,
    training: bool = False,
    dtype: torch.dtype | None = None,
) -> int:
    """The most images that fit into `memory` at once: bytes, or a text such as "8 GB" (10^9 bytes) or "8 GiB" (2^30).

    It is 0 where not even one fits. The other arguments and errors are those of memory_need; see there what counts, and
    leave room for what does not.
    """
    _amount(memory)
    return memory_need(model, input_size, training=training, dtype=dtype).largest_batch(memory)


def _amount(memory: int | str) -> int:
    if isinstance(memory, str):
        match = re.fullmatch(r"\s*(\d{1,18}(?:\.\d{1,18})?)\s*([KMGT]i?B|)\s*", memory)
        if not match:
            raise ValueError(f'memory: expected bytes, or an amount like "8 GB" or "8 GiB", got {reprlib.repr(memory)}')
        return int(Fraction(match[1]) * _UNITS[match[2]])
    if isinstance(memory, bool) or not isinstance(memory, int) or memory < 0:
        raise ValueError(f"memory: expected a number of bytes, got {memory!r}")
    return memory


def _envelope(moments: set[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The moments that no other one exceeds at every batch."""
    kept: list[tuple[int, int]] = []
    for fixed, each in sorted(moments, reverse=True):
        if not kept or each > kept[-1][1]:
            kept.append((fixed, each))
    return tuple(kept)


# ---------------------------------------------------------------- a run on tensors without numbers


class _Ledger(TorchDispatchMode):
    """Writes down, after every operator, how many bytes of storage are alive."""

    def __init__(self) -> None:
        super().__init__()
        self.history: list[int] = []
        self.alive = 0
        self._known: dict[int, weakref.ref[Any]] = {}  # storages; several tensors may share one

    def note(self, values: Any) -> None:
        for value in tree_leaves(values):
            if isinstance(value, Tensor) and value.layout == torch.strided:
                self._enter(value.untyped_storage())
        self.history.append(self.alive)

    def _enter(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return

        def leave(_: Any) -> None:
            del self._known[key]
            self.alive -= size

        self.alive += size
        self._known[key] = weakref.ref(storage, leave)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.history.append(self.alive + _copies(func, args, result))
        self.note(result)
        return result


def _copies(func: Any, args: tuple[Any, ...], result: Any) -> int:
    """What oneDNN takes on top, for a moment, while it convolves maps in NCHW on a CPU: it reads and writes copies in a
    layout of its own, and copies its output back once those of the inputs are gone.
    """
    if func not in _CONVOLUTIONS or not torch.backends.mkldnn.is_available():
        return 0
    tensors = [x for x in args[: _CONVOLUTIONS[func]] if isinstance(x, Tensor)]
    if tensors[0].device.type != "cpu" or tensors[0].dtype == torch.float64:
        return 0  # oneDNN is for CPUs, and has no float64
    if any(suggest_memory_format(x) == torch.channels_last for x in tensors if x.dim() == 4):
        return 0
    written = next(x for x in tree_leaves(result) if isinstance(x, Tensor))
    # Maps of an image's few channels are read as they are.
    read = sum(_blocked(x) for x in tensors if x.shape[1] > 4)
    return max(read + _blocked(written), written.nbytes + _blocked(written))


def _blocked(x: Tensor) -> int:
    """Bytes of a tensor whose channels are in blocks of 16."""
    return x.nbytes // x.shape[1] * (-(-x.shape[1] // 16) * 16)


def _history(
    model: nn.Module,
    size: tuple[int, int, int],
    batch: int,
    training: bool,
    dtype: torch.dtype | None,
    image_dtype: torch.dtype,
) -> list[int]:
    """Bytes alive after each operator of a run.

    dtype: that of the parameters; None: their own.
    """
    with FakeTensorMode(), _Ledger() as ledger, restoring(model):
        tensors = _stand_ins(model, training, dtype)
        ledger.note(tensors)
        device = next((x.device for x in tensors.values() if x.is_floating_point()), None)
        images = torch.empty(batch, *size, dtype=image_dtype, device=device)
        # Alone: functional_call puts the stand-ins into the model itself.
        if training:
            with torch.enable_grad(), switched(model, training=True, alone=True):
                _train(model, tensors, images)
        else:
            with torch.no_grad(), switched(model, training=False, alone=True):
                torch.func.functional_call(model, tensors, (images,), tie_weights=False)
        return ledger.history


def _stand_ins(model: nn.Module, training: bool, dtype: torch.dtype | None) -> dict[str, Tensor]:
    """The model's parameters and buffers by name, without numbers; those that share memory are one.

    A module that is there under several names goes by the first: functional_call would put each into its place, and
    leave one of them there.
    """
    made: dict[Tensor, Tensor] = {}
    tensors: dict[str, Tensor] = {}
    for path, module in model.named_modules():
        for own, real in (*module._parameters.items(), *module._buffers.items()):
            if real is None:
                continue
            if real not in made:
                kind = dtype if dtype is not None and real.is_floating_point() else real.dtype
                made[real] = torch.empty_strided(real.shape, real.stride(), dtype=kind, device=real.device)
                made[real].requires_grad_(training and isinstance(real, nn.Parameter) and real.requires_grad)
            tensors[f"{path}.{own}" if path else own] = made[real]
    return tensors


def _train(model: nn.Module, tensors: dict[str, Tensor], images: Tensor) -> None:
    """Takes two steps: from the second on, there is momentum."""
    trained = list(dict.fromkeys(x for x in tensors.values() if x.requires_grad))
    if not trained:
        raise ValueError("model: it has no parameter to train (requires_grad is False everywhere)")
    optimiser = torch.optim.SGD(trained, lr=0.1, momentum=0.9)
    labels = torch.zeros(len(images), dtype=torch.long, device=images.device)
    for _ in range(2):
        optimiser.zero_grad()
        _loss(torch.func.functional_call(model, tensors, (images,), tie_weights=False), labels).backward()
        optimiser.step()


def _loss(outputs: Any, labels: Tensor) -> Tensor:
    """Sums the cross-entropy of each tensor of logits and the mean of any other output."""
    losses = [
        F.cross_entropy(x, labels) if x.dim() == 2 else x.mean()
        for x in tree_leaves(outputs)
        if isinstance(x, Tensor) and x.requires_grad
    ]
    if not losses:
        raise ValueError("model: its output does not depend on any parameter that requires a gradient")
    return torch.stack(losses).sum()
