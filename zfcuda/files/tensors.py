"""Tensors in a safetensors file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor


def save_tensors(tensors: Mapping[str, Tensor], draft: Path, metadata: Mapping[str, str]) -> None:
    """Writes contiguous tensors that share no memory into a new file, which others may read as any new file here.

    Raises:
        OSError, SafetensorError: the disk refuses.
    """
    draft.touch()
    mode = draft.stat().st_mode  # safetensors would let nobody else read it
    save_file(dict(tensors), draft, dict(metadata))
    draft.chmod(mode)
