"""Networks, their weights, and the table of their shapes."""

from zfcuda.models.zfnet import ZFNet, zfnet

__all__ = ["ZFNet", "zfnet"]
