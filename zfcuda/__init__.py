"""zfcuda shows what a convolutional network looks at (Zeiler & Fergus, arXiv 1311.2901)."""

from zfcuda import models, ops

__all__ = ["models", "ops"]
