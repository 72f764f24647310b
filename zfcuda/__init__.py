"""zfcuda shows what a convolutional network looks at (Zeiler & Fergus, arXiv 1311.2901)."""

from zfcuda import data, models, ops
from zfcuda._backend import backend
from zfcuda.deconv import project
from zfcuda.occlusion import Occlusion, OcclusionMap, OcclusionMapper, occlusion_map
from zfcuda.projector import Projector

__all__ = [
    "Occlusion",
    "OcclusionMap",
    "OcclusionMapper",
    "Projector",
    "backend",
    "data",
    "models",
    "occlusion_map",
    "ops",
    "project",
]
