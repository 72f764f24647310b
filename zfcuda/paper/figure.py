"""What a figure or table of the paper is to the command that makes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from zfcuda.paper.cache import Cache
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.result import Result
from zfcuda.paper_names import Option

__all__ = ["Figure", "NotApplicableError", "Option", "Setting"]


@dataclass(frozen=True)
class Setting:
    """What a figure is made of.

    Attributes:
        gallery: network and pictures.
        title: what to call the network.
        data: the pictures as ``zfcuda train`` takes them: a folder, or parts.
        cache: what was computed already.
        runs: the folder of trainings.
        train: whether missing trainings are made.
        run: the folder of a finished run that somebody names; None: those in `runs`.
        seed: of all that is drawn.
        progress: whether to show bars on stderr.
        options: the values of the options that the figure itself brings, by their names; defaults included.
    """

    gallery: Gallery
    title: str
    data: str
    cache: Cache
    runs: Path
    train: bool = False
    run: Path | None = None
    seed: int = 0
    progress: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def model(self) -> nn.Module:
        """The network."""
        return self.gallery.model

    def of(self, figure: Figure, given: Mapping[str, Any]) -> Setting:
        """The same for one figure, with its own options: those that are given, else their defaults."""
        return replace(self, options={each.name: given.get(each.name, each.default) for each in figure.options})


@dataclass(frozen=True)
class Figure:
    """A figure or table of the paper.

    Attributes:
        name: what the command calls it, as in "fig2"; its files begin so.
        title: a heading.
        source: where in the paper, or elsewhere, it stands.
        says: what the paper shows, in sentences for somebody who does not have it at hand.
        run: makes it. Raises MissingRunsError where it needs trainings that are not there, NotApplicableError where
            this network or these pictures do not have what it shows.
        packages: what has to be installed for it beside what zfcuda needs, by the names that are imported.
        options: what the command takes for it beside what all figures have. They are read off the file: the values
            stand there as they are, no names of constants.
        trainings: whether it reads trainings: it is then made anew where other ones lie there.
    """

    name: str
    title: str
    source: str
    says: str
    run: Callable[[Setting], Result]
    packages: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()
    trainings: bool = False


class NotApplicableError(Exception):
    """Raised where a network or pictures do not have what a figure shows; says what is missing."""
