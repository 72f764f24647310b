"""The strongest activations of many units so far: a running top-k, on the device where they are."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

NOBODY = -1  # the number of the picture in a place that nobody has taken
_DENSE = 0.25  # share of the maps that may win from which on it is asked which of them win against one another
_ROOM = 2**24  # elements of the maps that are looked through together


class Winners:
    """For each of R rows the `top` largest values, descending; of equals the one with the lower index comes first.

    A row gets one value of each index, so that no index wins twice. NaN never wins; where there is nothing to win,
    the value is -inf and the index NOBODY.

    Attributes:
        values: float32 or float64 [R,top]. indices: int64 [R,top].
        places: int32 [R,top,4]: y and x on the map, height and width of the image.
    """

    def __init__(self, rows: int, top: int, dtype: torch.dtype, device: torch.device) -> None:
        self.values = torch.full((rows, top), -torch.inf, dtype=dtype, device=device)
        self.indices = torch.full((rows, top), NOBODY, dtype=torch.int64, device=device)
        self.places = torch.full((rows, top, 4), NOBODY, dtype=torch.int32, device=device)
        # Whether what comes has larger indices than all that is held: ties then are in order by themselves.
        self._ascending, self._highest = True, NOBODY

    def beats(self, values: Tensor, indices: Tensor, rows: slice | Tensor) -> Tensor:
        """Which values [n,r] of some rows, of these indices [n], win against the last one there: bool [n,r]."""
        last, holder = self.values[rows, -1], self.indices[rows, -1]
        return (values > last) | ((values == last) & (indices[:, None] < holder))

    def begin(self, indices: Tensor) -> None:
        """Says which ones compete next, before take(): int64 [n], ascending, on the CPU."""
        self._ascending = self._ascending and int(indices[0]) > self._highest
        self._highest = max(self._highest, int(indices[-1]))

    def take(self, values: Tensor, indices: Tensor, places: Tensor, rows: slice) -> None:
        """Lets n more compete in some rows.

        Args:
            values: [n,r], -inf for who does not. indices: int64 [n], as begin() had them. places: int32 [n,r,4].
        """
        indices, some = indices.to(values.device), rows
        if values.device.type == "cpu":  # elsewhere to ask who wins would wait for the device
            winning = self.beats(values, indices, rows).any(0).nonzero().flatten()
            if not len(winning):
                return
            values, places = values[:, winning], places[:, winning]
            some = winning + rows.start
        real = values > -torch.inf
        every, places = torch.where(real, indices[:, None], NOBODY), torch.where(real[..., None], places, NOBODY)
        self._compete(some, values.T, every.T, places.transpose(0, 1))

    def merge(self, values: Tensor, indices: Tensor, places: Tensor) -> None:
        """Lets the winners of others compete, who come in the same form."""
        device = self.values.device
        self._ascending = False
        self._compete(slice(None), values.to(self.values), indices.to(device), places.to(device))

    def load(self, values: Tensor, indices: Tensor, places: Tensor) -> None:
        """Takes the winners of others in the place of these."""
        device = self.values.device
        self.values, self.indices, self.places = values.to(self.values), indices.to(device), places.to(device)
        self._ascending = False

    def _compete(self, rows: Tensor | slice, values: Tensor, indices: Tensor, places: Tensor) -> None:
        values = torch.cat([self.values[rows], values], 1)
        indices = torch.cat([self.indices[rows], indices], 1)
        top = self.values.shape[1]
        if self._ascending:
            order = values.sort(dim=1, descending=True, stable=True).indices[:, :top]
        else:
            by_index = indices.argsort(dim=1)
            order = values.gather(1, by_index).sort(dim=1, descending=True, stable=True).indices[:, :top]
            order = by_index.gather(1, order)
        self.values[rows] = values.gather(1, order)
        self.indices[rows] = indices.gather(1, order)
        places = torch.cat([self.places[rows], places], 1)
        self.places[rows] = places.gather(1, order[:, :, None].expand(-1, -1, 4))


def strongest_places(
    activation: Tensor, indices: Tensor, winners: Winners, rows: slice
) -> tuple[Tensor, Tensor, Tensor]:
    """The largest value of each map with its place, where it may win.

    Args:
        activation: [n,K,h,w] or [n,K]. indices: int64 [n], on the CPU.
        winners, rows: those that it competes with.

    Returns:
        values [n,K] in the winners' dtype, -inf where the map holds NaN; places int64 [n,K], y * w + x of the first of
        equals, 0 where the value does not win; int64 [K], in how many of the n there is NaN.
    """
    dtype = winners.values.dtype
    is_map, on_cpu = activation.dim() == 4, activation.device.type == "cpu"
    if is_map and not on_cpu:
        values, places = activation.flatten(2).max(2)
    else:
        values = activation.amax((2, 3)) if is_map else activation  # several times faster than with the place
        places = torch.zeros_like(values, dtype=torch.int64)
    is_nan = values.isnan()
    values = torch.where(is_nan, -torch.inf, values.to(dtype))
    if is_map and on_cpu:
        _find(places, activation.flatten(2), _winning(values, indices, winners, rows))
    return values, places, is_nan.sum(0)


def _winning(values: Tensor, indices: Tensor, winners: Winners, rows: slice) -> Tensor:
    """Which of the values [n,K] win, and some more: bool [n,K]."""
    winning, top = winners.beats(values, indices, rows), winners.values.shape[1]
    if len(values) > top and winning.float().mean() > _DENSE:  # as in the beginning: they compete with one another
        winning &= values >= values.topk(top, 0).values[-1]
    return winning


def _find(places: Tensor, maps: Tensor, wanted: Tensor) -> None:
    """Writes down where the wanted ones [n,K] of the maps [n,K,s] are largest."""
    for some in wanted.nonzero().split(max(1, _ROOM // maps.shape[2])):
        number, unit = some.unbind(1)
        places[number, unit] = maps[number, unit].argmax(1)


def state_of(winners: Winners) -> dict[str, Tensor]:
    """What the arguments of load() and merge() are made of."""
    return {"values": winners.values, "indices": winners.indices, "places": winners.places}


def of_state(state: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """The arguments of load() and merge()."""
    return state["values"], state["indices"], state["places"]
