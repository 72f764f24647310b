"""Two questions in the paper's own words: what its occluder finds, and what its deconvnet draws."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from zfcuda.backward.deconvnet import project
from zfcuda.data import PartsPicture
from zfcuda.occlusion import occlusion_map

WINDOW, STRIDE, LAYER, CONTRAST = 32, 8, "conv5", 3.0


def paper_questions(model: nn.Module, image: Tensor, picture: PartsPicture) -> dict[str, float]:
    """What is asked of a drawn picture's image [1,3,H,W].

    Returns:
        occluder: 1 where the occluder under which the true class is least probable overlaps the defining part, else 0.
        occluder_at_random: how many of all its positions do, 0 ... 1.
        projection: the energy per pixel of the strongest conv5 unit's projection on the object over that off it.
        projection_evenly: the same of a projection spread evenly over all pixels that it reaches.
    """
    found = occlusion_map(model, image, window=WINDOW, stride=STRIDE, target=picture.label)
    hits = overlaps(picture.part_mask, found.origins.cpu().numpy(), WINDOW)
    energy = project(model, image, LAYER)[0].double().square().sum(0).cpu().numpy()
    return {
        "occluder": float(hits.ravel()[int(found.probability.flatten().argmin())]),
        "occluder_at_random": float(hits.mean()),
        "projection": contrast(energy, picture.object_mask),
        "projection_evenly": contrast((energy > 0).astype(np.float64), picture.object_mask),
    }


def sums_under(values: np.ndarray, origins: np.ndarray, window: int) -> np.ndarray:
    """[rows, cols]: the sum of ``values`` [H, W] under each occluder (``origins`` int [rows, cols, 2], y and x)."""
    total = np.pad(values.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    top, left = origins[..., 0], origins[..., 1]
    bottom, right = np.minimum(top + window, values.shape[0]), np.minimum(left + window, values.shape[1])
    sums: np.ndarray = total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left]
    return sums


def overlaps(part: np.ndarray, origins: np.ndarray, window: int) -> np.ndarray:
    """bool [rows, cols]: which occluders (``origins`` int [rows, cols, 2], y and x) cover a pixel of the part."""
    covered: np.ndarray = sums_under(part.astype(np.int64), origins, window) > 0
    return covered


def contrast(energy: np.ndarray, mask: np.ndarray) -> float:
    """Mean of ``energy`` [H, W] on the mask over its mean off it; infinite where there is none off it."""
    off = float(energy[~mask].mean())
    return float(energy[mask].mean()) / off if off > 0 else float("inf")
