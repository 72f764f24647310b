"""Networks, their weights, and the table of their shapes."""

from zfcuda.models.demo import load_demo
from zfcuda.models.summary import Row, Summary, summary
from zfcuda.models.zfnet import ZFNet, zfnet

__all__ = ["Row", "Summary", "ZFNet", "load_demo", "summary", "zfnet"]
