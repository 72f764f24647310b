"""A softmax or a linear SVM on codes, by scikit-learn, with its regularisation chosen on the validation part."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from zfcuda.features.values import values_of
from zfcuda.train.transfer.shares import Share

Array = npt.NDArray[Any]

#: The values that C is chosen of: the weight of the errors beside that of the squared length of the weights, for codes
#: of which each number has mean 0 and all together have variance 1.
STRENGTHS: Mapping[str, tuple[float, ...]] = {
    "softmax": (0.1, 1.0, 10.0, 100.0, 1000.0),
    "svm": (0.01, 0.1, 1.0, 10.0),
}
NAMES = tuple(STRENGTHS)
_STEPS = {"softmax": 2000, "svm": 5000}
_AT_ONCE = 1 << 22  # numbers that are copied to float64 together


@dataclass(frozen=True)
class Coded:
    """Pictures as a linear classifier sees them. values: float32 [N,D]; labels: int64 [N]."""

    values: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: Tensor) -> Coded:
        """Some of them."""
        return Coded(self.values[indices], self.labels[indices])


@dataclass(frozen=True)
class Fitted:
    """What a linear classifier came to.

    Attributes:
        classifier: "softmax" or "svm".
        c: the regularisation that did best on validation; of equals the strongest.
        training, validation, test: the shares answered rightly.
        answers, truth: int64 [N], the class that it gives each test picture, and what it is of.
        converged: whether its optimisation came to its end.
    """

    classifier: str
    c: float
    training: Share
    validation: Share
    test: Share
    answers: Tensor
    truth: Tensor
    converged: bool


def fit(classifier: str, training: Coded, validation: Coded, test: Coded, *, seed: int = 0) -> Fitted:
    """Fits a linear classifier on codes, as :func:`fits` does."""
    [found] = fits([classifier], training, validation, test, seed=seed)
    return found


def fits(
    classifiers: Sequence[str], training: Coded, validation: Coded, test: Coded, *, seed: int = 0
) -> Iterator[Fitted]:
    """Fits linear classifiers on codes. Needs the extra: ``pip install zfcuda[features]``.

    Each number of the codes is standardised by its mean and standard deviation over the training pictures. C is the one
    of STRENGTHS with which most validation pictures are answered rightly; the validation pictures are not trained on
    afterwards. Where codes have more numbers than there are pictures, they are turned into the space that the training
    codes span, in which the classifier is the same one.

    Memory: the codes of all parts once more, and while those of training are turned, these twice.

    Args:
        classifiers: of each "softmax", the multinomial logistic regression, or "svm", one linear SVM (squared hinge)
            a class against the rest; either with an L2 penalty.
        training, validation, test: with labels into the same classes.
        seed: decides the order in which the SVM visits pictures.

    Raises:
        ValueError: there is no such classifier; training has one class; codes are not finite.
    """
    for classifier in classifiers:
        if classifier not in STRENGTHS:
            raise ValueError(f"classifier: expected one of {', '.join(NAMES)}, got {classifier!r}")
    if len(training.labels.unique()) < 2:
        raise ValueError("training: expected pictures of at least two classes, got one")
    parts = {"training": training, "validation": validation, "test": test}
    codes = _standardised([values_of(part.values, name) for name, part in parts.items()])
    labels = [part.labels.numpy() for part in parts.values()]
    for classifier in classifiers:
        yield _fitted(classifier, codes, labels, seed)


def _fitted(classifier: str, codes: Sequence[Array], labels: Sequence[Array], seed: int) -> Fitted:
    """The best on validation of all C."""
    best: tuple[int, float, Any, bool] | None = None
    for model, c, converged in _models(classifier, codes[0], labels[0], seed):
        right = int((model.predict(codes[1]) == labels[1]).sum())
        if best is None or right > best[0]:
            best = (right, c, _frozen(model), converged)
    assert best is not None
    right, c, answer, converged = best
    answers = answer(codes[2])
    return Fitted(
        classifier=classifier,
        c=c,
        training=Share(int((answer(codes[0]) == labels[0]).sum()), len(labels[0])),
        validation=Share(right, len(labels[1])),
        test=Share(int((answers == labels[2]).sum()), len(labels[2])),
        answers=torch.from_numpy(answers),
        truth=torch.from_numpy(labels[2]),
        converged=converged,
    )


def _standardised(parts: list[Tensor]) -> list[Array]:
    """Codes with mean 0 and variance 1 over all their numbers together, in no more dimensions than there are pictures.

    Numbers that are all alike in training become zero there.
    """
    first = parts[0]
    mean = first.mean(0, dtype=torch.float64)
    deviation = _deviation(first, mean)
    deviation[deviation <= 1e-12 * mean.abs()] = 1.0
    scale = (1 / (deviation * first.shape[1] ** 0.5)).float()
    centred = [(part - mean.float()) * scale for part in parts]
    if first.shape[1] <= len(first):
        return [part.numpy() for part in centred]
    count = len(first)
    reflectors, scales = torch.geqrf(centred[0].T)  # training^T = Q R, so that training Q is R^T
    turned = [torch.ormqr(reflectors, scales, part.T, transpose=True)[:count].T for part in centred[1:]]
    return [part.contiguous().numpy() for part in (reflectors[:count].triu().T, *turned)]


def _deviation(values: Tensor, mean: Tensor) -> Tensor:
    """The standard deviation of each column, some rows at a time."""
    total = torch.zeros_like(mean)
    for rows in values.split(max(1, _AT_ONCE // values.shape[1])):
        total += (rows.double() - mean).square().sum(0)
    return (total / len(values)).sqrt()


def _models(classifier: str, codes: Array, labels: Array, seed: int) -> Iterator[tuple[Any, float, bool]]:
    """(model, C, whether it converged) with each C, the strongest regularisation first."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    steps = _STEPS[classifier]
    # From the last answer on: the way to the next one is short.
    softmax = LogisticRegression(max_iter=steps, tol=1e-5, warm_start=True)
    for c in STRENGTHS[classifier]:
        model = (
            softmax.set_params(C=c) if classifier == "softmax" else LinearSVC(C=c, max_iter=steps, random_state=seed)
        )
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            model.fit(codes, labels)
        yield model, c, not any(issubclass(each.category, ConvergenceWarning) for each in said)


def _frozen(model: Any) -> Any:
    """What a model answers now: it goes on being fitted."""
    weights, offsets, classes = model.coef_.copy(), np.array(model.intercept_), model.classes_.copy()

    def answer(codes: Array) -> Array:
        scores = codes @ weights.T + offsets
        if scores.shape[1] == 1:
            return np.asarray(classes[(scores[:, 0] > 0).astype(int)])
        return np.asarray(classes[scores.argmax(1)])

    return answer
