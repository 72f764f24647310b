"""What whoever trains a network sees of it meanwhile: a bar, warnings with figures, TensorBoard's files."""

from zfcuda.train.watching.watch import Watch

__all__ = ["Watch"]
