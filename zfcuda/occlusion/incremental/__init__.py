"""The incremental engine: exact occlusion maps that compute again only what each window changes."""

from zfcuda.occlusion.incremental.cost import costs
from zfcuda.occlusion.incremental.engine import Plan, Result

__all__ = ["Plan", "Result", "costs"]
