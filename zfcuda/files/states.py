"""Nested dicts and lists with tensors in them, in one safetensors file: nothing pickled, all of it bitwise."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

_MARK = "zfcuda.state"
# What every version of safetensors knows; a tensor of another dtype is written as its bytes.
_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def write_state(path: Path, state: Any) -> str:
    """Writes a state into a new file, one tensor after another, so that there is never a second copy of all of it.

    Args:
        state: dicts, lists and tuples of tensors (any dtype, strides and device; they may share memory, and are then
            written several times), numbers, strings, bools, None and bytes, as deep as they go. Keys of dicts:
            strings, numbers, bools or None.

    Returns:
        the SHA-256 of the file, in hexadecimal digits.

    Raises:
        TypeError: something else is in it. OSError: the disk refuses.
    """
    tensors: dict[str, Tensor] = {}
    structure = _described(state, "state", tensors)
    header: dict[str, Any] = {"__metadata__": {"is": _MARK, "structure": json.dumps(structure)}}
    end = 0
    for name, value in tensors.items():
        begin, end = end, end + value.numel() * value.element_size()
        known = _NAMES.get(value.dtype)
        shape = list(value.shape) if known else [end - begin]
        header[name] = {"dtype": known or "U8", "shape": shape, "data_offsets": [begin, end]}
    written = json.dumps(header, separators=(",", ":")).encode()
    written += b" " * (-len(written) % 8)  # what follows is aligned
    digest = hashlib.sha256()
    with path.open("xb") as stream:
        for part in (len(written).to_bytes(8, "little"), written):
            stream.write(part)
            digest.update(part)
        for value in tensors.values():
            if value.numel():
                plain = value.detach().resolve_conj().resolve_neg().cpu().contiguous()
                data = plain.as_strided((plain.numel(),), (1,)).view(torch.uint8).numpy().data
                stream.write(data)
                digest.update(data)
    return digest.hexdigest()


def read_state(path: Path) -> Any:
    """Reads what `write_state` wrote: tensors on the CPU, with memory of their own, in the strides that they had.

    Tensors that had gaps between their elements or shared them come back contiguous.

    Raises:
        ValueError: another file. OSError, SafetensorError: not a safetensors file, or it cannot be read.
    """
    with safe_open(path, framework="pt") as file:
        known = file.metadata() or {}
        if known.get("is") != _MARK:
            raise ValueError(f"{path}: a safetensors file, but none of a state")
        return _restored(json.loads(known["structure"]), file)


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _described(value: Any, at: str, tensors: dict[str, Tensor]) -> Any:
    """What JSON can say of a value; the tensors in it are collected by name."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor):
        if value.layout != torch.strided or value.is_meta or value.is_quantized:
            raise TypeError(f"{at}: expected a dense tensor with values, got one of {value.layout} on {value.device}")
        name = f"{len(tensors)}:{at}"
        tensors[name] = value
        dense = torch.empty_like(value, device="meta").stride() == value.stride()
        strides = list(value.stride() if dense else torch.empty(value.shape, device="meta").stride())
        return {"tensor": name, "dtype": str(value.dtype), "shape": list(value.shape), "strides": strides}
    if isinstance(value, Mapping):
        for key in value:
            if key is not None and not isinstance(key, bool | int | float | str):
                raise TypeError(f"{at}: expected strings or numbers as keys, got {type(key).__name__}")
        return {"dict": [[key, _described(each, f"{at}.{key}", tensors)] for key, each in value.items()]}
    if isinstance(value, list | tuple):
        items = [_described(each, f"{at}.{index}", tensors) for index, each in enumerate(value)]
        return {"tuple": items} if isinstance(value, tuple) else items
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    raise TypeError(
        f"{at}: expected a tensor, a number, a string, None, bytes, a dict or a list, got {type(value).__name__}"
    )


def _restored(node: Any, file: Any) -> Any:
    if isinstance(node, list):
        return [_restored(each, file) for each in node]
    if not isinstance(node, dict):
        return node
    if "dict" in node:
        return {key: _restored(each, file) for key, each in node["dict"]}
    if "tuple" in node:
        return tuple(_restored(each, file) for each in node["tuple"])
    if "bytes" in node:
        return base64.b64decode(node["bytes"])
    dtype = getattr(torch, node["dtype"].removeprefix("torch."))
    value = file.get_tensor(node["tensor"])
    if value.dtype != dtype:
        value = value.clone().view(dtype).reshape(node["shape"])  # the clone is aligned, as a view asks for
    return torch.empty_strided(node["shape"], node["strides"], dtype=dtype).copy_(value)
