"""The walk from an activation back to the pixels: a rule per kind of layer, and the methods that are settings of it."""

from zfcuda.backward.walk import UnprojectableError

__all__ = ["UnprojectableError"]
