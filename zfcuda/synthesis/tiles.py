"""An objective of an image of any size, looked at tile by tile, in the memory of one tile."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zfcuda.autograd import derivative, leaf_of, no_gradient
from zfcuda.network.example import image_dtypes
from zfcuda.network.receptive import receptive_field
from zfcuda.synthesis.dice import Dice
from zfcuda.synthesis.objectives import Objective
from zfcuda.synthesis.watched import Seen, Watched


@dataclass(frozen=True)
class Tiling:
    """How an image is cut.

    Attributes:
        side: the longest side of what the model sees at once.
        overlap: how far it sees beyond the part that it is asked about, on each side, in pixels.
        stride: cuts lie at multiples of this.
        exact: whether no unit sees further than the overlap, so that tiles give what the whole image would.
    """

    side: int
    overlap: int = 0
    stride: int = 1
    exact: bool = True

    @staticmethod
    def of(model: nn.Module, objective: Objective, image: Tensor, side: int) -> Tiling:
        """The tiling for an image [1,C,H,W]: the overlap is the receptive field, and an eighth of the side at most.

        Args:
            model: unwrapped.
            objective: its layers are the model's.
            side: of a tile.
        """
        if max(image.shape[2:]) <= side:
            return Tiling(side)
        most = side // 8
        shape = (image.shape[1], *(min(side, length) for length in image.shape[2:]))
        try:
            fields = [receptive_field(model, name, shape) for name in dict.fromkeys(objective.layers)]
        except (ValueError, TypeError, RuntimeError, NotImplementedError):  # a model that cannot be followed
            return Tiling(side, most, exact=False)
        known = [field for field in fields if field is not None]
        if objective.logits or not known or len(known) < len(fields):
            return Tiling(side, most, exact=False)
        sees = max(max(field.size) for field in known)
        stride = max(1, *(int(step) for field in known for step in field.stride))
        exact = sees - 1 <= most
        if stride > most:  # a vector's units see everything
            return Tiling(side, most, exact=False)
        overlap = -(-min(sees - 1, most) // stride) * stride
        return Tiling(side, min(overlap, most // stride * stride), stride, exact and overlap <= most)

    def parts(self, length: int) -> list[tuple[slice, slice]]:
        """Along one side: of each tile, the part that it is asked about, and what is seen."""
        if length <= self.side:
            return [(slice(0, length), slice(0, length))]
        kept = max(1, (self.side - 2 * self.overlap) // self.stride) * self.stride
        count = -(-length // kept)
        each = -(-length // count // self.stride) * self.stride
        return [
            (
                slice(start, min(start + each, length)),
                slice(max(0, start - self.overlap), min(start + each + self.overlap, length)),
            )
            for start in range(0, length, each)
        ]


def tiled(
    watched: Watched, model: nn.Module, objective: Objective, tiling: Tiling, dice: Dice, jitter: int
) -> Objective:
    """The same objective, of an image that is shifted at random and then cut into tiles.

    What a shift leaves open at one side is the image's mirror image; it moves the cuts too, so that no place is always
    beside one. A tile counts by how many places of the layer the part it is asked about has. The gradient of each
    tile is taken when the objective is evaluated, and handed on; so an objective that was made of this one knows its
    first derivatives alone.

    Args:
        watched: the model, watching the objective's layers.
        model: unwrapped.
        dice: for one image.
        jitter: the largest shift, in pixels.
    """

    def value(seen: Seen) -> Tensor:
        rows, columns = _shifted(seen.images, dice, jitter)
        moved = seen.images.index_select(2, rows).index_select(3, columns)
        still = moved.detach()
        gradient = torch.zeros_like(still)
        said, total = still.new_zeros(1), 0.0
        for rows_asked, rows_seen in tiling.parts(still.shape[2]):
            for columns_asked, columns_seen in tiling.parts(still.shape[3]):
                tile = leaf_of(still[:, :, rows_seen, columns_seen].contiguous(memory_format=torch.channels_last))
                of_tile, slope, places = _look(watched, model, objective, tile, seen.step)
                asked = (rows_asked.stop - rows_asked.start) * (columns_asked.stop - columns_asked.start)
                weight = places * asked / (tile.shape[2] * tile.shape[3])
                total += weight
                said += weight * of_tile
                y, x = rows_asked.start - rows_seen.start, columns_asked.start - columns_seen.start
                part = slope[:, :, y:, x:][
                    :, :, : rows_asked.stop - rows_asked.start, : columns_asked.stop - columns_asked.start
                ]
                gradient[:, :, rows_asked, columns_asked] = places * part
        return said / total + (gradient / total * (moved - still)).flatten(1).sum(1)

    return Objective(value, text=objective.text)


def _look(
    watched: Watched, model: nn.Module, objective: Objective, tile: Tensor, step: int
) -> tuple[Tensor, Tensor, int]:
    """What an objective says of a tile [1], its gradient, and of how many places it is the mean."""
    dtype = image_dtypes(model)[0]
    with torch.enable_grad():
        seen = watched(tile.to(dtype), of=tile, step=step)
        said = objective.value(seen)
        slope = derivative(said, torch.ones_like(said), tile)
    if slope is None:
        raise no_gradient(model, tile.detach().to(dtype), f"objective: {objective.text}")
    maps = [seen.layers[name] for name in objective.layers if seen.layers[name].ndim == 4]
    places = maps[0].shape[2:] if maps else tile.shape[2:]
    return said.detach(), slope, places[0] * places[1]


def _shifted(images: Tensor, dice: Dice, jitter: int) -> list[Tensor]:
    """Which row and which column stand at each place of an image that is shifted by whole pixels."""
    draw = dice.uniform(2)[0] * (2 * jitter + 1)
    places = []
    for axis, length in enumerate(images.shape[2:]):
        place = torch.arange(length, device=images.device) + (draw[axis].floor().long() - jitter).to(images.device)
        place = place.remainder(2 * length)
        places.append(torch.minimum(place, 2 * length - 1 - place))
    return places
