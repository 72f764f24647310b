"""The smallest epsilon with which an attack succeeds: doubled until it does, then halved between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from zfcuda.synthesis.adversarial.attack import Attacked
from zfcuda.synthesis.interrupted import kept

_MOST = 255.0  # units, from black to white
_LEAST = 2.0**-12
_CLOSE = 1 + 1 / 32  # what the smallest success may be of the largest failure

# (which images, epsilon of each [n,C or 1,1,1], whether it ends as soon as all succeeded) -> what came of them.
Tried = Callable[[Tensor, Tensor, bool], Attacked]


def smallest(tried: Tried, unit: Tensor, *, whole: bool) -> tuple[Attacked, Tensor]:
    """Attacks each image with ever other epsilons.

    An attack need not succeed with all epsilons above one with which it does; what is found is one such that it fails
    with the next smaller.

    Args:
        unit: [N,C or 1,1,1], one of 255 pixel values.
        whole: whether epsilons are whole numbers of these, as those of images of 8 bits are; else 3 % apart.

    Returns:
        (what came of each with its epsilon, the epsilons [N,C or 1,1,1]); an image that withstands 255 units has these.
    """
    count, device = len(unit), unit.device
    failed, reached, now = (torch.full((count,), x, dtype=torch.float32, device=device) for x in (0, torch.inf, 1))
    best: Attacked | None = None
    open_ = torch.ones(count, dtype=torch.bool, device=device)
    while True:
        which = open_.nonzero()[:, 0]
        interrupted: KeyboardInterrupt | None
        try:
            made = tried(which, now[which].view(-1, 1, 1, 1).to(unit) * unit[which], True)
        except KeyboardInterrupt as stop:
            if best is None:
                raise
            interrupted = kept(stop, "stopped between two epsilons: the smallest so far")
            best = replace(best, interrupted=interrupted)
        else:
            ok, interrupted = made.succeeded, made.interrupted
            best = made if best is None else _replaced(best, which[ok], made, ok)
            reached[which] = torch.where(ok, now[which], reached[which])
            failed[which] = torch.where(ok, failed[which], now[which])
        apart = reached > failed + 1 if whole else (reached > failed * _CLOSE) & (reached > _LEAST)
        open_ = apart & (failed < _MOST)
        if interrupted is not None or not open_.any():
            found = torch.where(reached.isfinite(), reached, failed)
            return best, found.view(-1, 1, 1, 1).to(unit) * unit
        between = (reached + failed) / 2
        now = torch.where(reached.isfinite(), between.ceil() if whole else between, (2 * now).clamp_max(_MOST))


def _replaced(old: Attacked, which: Tensor, new: Attacked, ok: Tensor) -> Attacked:
    """The old results, with those of the new that succeeded in their places."""

    def replaced(kept: Tensor, made: Tensor) -> Tensor:
        return kept.index_copy(0, which, made[ok])

    return Attacked(
        replaced(old.images, new.images),
        replaced(old.probabilities, new.probabilities),
        replaced(old.steps, new.steps),
        replaced(old.succeeded, new.succeeded),
        new.interrupted,
    )
