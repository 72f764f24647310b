"""Occlusion sensitivity: what the network gives while a window of the image is covered."""

from zfcuda.occlusion.captum_api import Occlusion
from zfcuda.occlusion.experiment import occlusion_map
from zfcuda.occlusion.mapper import OcclusionMapper
from zfcuda.occlusion.occluder import Occluder
from zfcuda.occlusion.output import areas, foreground
from zfcuda.occlusion.result import OcclusionMap

__all__ = ["Occluder", "Occlusion", "OcclusionMap", "OcclusionMapper", "areas", "foreground", "occlusion_map"]
