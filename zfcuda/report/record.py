"""What has to be known to make a report again: preprocess, versions, device, the weights by their checksum."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.data.preprocess_facts import facts
from zfcuda.report.attempt import attempted
from zfcuda.report.subject import Subject
from zfcuda.version import __version__

_CHUNK = 2**24  # elements that are copied at a time


def record_of(subject: Subject) -> dict[str, Any]:
    """What the report keeps about a network, for JSON."""
    checksum, why = attempted(lambda: weights_checksum(subject.model))
    return {
        "title": subject.title,
        "preprocess": facts(subject.preprocess),
        "device": device_of(subject.model),
        "weights": {
            "parameters": sum(p.numel() for p in subject.model.parameters()),
            "sha256": checksum,
            **({"reason": why} if why else {}),
        },
    }


def versions() -> dict[str, str]:
    """The versions of what the numbers depend on."""
    return {"zfcuda": __version__, "torch": torch.__version__, "python": platform.python_version()}


def device_of(model: nn.Module) -> str:
    """Where the network runs, in words: "cpu", or the device and the name of the GPU."""
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)


def weights_checksum(model: nn.Module) -> str:
    """The SHA-256 of all parameters and buffers that a state_dict holds, as hexadecimal digits.

    Of each tensor, by name in alphabetical order: a line with its name, dtype and shape, "conv1.weight torch.float32
    [96, 3, 7, 7]", then its bytes in row-major order (little-endian, as they lie in memory). Tensors are read in
    chunks, and never all copied.
    """
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        if isinstance(value, Tensor):  # a module's extra state may be anything
            digest.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
            for part in _bytes(value):
                digest.update(part)
    return digest.hexdigest()


def _bytes(value: Tensor) -> Iterator[memoryview]:
    flat = value.detach().reshape(-1)  # a view, unless the tensor's memory has gaps or another order
    for part in flat.split(_CHUNK):
        yield memoryview(part.cpu().contiguous().view(torch.uint8).numpy())
