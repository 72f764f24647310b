"""Pictures: drawn ones whose truth is known, and those in files."""

from zfcuda.data.dataset import PartsDataset
from zfcuda.data.parts import HELD_OUT_SEED, Parts, PartsPicture
from zfcuda.data.preprocess import DigitPreprocess, Preprocess

__all__ = ["HELD_OUT_SEED", "DigitPreprocess", "Parts", "PartsDataset", "PartsPicture", "Preprocess"]
