"""Occlusion maps as files: all numbers in a NumPy .npz, or a picture."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zfcuda.complaint import one_line
from zfcuda.files.drafts import whole
from zfcuda.files.regular import refusal
from zfcuda.inputs import PROBABILITIES, probabilities
from zfcuda.occlusion.map_data import MapData
from zfcuda.occlusion.map_pictures import draw
from zfcuda.occlusion.windows import grid, positions
from zfcuda.shown.pixels import Shown

_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
_TENSORS = {
    "logits": torch.float32,
    "score": torch.float32,
    "probability": torch.float32,
    "label": torch.int64,
    "base_logits": torch.float32,
    "base_score": torch.float32,
    "origins": torch.int64,
}
_PAIRS = ("window", "stride", "size")


def write(m: MapData, path: str | os.PathLike[str], kind: str | None, of: str | None) -> None:
    """Writes a map, as OcclusionMap.save says."""
    path = Path(path)
    ending = path.suffix.lower()
    endings = (".npz", *_picture_endings())
    if ending not in endings:
        raise ValueError(f"path: expected a name that ends in one of {', '.join(endings)}, got {one_line(path.name)!r}")
    if ending == ".npz":
        if kind is not None or of is not None:
            raise ValueError("kind, of: a .npz file holds all numbers; a kind is of a picture")
        arrays = _arrays(m)
        with whole(path) as [draft], draft.open("wb") as file:
            np.savez_compressed(file, **arrays)
        return
    picture = draw(m, kind, of)
    with whole(path) as [draft]:
        picture.save(draft, quality=95)  # of formats that lose something; the others take no notice


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The fields of the map in a .npz file, as OcclusionMap.load says."""
    reason = refusal(path)
    if reason is None:
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            return _fields(arrays)
        except KeyError as error:
            reason = f"not a map that zfcuda saved: it holds no {error.args[0]!r}"
        except _ForeignError as error:
            reason = f"not a map that zfcuda saved: {error}"
        except Exception as error:  # a damaged file can raise nearly anything: BadZipFile, zlib.error, ValueError, ...
            reason = f"no .npz file, or a damaged one ({one_line(str(error)) or type(error).__name__})"
    raise ValueError(f"{one_line(os.fspath(path))}: {reason}")


class _ForeignError(Exception):
    """Numbers that are not those of a map."""


def _picture_endings() -> list[str]:
    """Those that this Pillow writes."""
    formats = Image.registered_extensions()
    return [ending for ending in _PICTURES if formats.get(ending) in Image.SAVE]


def _arrays(m: MapData) -> dict[str, Any]:
    names = [*_TENSORS, "log_odds", "base_log_odds", "base_probability"]
    arrays: dict[str, Any] = {name: getattr(m, name).cpu().numpy() for name in names}
    arrays |= {name: np.array(getattr(m, name)) for name in (*_PAIRS, "method", "reason", "normalization")}
    if m.activity is not None:
        arrays["activity"] = m.activity.cpu().numpy()
        arrays["unit"] = np.array(m.unit)
    if isinstance(m.target, int):
        arrays["target"] = np.array(m.target)
    if m.fill is not None:
        arrays["fill"] = np.array(m.fill)
    if m.classes is not None:
        arrays["classes"] = np.array(m.classes)
    if m.pixels is not None:
        arrays["pixels"] = m.pixels.cpu().numpy()
    return arrays


def _fields(arrays: dict[str, Any]) -> dict[str, Any]:
    """Checks arrays, and makes fields of a map of them."""
    fields: dict[str, Any] = {name: _pair(arrays[name], name) for name in _PAIRS}
    sides = zip(*(fields[name] for name in ("size", "window", "stride")), strict=True)
    rows, columns = (positions(*side) for side in sides)
    if arrays["score"].shape != (rows, columns):  # before a grid is made, which may not fit into the memory
        raise _ForeignError("its positions are not those of its window and stride")
    origins = grid(fields["size"], fields["window"], fields["stride"])
    count = arrays["base_logits"].size
    shapes: dict[str, tuple[int, ...]] = {
        "logits": (rows, columns, count),
        "base_logits": (count,),
        "base_score": (),
        "origins": (rows, columns, 2),
    }
    for name, dtype in _TENSORS.items():
        fields[name] = _tensor(arrays[name], name, dtype, shapes.get(name, (rows, columns)))
    if count < 1 or not torch.equal(fields["origins"], origins):
        raise _ForeignError("its positions are not those of its window and stride")
    fields |= {"activity": None, "unit": None, "target": None}
    if "activity" in arrays:
        fields["activity"] = _tensor(arrays["activity"], "activity", torch.float32, (rows, columns))
        fields["unit"] = _integer(arrays["unit"], "unit")
    if "target" in arrays:
        fields["target"] = _integer(arrays["target"], "target", count)
    fields |= {name: _text(arrays[name], name) for name in ("method", "reason")}
    if "classes" in arrays:
        classes = arrays["classes"]
        if classes.dtype.kind != "U" or classes.shape != (count,):
            raise _ForeignError(f"classes: expected {count} names")
        fields["classes"] = tuple(classes.tolist())
    if "pixels" in arrays:
        fields["shown"] = Shown.of_pixels(_tensor(arrays["pixels"], "pixels", torch.uint8, (3, *fields["size"])))
    fields["fill"] = _fill(arrays["fill"]) if "fill" in arrays else None
    fields["normalization"] = _text(arrays["normalization"], "normalization") if "normalization" in arrays else None
    fields["normalization"] = _normalization(fields)
    return fields


def _normalization(fields: dict[str, Any]) -> str:
    """How outputs became probabilities; of files from before that was written, the way that gives theirs."""
    known = PROBABILITIES[1:]
    how: str | None = fields["normalization"]
    if how is None:
        best = int(fields["base_logits"].argmax()) if fields["target"] is None else fields["target"]
        logits = fields["logits"].flatten(0, 1)
        given = fields["probability"].flatten()
        close = [h for h in known if torch.allclose(probabilities(logits, h)[:, best], given, 1e-4, 1e-6, True)]
        how = close[0] if close else None
    if how not in known:
        raise _ForeignError(f"normalization: expected one of {known}")
    return how


def _tensor(array: Any, name: str, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    if array.dtype.kind not in "fiu" or array.shape != shape:
        raise _ForeignError(f"{name}: expected {dtype} {list(shape)}, got {array.dtype} {list(array.shape)}")
    tensor = torch.from_numpy(array)
    if tensor.dtype != dtype:
        raise _ForeignError(f"{name}: expected {dtype} {list(shape)}, got {array.dtype} {list(array.shape)}")
    return tensor


def _integer(array: Any, name: str, below: int | None = None) -> int:
    if array.shape != () or array.dtype.kind not in "iu" or array < 0 or (below is not None and array >= below):
        raise _ForeignError(f"{name}: expected an index, got {array.dtype} {list(array.shape)}")
    return int(array)


def _pair(array: Any, name: str) -> tuple[int, int]:
    if array.shape != (2,) or array.dtype.kind not in "iu" or (array < 1).any():
        raise _ForeignError(f"{name}: expected two positive integers")
    return int(array[0]), int(array[1])


def _fill(array: Any) -> str | float | tuple[float, ...]:
    if array.dtype.kind == "U" and array.shape == ():
        return str(array)
    if array.dtype.kind not in "fiu" or array.ndim > 1:
        raise _ForeignError("fill: expected a word, a number, or one per channel")
    return tuple(array.astype(float).tolist()) if array.ndim else float(array)


def _text(array: Any, name: str) -> str:
    if array.shape != () or array.dtype.kind != "U":
        raise _ForeignError(f"{name}: expected a text")
    return str(array)
