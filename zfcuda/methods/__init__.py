"""The methods that say what matters, side by side: one map for each pixel of an image, whatever the method.

A module for each; to add a method is to add its file.
"""

from zfcuda.methods.method import Compute, Method
from zfcuda.methods.table import METHODS, method

__all__ = ["METHODS", "Compute", "Method", "method"]
