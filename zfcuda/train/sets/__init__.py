"""Where the pictures of a run come from: folders, Parts, data sets of torch's."""

from zfcuda.train.sets.read import is_parts, read_sets
from zfcuda.train.sets.sets import Labelled, Sets

__all__ = ["Labelled", "Sets", "is_parts", "read_sets"]
