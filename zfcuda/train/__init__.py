"""Training a ZFNet on drawn pictures: ``python -m zfcuda.train``."""

from zfcuda.train.config import Config
from zfcuda.train.loop import Report, train

__all__ = ["Config", "Report", "train"]
