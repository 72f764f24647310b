"""The incremental engine: exact occlusion maps that compute again only what each window changes."""

from zfcuda.occlusion.incremental.cost import predict
from zfcuda.occlusion.incremental.engine import Plan

__all__ = ["Plan", "predict"]
