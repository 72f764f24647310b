"""How the network of a run does on the pictures that it does not learn from: validation, and the test at the end."""

from __future__ import annotations

from pathlib import Path

from zfcuda.data.preprocess import Preprocess
from zfcuda.ranks import Ranks
from zfcuda.train.broken import BrokenPictures
from zfcuda.train.chance import step_seed
from zfcuda.train.evaluate import Score, evaluate
from zfcuda.train.generators import seed_generators
from zfcuda.train.preparation import ten_view
from zfcuda.train.sets import Labelled, Sets
from zfcuda.train.state import Training


class Evaluation:
    """Validation and test of a run. All processes make the same calls."""

    def __init__(self, training: Training, sets: Sets, preprocess: Preprocess, *, ranks: Ranks, workers: int) -> None:
        self.training, self.sets, self.preprocess = training, sets, preprocess
        self.ranks, self.workers = ranks, workers
        self.broken = BrokenPictures("validation", sets.validation.labels, sets.classes, {}, show=ranks.first)

    def validation(self) -> Score:
        """Scores the network as it is.

        Raises:
            ValueError: more than half of the pictures cannot be read.
        """
        score = self._score(self.sets.validation)
        self.broken.add(score.broken, score.count)
        self.broken.check(of_classes=False)
        return score

    def test(self, weights: Path) -> Score | None:
        """Scores a file of weights, which the network has afterwards; None where there are no test pictures."""
        if self.sets.test is None:
            return None
        from safetensors.torch import load_file

        network = self.training.kept
        best = self.ranks.of_first(load_file(weights) if self.ranks.first else None)
        network.load_state_dict({name: best[name].to(value) for name, value in network.state_dict().items()})
        score = self._score(self.sets.test)
        broken = BrokenPictures("test", self.sets.test.labels, self.sets.classes, {}, show=self.ranks.first)
        broken.add(score.broken, score.count)
        return score

    def _score(self, source: Labelled) -> Score:
        training = self.training
        options = training.options
        # What a network draws as eval too: the same, however often an evaluation was broken off.
        seed_generators(step_seed(options.seed, training.step, self.ranks.rank))
        return evaluate(
            training.kept,
            source,
            self.preprocess,
            len(self.sets.classes),
            ten=ten_view(self.preprocess) if options.views == 10 else None,
            device=options.device,
            precision=training.precision,
            workers=self.workers,
            ranks=self.ranks,
        )
