"""zfcuda shows what a convolutional network looks at (Zeiler & Fergus, arXiv 1311.2901)."""

# ruff: noqa: E402

from zfcuda import _startup

_startup.end_quietly()  # before torch is imported

from zfcuda import data, models, ops
from zfcuda._extension import backend
from zfcuda.backward.deconvnet import project
from zfcuda.backward.projector import Projector
from zfcuda.data.preprocess import Preprocess
from zfcuda.occlusion import Occlusion, OcclusionMap, OcclusionMapper, occlusion_map

__all__ = [
    "Occlusion",
    "OcclusionMap",
    "OcclusionMapper",
    "Preprocess",
    "Projector",
    "backend",
    "data",
    "models",
    "occlusion_map",
    "ops",
    "project",
]
