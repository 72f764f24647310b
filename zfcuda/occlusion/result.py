"""OcclusionMap, what an occlusion experiment gives: its attributes, and what can be done with it."""

from __future__ import annotations

import os
from typing import Any

from PIL import Image

from zfcuda.occlusion.map_data import MapData
from zfcuda.occlusion.map_file import read, write
from zfcuda.occlusion.map_pictures import draw, plot
from zfcuda.occlusion.map_text import facts, lines, named
from zfcuda.shown import Display, View
from zfcuda.shown.page import page


class OcclusionMap(MapData):
    """The network's outputs for one image with an occluder at each place of a grid (Zeiler & Fergus, 4.2, Fig. 7).

    Tensors are on the image's device. In a prompt a map prints what there is to know at a glance, in a notebook with a
    picture. Two maps are equal where all their numbers are.

    Attributes:
        logits: float32 [rows,cols,classes], the network's output at each position of the occluder.
        score: float32 [rows,cols], the target's output.
        probability: float32 [rows,cols], of the target (Fig. 7d); of the most probable class of the whole image
            where the target is a callable.
        log_odds: float32 [rows,cols], log(p / (1 - p)) of the class that `probability` is of, from the logits, so that
            no digits are lost where p is near 0 or 1. Where the network's outputs are themselves probabilities, those
            of 0 and 1 give -87.3 and 16.6, as the smallest normal float32 does and the largest below 1.
        label: int64 [rows,cols], the most probable class (Fig. 7e); for a network of one output, whether it is more
            probable than not.
        activity: float32 [rows,cols], total activation of the layer's unit (Fig. 7b); None without layer.
        unit: the unit that activity is of; None without layer.
        target: a class index, or the callable that was given; None for a callable in a map that was loaded.
        target_class: the class that `probability` and `log_odds` are of.
        base_logits: float32 [classes], of the whole image. base_score, base_probability, base_log_odds: float32 without
            dimensions, the target's there.
        normalization: how outputs become probabilities: "softmax", "sigmoid" or "none".
        origins: int64 [rows,cols,2], (y, x) of each window's first pixel.
        window, stride: (rows, columns) in pixels. size: (H, W) of the image.
        worst: (row, column) of the position where the target is least probable.
        classes: the names of the classes, where the model's `.classes` is a list or tuple of as many; else None.
        pixels: uint8 [3,H,W], the image as a person sees it, of which a map keeps a copy: through the settings of
            the model's own preprocess, where they are known; else values between 0 and 1 are taken as they are, and
            others from their smallest to their largest. None in a map that was loaded without.
        method: "batched" or "incremental". reason: why that one, in a sentence.
        fill: what covered the image: "mean", "blur" or "noise" as in occlusion_map; a number, or one per channel;
            "tensor" for one that differs from place to place. None in a map that was loaded without.
    """

    def image(self, kind: str | None = None, *, of: str | None = None) -> Image.Image:
        """A picture of the map, RGB, as large as the image.

        Args:
            kind: "overlay": the drop over the picture in grey, red where covering costs the target, blue where it helps
                it; "heatmap": the same colours alone; "picture": the image. The others show the value for the window
                whose centre is nearest to each pixel: "score", "log_odds" and "probability" dark where low, "activity"
                black where low, "label" in one colour per class, the target's first. None: "overlay".
            of: what "overlay" and "heatmap" show the drop of: "log_odds" (None), "score" or "probability".

        Raises:
            ValueError: another kind or quantity; a kind that the map has no numbers for.
        """
        return draw(self, kind, of)

    def plot(self, ax: Any = None, *, of: str = "log_odds") -> Any:
        """Draws the map over its picture with matplotlib.

        Args:
            ax: matplotlib's Axes; None: those of a new figure.
            of: what is shown the drop of where a pixel is covered: "log_odds", "score" or "probability".

        Returns:
            The Axes. Pixel (y, x) of the image is at (x, y), as imshow has it.

        Raises:
            ImportError: matplotlib is not installed.
            ValueError: another quantity.
        """
        return plot(self, ax, of)

    def save(self, path: str | os.PathLike[str], *, kind: str | None = None, of: str | None = None) -> None:
        """Writes the map into a file, whole or not at all.

        Args:
            path: ends in .npz: everything but a callable target, for :meth:`load` and numpy.load; in .png, .jpg, .jpeg,
                .webp, .gif, .bmp, .tif, .tiff: a picture.
            kind, of: which picture, as :meth:`image` takes them.

        Raises:
            ValueError: another ending; as :meth:`image`.
            OSError: the disk refuses.
        """
        write(self, path, kind, of)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> OcclusionMap:
        """The map that :meth:`save` wrote into a .npz file, on the CPU. Nothing in the file is executed.

        Raises:
            ValueError: naming the file, where there is none, or it is damaged, or holds something else.
        """
        return cls(**read(path))

    def display(self) -> Display:
        """The picture of the map, and what there is to know at a glance."""
        title = f"Occlusion map of {named(self, self.target_label)}"
        said = "red where covering costs the target, blue where it helps it"
        return Display(title, facts(self), [View(draw(self), said)], 1)

    def __repr__(self) -> str:
        return lines(self)

    def _repr_html_(self) -> str:
        return page(self, self.display)
