"""The numbers in codes, whether they come as codes or as a bare tensor."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from zfcuda.inputs import check_plain

_SHOWN = 5  # rows that an error names


def values_of(codes: Any, name: str = "codes") -> Tensor:
    """The values [N,D] of codes, without their history.

    Args:
        codes: what has them as ``.values``, as :func:`zfcuda.codes` returns it, or a Tensor [N,D] of a floating dtype.
        name: what errors call it.

    Raises:
        TypeError: it is neither, or not of a floating dtype.
        ValueError: it is not [N,D] with at least one row and column, or not finite; the rows that are not are named.
    """
    values = codes if isinstance(codes, Tensor) else getattr(codes, "values", None)
    if not isinstance(values, Tensor):
        raise TypeError(f"{name}: expected codes, as zfcuda.codes gives them, or a Tensor [N,D], got {_kind(codes)}")
    check_plain(name, values)
    if not values.is_floating_point():
        raise TypeError(f"{name}: expected a floating dtype, got {values.dtype}")
    if values.dim() != 2:
        hint = "; codes.flatten(1) makes rows of it" if values.dim() > 2 else ""
        raise ValueError(f"{name}: expected [N,D], one row for each picture, got shape {list(values.shape)}{hint}")
    if values.numel() == 0:
        raise ValueError(f"{name}: expected at least one row and one column, got shape {list(values.shape)}")
    bad = (~values.isfinite().all(1)).nonzero().flatten().tolist()
    if bad:
        rows = ", ".join(map(str, bad[:_SHOWN])) + (f" and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else "")
        raise ValueError(f"{name}: expected finite values, got NaN or infinity in row{'s'[: len(bad) > 1]} {rows}")
    return values.detach()


def _kind(value: Any) -> str:
    return (
        f"an array {list(value.shape)}; torch.from_numpy makes a Tensor of it"
        if hasattr(value, "shape")
        else repr(type(value).__name__)
    )
