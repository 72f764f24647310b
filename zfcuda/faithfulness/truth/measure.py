"""All that is measured of one drawn picture."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zfcuda.data import HELD_OUT_SEED, Parts
from zfcuda.faithfulness.energy import energy_inside
from zfcuda.faithfulness.parts import PartImportance, part_importance
from zfcuda.faithfulness.pointing import pointing_chance, pointing_game
from zfcuda.faithfulness.randomization import shuffled_from_the_top, similarity
from zfcuda.faithfulness.removal import deletion, insertion
from zfcuda.faithfulness.truth.paper import paper_questions
from zfcuda.methods import METHODS, Compute, method
from zfcuda.network.intact import evaluating

#: The name of the map that is drawn at random: what luck scores; and the mean of how many its figures are.
RANDOM, DRAWS = "random", 8
#: Deletion and insertion take 2 x 29 images for each map, randomization eight more maps: one picture in so many.
CURVES_EVERY, RANDOMIZATION_EVERY = 4, 20
STEPS = 28

#: What is known of a picture once it is measured: numbers under names, fit for JSON.
Record = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """What decides the answer: runs of equal settings may go on with one another's records.

    Attributes:
        methods: names out of zfcuda.methods, in the order of the table's rows.
        seed: of the drawn pictures.
    """

    methods: tuple[str, ...] = field(default_factory=lambda: tuple(METHODS))
    seed: int = HELD_OUT_SEED

    def __post_init__(self) -> None:
        if not self.methods:
            raise ValueError("methods: expected at least one, got none")
        for name in self.methods:
            method(name)
        if len(set(self.methods)) != len(self.methods):
            raise ValueError(f"methods: expected each once, got {', '.join(self.methods)}")
        Parts(self.seed)

    def computes(self, index: int) -> Mapping[str, Compute]:
        """The methods, and the random map of picture `index`: another one at each call."""
        dice = torch.Generator().manual_seed(index)

        def random(model: nn.Module, images: Tensor, targets: Sequence[int]) -> Tensor:
            return torch.rand(len(images), *images.shape[2:], generator=dice).to(images)

        return {name: METHODS[name].compute for name in self.methods} | {RANDOM: random}


def measure(model: Any, settings: Settings, index: int) -> Record:
    """Measures every method on picture `index`, explaining its true class.

    model: a network with a `.preprocess` that leaves the pictures of Parts their size.
    """
    parts = Parts(settings.seed)
    picture, device = parts[index], next(model.parameters()).device
    image = model.preprocess(picture.image).to(device)
    blank = model.preprocess(parts.draw(index, part=False).image).to(device)
    if image.shape[2:] != picture.part_mask.shape:
        raise ValueError(f"model: expected images {list(picture.part_mask.shape)}, got {list(image.shape[2:])}")
    label, mask = picture.label, picture.part_mask
    with evaluating(model), torch.no_grad():
        guesses = model(torch.cat([image, blank])).argmax(1).tolist()
    computes = settings.computes(index)
    maps = {name: compute(model, image, [label])[0] for name, compute in computes.items()}
    pieces = part_importance(model, parts, index, target=label)
    luck = [maps[RANDOM], *(computes[RANDOM](model, image, [label])[0] for _ in range(DRAWS - 1))]
    lucky = [_answers(map, mask, pieces) for map in luck]
    record: Record = {
        "picture": index,
        "right": guesses[0] == label,
        "right_without": guesses[1] == label,
        "pointing_chance": pointing_chance(mask),
        "part": float(mask.mean()),
        "paper": paper_questions(model, image, picture),
        "methods": {name: _answers(map, mask, pieces) for name, map in maps.items()}
        | {RANDOM: {answer: statistics.fmean(one[answer] for one in lucky) for answer in lucky[0]}},
    }
    if index % CURVES_EVERY == 0:
        for name, map in maps.items():
            for curve in (deletion, insertion):
                found = curve(model, image, map, target=label, steps=STEPS)
                record["methods"][name][found.kind] = found.auc
    if index % RANDOMIZATION_EVERY == 0:
        for layer, changed in shuffled_from_the_top(model, seed=index):
            for name, compute in computes.items():
                alike = similarity(compute(changed, image, [label])[0], maps[name])
                record["methods"][name].setdefault("layers", {})[layer] = list(alike)
    return record


def _answers(map: Tensor, mask: np.ndarray, pieces: PartImportance) -> dict[str, Any]:
    """What a map by itself comes to."""
    return {
        "pointing": pointing_game(map, mask),
        "energy": energy_inside(map, mask),
        "pieces": pieces.rank_correlation(map),
        "first": pieces.finds_the_first(map),
    }
