"""How the network of a run does on the pictures that it does not learn from: validation, and the test at the end."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

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

    def test(self, weights: Mapping[str, Tensor]) -> Score | None:
        """Scores these weights, which the network has afterwards; None where there are no test pictures."""
        if self.sets.test is None:
            return None
        network = self.training.kept
        network.load_state_dict({name: weights[name].to(value) for name, value in network.state_dict().items()})
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
