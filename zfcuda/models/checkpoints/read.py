"""Reads the tensors in a file of weights, whatever wrote it, without executing anything in it."""

from __future__ import annotations

import os
import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zfcuda.files.regular import refusal
from zfcuda.models.checkpoints.errors import WeightsError

#: The tensor of a file that is no weight: the mean picture of the network's preprocess.
MEAN_IMAGE = "zfcuda.preprocess.mean_image"
# What training scripts save around the weights.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "weights")


def read_weights(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The weights in a file by name, on the CPU, in the dtypes of the file.

    It is a safetensors file, one written by ``torch.save`` (with a dictionary of tensors, or one around it under
    "state_dict"), or a caffemodel. Nothing in the file is ever executed: pickled code is refused.

    Raises:
        WeightsError: for a file that is missing, empty, truncated, not a file of weights, or with code in it.
    """
    file = Path(path)
    refused = refusal(file)
    if refused is not None:
        raise WeightsError(f"{file}: {refused}")
    with file.open("rb") as stream:
        start = stream.read(9)
    if file.suffix == ".caffemodel":
        from zfcuda.models.checkpoints.caffe import layer_weights  # needs protobuf, which the rest does not

        return layer_weights(file)
    if start[8:9] == b"{" or file.suffix == ".safetensors":
        return _read_safetensors(file)
    if not start.startswith((b"PK", b"\x80")):  # torch.save writes a zip file, formerly a pickle of protocol 2
        raise WeightsError(f"{file}: not a file of weights (expected safetensors, or what torch.save writes)")
    return _tensors(file, _read_pickle(file))


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """What a safetensors file says about itself; empty for other files, and where it says nothing or is damaged."""
    from safetensors import SafetensorError, safe_open

    if refusal(path) is not None:
        return {}
    try:
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError):
        return {}


def read_tensor(path: str | os.PathLike[str], name: str) -> Tensor | None:
    """A tensor of a safetensors file that is none of its weights; None where the file has none of that name."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return file.get_tensor(name) if name in file.keys() else None  # noqa: SIM118  # it is no dictionary


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return {name: value for name, value in load_file(file).items() if name != MEAN_IMAGE}
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise WeightsError(f"{file}: not a safetensors file, or a truncated one ({reason})") from None


def _read_pickle(file: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about damage and old formats; what matters raises
            return torch.load(file, map_location="cpu", weights_only=True)
    except MemoryError:
        raise WeightsError(f"{file}: too large for the memory of this computer") from None
    except Exception as error:  # a damaged file can raise nearly anything; all of it means the same to the user
        text = " ".join(str(error).split())
        code = re.search(r"GLOBAL ([\w.]+)", text)
        if isinstance(error, pickle.UnpicklingError) and code:
            raise WeightsError(
                f"{file}: refused, since loading it would run Python code ({code[1]}); "
                "save model.state_dict() alone, best as safetensors"
            ) from None
        if "TorchScript" in text:
            raise WeightsError(f"{file}: a TorchScript program, not weights; save its state_dict()") from None
        raise WeightsError(f"{file}: not a file of weights, or a truncated one") from None


def _tensors(file: Path, content: Any) -> dict[str, Tensor]:
    """The dictionary of tensors in what ``torch.load`` returned."""
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    if not isinstance(content, Mapping):
        raise WeightsError(f"{file}: holds a {type(content).__name__}, not a dictionary of tensors")
    tensors = {name: value for name, value in content.items() if not str(name).endswith("_extra_state")}
    for name, value in tensors.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise WeightsError(f"{file}: {name!r} is a {type(value).__name__}, not a tensor")
        if value.is_nested or value.layout != torch.strided or value.is_quantized:
            raise WeightsError(f"{file}: {name!r} is not a plain dense tensor")
        if value.is_meta:
            raise WeightsError(f"{file}: {name!r} has a shape but no numbers (it was saved from the meta device)")
    if not tensors:
        raise WeightsError(f"{file}: holds no tensors")
    return tensors
