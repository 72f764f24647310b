"""An objective of an image of any size, looked at tile by tile: the memory is that of one tile, however large it is."""

from __future__ import annotations

from collections.abc import Sequence
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
    def of(model: nn.Module, layers: Sequence[str], logits: bool, image: Tensor, side: int) -> Tiling:
        """The tiling for an image [1,C,H,W]: the overlap is the receptive field, and an eighth of the side at most.

        Args:
            model: unwrapped.
            layers: what is read of it, by its own names.
            logits: whether its answer is read too.
            side: of a tile.
        """
        if max(image.shape[2:]) <= side:
            return Tiling(side)
        most = side // 8
        shape = (image.shape[1], *(min(side, length) for length in image.shape[2:]))
        try:
            fields = [receptive_field(model, name, shape) for name in layers]
        except (ValueError, TypeError, RuntimeError, NotImplementedError):  # a model that cannot be followed
            return Tiling(side, most, exact=False)
        known = [field for field in fields if field is not None]
        if logits or not known or len(known) < len(fields):
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


@dataclass(frozen=True)
class Look:
    """What an objective says of an image.

    Attributes:
        watched: the model, watching the objective's layers.
        model: the same, unwrapped.
    """

    watched: Watched
    model: nn.Module
    objective: Objective

    def __call__(self, image: Tensor, step: int) -> tuple[Tensor, int]:
        """What is said of an image [1,C,H,W], [1], and of how many places it is the mean."""
        dtype = image_dtypes(self.model)[0]
        seen = self.watched(image.to(dtype).contiguous(memory_format=torch.channels_last), of=image, step=step)
        maps = [values.shape[2:] for values in seen.layers.values() if values.ndim == 4]
        places = maps[0] if maps else image.shape[2:]
        return self.objective.value(seen), places[0] * places[1]

    def gradient(self, image: Tensor, step: int) -> tuple[Tensor, Tensor, int]:
        """The same, with the gradient by the image in the middle."""
        with torch.enable_grad():
            leaf = leaf_of(image)
            said, places = self(leaf, step)
            slope = derivative(said, torch.ones_like(said), leaf)
        if slope is None:
            shown = image.to(image_dtypes(self.model)[0])
            raise no_gradient(self.model, shown, f"objective: {self.objective.text}")
        return said.detach(), slope, places


def tiled(look: Look, tiling: Tiling, dice: Dice, jitter: int) -> Objective:
    """The same objective, of an image that is shifted at random and then cut into tiles.

    What a shift leaves open at one side is the image's mirror image; it moves the cuts too, so that no place is always
    beside one. A tile counts by how many places of the layer the part it is asked about has. The gradient of each
    tile is taken when the objective is evaluated, and handed on; so an objective that was made of this one knows its
    first derivatives alone.

    Args:
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
                tile = still[:, :, rows_seen, columns_seen]
                of_tile, slope, places = look.gradient(tile, seen.step)
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

    return Objective(value, text=look.objective.text)


def _shifted(images: Tensor, dice: Dice, jitter: int) -> list[Tensor]:
    """Which row and which column stand at each place of an image that is shifted by whole pixels."""
    draw = dice.uniform(2)[0] * (2 * jitter + 1)
    places = []
    for axis, length in enumerate(images.shape[2:]):
        place = torch.arange(length, device=images.device) + (draw[axis].floor().long() - jitter).to(images.device)
        place = place.remainder(2 * length)
        places.append(torch.minimum(place, 2 * length - 1 - place))
    return places
