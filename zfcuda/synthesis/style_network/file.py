"""The file of a network that stylises: its tensors, and as JSON in the metadata what they are of."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zfcuda.complaint import one_line
from zfcuda.files.drafts import whole
from zfcuda.files.regular import refusal
from zfcuda.files.tensors import save_tensors

KEY = "zfcuda.style_network"
_VERSION = 1
_KINDS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}


def write_style(path: Path, tensors: Mapping[str, Tensor], known: Mapping[str, Any]) -> None:
    """Writes tensors and what is known of them, as JSON takes it; whole or not at all.

    Raises:
        TypeError, ValueError: the name ends otherwise than in .safetensors, or JSON does not take what is known.
        OSError: the disk refuses.
    """
    if path.suffix != ".safetensors":
        raise ValueError(f"path: expected a name that ends in .safetensors, got {path}")
    text = json.dumps({"version": _VERSION, **known}, allow_nan=False)
    copies = {name: value.detach().to("cpu", copy=True).contiguous() for name, value in tensors.items()}
    try:
        with whole(path, durable=True) as [draft]:
            save_tensors(copies, draft, {"format": "pt", KEY: text})
    except Exception as error:
        if type(error).__module__.startswith("safetensors"):  # an error of its own, even for a full disk
            raise OSError(f"{path}: cannot be written ({error})") from None
        raise


def read_style(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What :func:`write_style` wrote: what is known, and the tensors.

    Raises:
        ValueError: the file is not there, damaged, of something else, or of a newer version; its weights are not finite
            or not all of one dtype.
    """
    from safetensors import SafetensorError, safe_open

    shown = one_line(os.fspath(path))
    refused = refusal(path)
    if refused is not None:
        raise ValueError(f"{shown}: {refused}")
    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get(KEY)
            if text is None:
                raise ValueError(
                    f"{shown}: weights of something else; expected those of a style network, which zfcuda style train "
                    "writes"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no dictionary
    except (SafetensorError, OSError) as error:
        said = " ".join(str(error).split())
        raise ValueError(f"{shown}: not a safetensors file, or a truncated one ({said})") from None
    try:
        known = json.loads(text)
        version = known["version"]
        if version > _VERSION:
            raise ValueError(
                f"{shown}: written by a newer zfcuda (description {version}, this one reads up to {_VERSION}); "
                "pip install --upgrade zfcuda"
            )
        if not all(isinstance(value, Tensor) and value.dtype.is_floating_point for value in tensors.values()):
            raise TypeError("weights that are no floating numbers")
        kinds = {value.dtype for value in tensors.values()}
        if len(kinds) > 1 or not kinds <= _KINDS:
            raise TypeError(f"weights of {', '.join(sorted(map(str, kinds)))}")
        if not all(value.isfinite().all() for value in tensors.values()):
            raise TypeError("weights with NaN or infinity")
        return {key: known[key] for key in ("styles", "width", "names", "facts")}, tensors
    except (TypeError, KeyError, AttributeError, RecursionError, json.JSONDecodeError) as error:
        said = one_line(f"{type(error).__name__}: {error}"[:200])
        raise ValueError(f"{shown}: what it says about its weights cannot be read ({said})") from None
