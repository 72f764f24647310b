"""Whether a model computes the images of a batch independently, each as if it were alone.

Two images that happen to come out right side by side prove nothing: `x / x.amax()` is right for all images but the
brightest. So every operator that a forward calls is looked at (operators.py says which image each element of a value
belongs to), and what no rule knows counts as coupled.
"""

from zfcuda.independence.proof import coupling

__all__ = ["coupling"]
