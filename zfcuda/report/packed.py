"""Arrays and pictures as a page carries them: as few letters as the digits that it shows allow."""

from __future__ import annotations

import base64
import io
from typing import Any

from PIL import Image
from torch import Tensor

from zfcuda import render
from zfcuda.report.pieces import png

_QUALITY = 90  # of JPEG


def exact(values: Tensor) -> dict[str, Any]:
    """Numbers as float32: what they are."""
    return {"kind": "float32", "data": _base64(values.detach().cpu().float())}


def compact(values: Tensor) -> dict[str, Any]:
    """Numbers as float16 of their largest magnitude: to three digits, for all that is not below a 16,000th of it."""
    low, high = render.value_range(values)
    unit = max(abs(low), abs(high)) or 1.0
    return {"kind": "float16", "unit": unit, "data": _base64((values.detach().cpu().double() / unit).half())}


def address(picture: Image.Image, *, exactly: bool = False) -> str:
    """A picture as an address that carries its data: as PNG or, where that is smaller, as a good JPEG."""
    data, kind = png(picture), "png"
    if not exactly:
        buffer = io.BytesIO()
        picture.convert("RGB").save(buffer, "JPEG", quality=_QUALITY, subsampling=0)
        if buffer.tell() < len(data):
            data, kind = buffer.getvalue(), "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _base64(values: Tensor) -> str:
    return base64.b64encode(values.numpy().tobytes()).decode("ascii")
