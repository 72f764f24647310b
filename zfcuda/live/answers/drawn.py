"""Pictures as addresses that carry their data, encoded quickly."""

from __future__ import annotations

import base64
import io

from PIL import Image


def src_of(picture: Image.Image) -> str:
    """What to put into the src of an image."""
    stream = io.BytesIO()
    picture.save(stream, "PNG", compress_level=2)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
