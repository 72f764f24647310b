"""The three parts that a linear classifier needs: to train on, to choose its regularisation on, to test on."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from zfcuda.train.sets import Labelled, Sets
from zfcuda.train.sets.subset import Subset
from zfcuda.train.transfer.sampling import draw

_ASIDE = 10  # one of so many training pictures is set aside where there is no part to test on


@dataclass(frozen=True)
class Parts:
    """The pictures of each part. note: one sentence, where they are not those of the data set as it is; else empty."""

    training: Labelled
    validation: Labelled
    test: Labelled
    note: str = ""

    def items(self) -> list[tuple[str, Labelled]]:
        """(name, pictures) of each."""
        return [("training", self.training), ("validation", self.validation), ("test", self.test)]


def parts_of(sets: Sets, *, most: int | None = None, seed: int = 0) -> Parts:
    """The parts of a data set.

    Without test pictures, the validation pictures are those to test on, and of each class one in ten of the training
    pictures is set aside to choose the regularisation on, by seed.

    Args:
        most: pictures of each class that are taken of each part at most, drawn by seed; None: all.

    Raises:
        ValueError: training has pictures of one class alone.
    """
    training, validation, test, notes = sets.train, sets.validation, sets.test, []
    if len(set(training.labels)) < 2:
        raise ValueError("data: expected training pictures of at least two classes, got one")
    if test is None:
        aside = _one_in(training, seed)
        chosen = set(aside)
        rest = [index for index in range(len(training.labels)) if index not in chosen]
        training, validation, test = _some(training, rest), _some(training, aside), validation
        notes.append(
            "there are no test pictures: tested on validation, and C is chosen on one in ten of the training pictures"
        )
    if most is not None:
        training, validation, test = (
            _some(part, draw(torch.tensor(part.labels), most, seed=seed, up_to=True).tolist())
            for part in (training, validation, test)
        )
        notes.append(f"of each class {most:,} pictures at most, drawn by seed {seed}")
    return Parts(training, validation, test, "; ".join(notes))


def _one_in(pictures: Labelled, seed: int) -> list[int]:
    """One in ten of each class, at least one where there are two."""
    labels = torch.tensor(pictures.labels)
    found: list[int] = []
    for label in labels.unique().tolist():
        inside = (labels == label).nonzero().flatten()
        count = max(1, len(inside) // _ASIDE) if len(inside) > 1 else 0
        order = torch.randperm(len(inside), generator=torch.Generator().manual_seed(seed * 1_000_003 + label))
        found += inside[order[:count]].tolist()
    return sorted(found)


def _some(pictures: Labelled, indices: list[int]) -> Labelled:
    return Subset(pictures, indices, [pictures.labels[index] for index in indices], pictures.classes)
