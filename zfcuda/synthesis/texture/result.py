"""What comes of making a texture, whichever way."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image


@dataclass(frozen=True)
class Textured:
    """A texture.

    Attributes:
        picture: in mode "RGB", as large as it was to be.
        stopped: why it ended early, in words; "" where it did not.
        interrupted: the Ctrl-C or signal that ended it, for who has to pass it on.
        loss: of "gram", before each evaluation at the full size, from 1 for an image that no layer answers to down to
            0; empty where it ended before.
    """

    picture: Image.Image
    stopped: str = ""
    interrupted: KeyboardInterrupt | None = None
    loss: tuple[float, ...] = ()
