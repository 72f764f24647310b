"""One picture under an occluder: probabilities, classes, the activity of a map, and where its projection lies."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from zfcuda.data.transforms import image_of
from zfcuda.faithfulness.truth.paper import sums_under
from zfcuda.occlusion import OcclusionMap, occlusion_map
from zfcuda.paper.cache import Cache
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.occluder.cases import Case
from zfcuda.paper.occluder.watched import Watched, projected, watched

#: Of a picture whose shorter side is 224 pixels; of a smaller one in proportion.
_WINDOW, _OF_SIDE, _STEPS = 32, 7, 4
_GREY = (128, 128, 128)


@dataclass(frozen=True)
class Occluder:
    """A grey square that moves over pictures, and the convolution that is followed meanwhile.

    Attributes:
        window, stride: pixels. None: a seventh of the shorter side of the image, and a quarter of the window.
        layer: the dotted name of a convolution; None: the last one.
    """

    window: int | None = None
    stride: int | None = None
    layer: str | None = None

    def sizes(self, image: Tensor) -> tuple[int, int]:
        """Window and stride on an image [1,C,H,W]."""
        window = self.window or max(1, min(image.shape[2:]) // _OF_SIDE)
        return window, self.stride or max(1, window // _STEPS)


def grey(gallery: Gallery, image: Tensor) -> Tensor | float:
    """Middle grey in the network's units, [C,H,W] on the image's device; 0 where no preprocess is known."""
    preprocess = gallery.pictures.preprocess
    if preprocess is None:
        return 0.0
    found = image_of(preprocess, Image.new("RGB", (image.shape[3], image.shape[2]), _GREY), "preprocess")[0].to(image)
    return found if found.shape == image.shape[1:] else 0.0


def occluded(case: Case, occluder: Occluder, image: Tensor, found: Watched, *, progress: bool = False) -> OcclusionMap:
    """The network's answers with the occluder at every place of an image [1,C,H,W]."""
    window, stride = occluder.sizes(image)
    return occlusion_map(
        case.gallery.model,
        image,
        window=window,
        stride=stride,
        fill=grey(case.gallery, image),
        target=case.target,
        layer=found.layer,
        unit=found.unit,
        progress=progress,
    )


def measured(case: Case, occluder: Occluder, cache: Cache) -> dict[str, Tensor]:
    """What many pictures are asked about, computed once.

    Returns:
        probability, activity float32 and label int64 [rows,cols], as :class:`zfcuda.OcclusionMap` has them; origins
        int64 [rows,cols,2]; window and target int64, the latter as an entry of label; base float32, the probability of
        the whole picture; energy float32 [rows,cols], how much of the energy of the map's projection lies under the
        occluder, 0 ... 1; missing where nothing can be projected.
    """

    def work() -> dict[str, Tensor]:
        image = case.gallery.image(case.index)
        found = watched(case.gallery.model, image, occluder.layer)
        m = occluded(case, occluder, image, found)
        assert m.activity is not None
        out = {name: getattr(m, name) for name in ("probability", "activity", "label", "origins")}
        out |= {"window": torch.tensor(m.window[0]), "target": torch.tensor(m.target_label), "base": m.base_probability}
        projection, _ = projected(case.gallery.model, image, found.source, found.unit, found.place)
        if projection is not None:
            energy = projection.signal.double().square().sum(0)
            under = sums_under(energy.numpy(), m.origins.cpu().numpy(), m.window[0])
            out["energy"] = torch.from_numpy(under / (float(energy.sum()) or 1.0)).float()
        return out

    facts = {"picture": case.index, "target": case.target, **vars(occluder)}
    return cache.tensors(case.gallery, "occluded", facts, work)
