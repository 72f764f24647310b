"""What a figure or table of the paper is to the command that makes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from zfcuda.paper.cache import Cache
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.result import Result


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
        options: what the command line says of single figures, by the name of the option.
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
        packages: what has to be installed for it beside what zfcuda needs.
    """

    name: str
    title: str
    source: str
    says: str
    run: Callable[[Setting], Result]
    packages: tuple[str, ...] = ()


class NotApplicableError(Exception):
    """Raised where a network or pictures do not have what a figure shows; says what is missing."""
