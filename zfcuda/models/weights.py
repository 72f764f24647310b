"""Reads weights from a file into a network: all of them, or none and one line that says why."""

from __future__ import annotations

import os
import pickle
import re
import warnings
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

# What training scripts save around the weights.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "weights")
_PREFIXES = ("module.", "_orig_mod.", "model.")  # what DataParallel, torch.compile and Lightning put before each name


class WeightsError(ValueError):
    """A file that holds no weights, or those of another network; the message is one line."""


def load_weights(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Loads the weights in a file into a network, cast to the network's dtypes and moved to its devices.

    Args:
        model: the network; unchanged where this raises.
        path: see :func:`read_weights`.

    Raises:
        WeightsError: (a ValueError) where the file cannot be read, or does not fit (see :func:`matched`).
    """
    found = matched(model, read_weights(path), Path(path))
    for name, value in model.state_dict().items():
        if isinstance(value, Tensor) and value.is_meta:
            raise WeightsError(f"{name!r} of the network is on the meta device: materialise it first")
    model.load_state_dict(found, strict=False)  # copies into the parameters, so their dtypes and devices stay


def matched(model: nn.Module, found: Mapping[str, Tensor], file: Path) -> dict[str, Tensor]:
    """The weights of a file by the names of the network: every tensor that the network has, and no other.

    Names in the file may carry the prefix of DataParallel ("module."), torch.compile or Lightning. What the network
    names in `ignored_keys`, prefixes of names, is left out: published files may hold layers that only training uses.

    Raises:
        WeightsError: naming the first key that does not fit, in the network's order: one that is missing, one of
            another shape (both shapes are given), one that is unexpected; and the network whose weights these are.
    """
    wanted = {name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)}
    found = without_prefix(found, wanted)
    ignored = tuple(getattr(model, "ignored_keys", ()))
    found = {name: value for name, value in found.items() if name in wanted or not name.startswith(ignored)}
    reason = _misfit(wanted, found)
    if reason is not None:
        from zfcuda.models.fit import whose  # which knows every network, and builds on this module

        raise WeightsError(f"{file}: weights of another network: {reason}{whose(found)}")
    return found


def _misfit(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str | None:
    """The first thing that does not fit, in words."""
    for name, value in wanted.items():
        if name not in found:
            if name.endswith("num_batches_tracked"):  # absent from older files; only training reads it
                continue
            other = next((key for key in found if key not in wanted), None)
            hint = "" if other is None else f" (it has {other!r} {_shape(found[other])} instead)"
            return f"{name!r} {_shape(value)} is missing from the file{hint}"
        if found[name].shape != value.shape:
            return f"{name!r} is {_shape(found[name])} in the file and {_shape(value)} in the network"
    for name in found:
        if name not in wanted:
            return f"{name!r} {_shape(found[name])} does not exist in the network"
    return None


def read_weights(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The tensors in a file by name, on the CPU, in the dtypes of the file.

    A safetensors file; one written by ``torch.save`` (with a dictionary of tensors, or one around it under
    "state_dict"); or a caffemodel. Nothing in the file is ever executed: pickled code is refused.

    Raises:
        WeightsError: for a file that is missing, empty, truncated, not a file of weights, or with code in it.
    """
    file = Path(path)
    if file.is_dir():
        raise WeightsError(f"{file}: a folder, not a file of weights")
    try:
        with file.open("rb") as stream:
            start = stream.read(9)
    except FileNotFoundError:
        raise WeightsError(f"{file}: no such file") from None
    except (OSError, ValueError) as error:
        raise WeightsError(f"{file}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if not start:
        raise WeightsError(f"{file}: an empty file")
    if file.suffix == ".caffemodel":
        from zfcuda.models.caffe import layer_weights  # needs protobuf, which the rest does not

        return layer_weights(file)
    if start[8:9] == b"{" or file.suffix == ".safetensors":
        return _read_safetensors(file)
    if not start.startswith((b"PK", b"\x80")):  # torch.save writes a zip file, formerly a pickle of protocol 2
        raise WeightsError(f"{file}: not a file of weights (expected safetensors, or what torch.save writes)")
    return _tensors(file, _read_pickle(file))


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """What a safetensors file says about itself; empty for other files, and where it says nothing or is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError):
        return {}


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
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
    found = {name: value for name, value in content.items() if not str(name).endswith("_extra_state")}
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise WeightsError(f"{file}: {name!r} is a {type(value).__name__}, not a tensor")
        if value.layout != torch.strided or value.is_quantized:
            raise WeightsError(f"{file}: {name!r} is not a plain dense tensor")
    if not found:
        raise WeightsError(f"{file}: holds no tensors")
    return found


def without_prefix(found: Mapping[str, Tensor], wanted: Container[str]) -> dict[str, Tensor]:
    """Weights without what wrappers put before every name; a prefix that leads to no name of the network stays."""
    names = list(found)
    while names and not any(name in wanted for name in names):
        prefix = next((p for p in _PREFIXES if all(name.startswith(p) for name in names)), None)
        if prefix is None:
            break
        names = [name.removeprefix(prefix) for name in names]
    else:
        return dict(zip(names, found.values(), strict=True))
    return dict(found)


def _shape(value: Tensor) -> str:
    return str(list(value.shape))
