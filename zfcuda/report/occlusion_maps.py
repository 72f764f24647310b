"""The occlusion maps of many pictures, of which those of one kind share what does not depend on the picture."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.complaint import out_of_memory
from zfcuda.network.graph import unwrap
from zfcuda.occlusion import OcclusionMap, OcclusionMapper, occlusion_map
from zfcuda.occlusion.output import Output

_HELD = 2  # mappers: each may hold all filters of a network anew, and pictures lie or stand


class OcclusionMaps:
    """Maps pictures that come one after another; each map is what :func:`zfcuda.occlusion_map` gives of its picture.

    Images of one size before one network, with the same windows, layer, cover and output, share a
    :class:`zfcuda.OcclusionMapper`; target and unit are each image's own. The mappers of the last kinds are held, a
    few, so that the memory does not grow with the pictures.
    """

    def __init__(self) -> None:
        self._mappers: dict[Hashable, OcclusionMapper] = {}  # the one used last is the last

    def __call__(
        self,
        model: nn.Module,
        image: Tensor,
        *,
        target: int | None = None,
        unit: int | None = None,
        fill: Any = 0.0,
        output: Output | None = None,
        **windows: Any,
    ) -> OcclusionMap:
        """The map of one image. Arguments and errors as in :func:`zfcuda.occlusion_map`; windows: all others."""
        how = {"fill": fill, "output": output, **windows}
        # By identity: the mapper holds the model and the function, so that no other has their place.
        of = output if isinstance(output, str | int) else id(output)
        kind = (tuple(image.shape), image.stride(), image.dtype, image.device)
        key = (id(unwrap(model)), of, kind, _known(fill), tuple(sorted(windows.items())))
        mapper = self._mappers.pop(key, None)  # one whose map fails is not put back
        try:
            if mapper is not None:
                found = mapper(image, target=target, unit=unit)
            else:
                while len(self._mappers) >= _HELD:
                    del self._mappers[next(iter(self._mappers))]
                mapper = OcclusionMapper(model, image, target=target, unit=unit, **how)
                found = mapper.first
        except Exception as error:
            if not out_of_memory(error) or not self._mappers:
                raise
            self._mappers.clear()
            mapper = None
        if mapper is None:  # once more, with the memory that the others held
            return occlusion_map(model, image, target=target, unit=unit, **how)
        if found.method == "incremental":  # brute force shares nothing, and may be due to this image alone
            self._mappers[key] = mapper
        return found


def _known(fill: Any) -> Hashable:
    """Tells one cover from another. What is recorded for a GPU holds the one that it was recorded with."""
    if isinstance(fill, Tensor):
        return fill.dtype, tuple(fill.shape), fill.detach().cpu().flatten().view(torch.uint8).numpy().tobytes()
    return tuple(fill) if isinstance(fill, list) else fill
