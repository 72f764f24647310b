"""Parts for a torch DataLoader."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from zfcuda.data.parts import Parts
from zfcuda.data.preprocess import Preprocess


class PartsDataset(Dataset[tuple[Tensor, int]]):
    """The first ``count`` pictures of a seed of :class:`Parts`, as pairs of an image and a label.

    Args:
        count: how many.
        seed, size: as of :class:`Parts`.
        transform: PIL picture -> float32 [1, 3, H, W]; by default the demo network's :class:`Preprocess`.

    Raises:
        ValueError: ``count`` is negative, or ``seed`` or ``size`` out of range.
    """

    def __init__(
        self, count: int, seed: int = 0, size: int = 224, transform: Callable[[Image.Image], Tensor] | None = None
    ) -> None:
        if count < 0:
            raise ValueError(f"count: expected at least 0, got {count}")
        self.parts = Parts(seed, size)
        self.count = count
        self.transform = transform or Preprocess.parts(size)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """float32 [3, H, W] and the label of picture ``index``."""
        if not -self.count <= index < self.count:
            raise IndexError(f"index: expected below {self.count}, got {index}")
        picture = self.parts[index % self.count]
        return self.transform(picture.image)[0], picture.label
