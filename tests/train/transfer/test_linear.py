"""Linear classifiers on codes: closed forms, and scikit-learn on the codes as they are."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from zfcuda.train.transfer.linear import NAMES, STRENGTHS, Coded, fit

pytest.importorskip("sklearn")


def blobs(count: int, numbers: int, seed: int, apart: float = 8.0, classes: int = 3) -> Coded:
    """Codes around a corner for each class, which lie in the same places for all seeds."""
    corners = apart / numbers**0.5 * torch.randn(classes, numbers, generator=torch.Generator().manual_seed(99))
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    return Coded(torch.randn(count, numbers, generator=generator) + corners[labels], labels)


@pytest.mark.parametrize("classifier", NAMES)
@pytest.mark.parametrize("numbers", [5, 200])  # fewer and more than there are pictures
def test_separable_codes_are_told_apart(classifier: str, numbers: int) -> None:
    found = fit(classifier, blobs(60, numbers, 0, 40), blobs(30, numbers, 1, 40), blobs(90, numbers, 2, 40))
    assert found.test.accuracy == found.validation.accuracy == found.training.accuracy == 1.0
    assert found.test.of == 90 and found.converged
    assert torch.equal(found.answers, found.truth)
    assert found.c == STRENGTHS[classifier][0]  # of equals the strongest regularisation


@pytest.mark.parametrize("classifier", NAMES)
def test_two_classes_of_any_numbers(classifier: str) -> None:
    parts = [blobs(40, 4, seed, 30, classes=2) for seed in range(3)]
    parts = [Coded(part.values, 3 + 4 * part.labels) for part in parts]
    assert fit(classifier, *parts).test.accuracy == 1.0
    assert fit(classifier, *parts).answers.unique().tolist() == [3, 7]


def plain(classifier: str, training: Coded, test: Coded, c: float) -> Tensor:
    """What scikit-learn answers for standardised codes, in as many dimensions as they have."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    values = training.values.double()
    mean, deviation = values.mean(0), values.std(0, correction=0)
    first, last = ((part.values.double() - mean) / deviation / values.shape[1] ** 0.5 for part in (training, test))
    model = LogisticRegression(C=c, tol=1e-8, max_iter=5000)
    model = model if classifier == "softmax" else LinearSVC(C=c, tol=1e-8, max_iter=50_000)
    return torch.from_numpy(model.fit(first.numpy(), training.labels.numpy()).predict(last.numpy()))


@pytest.mark.parametrize("classifier", NAMES)
@pytest.mark.parametrize("numbers", [10, 120])
def test_the_answers_are_those_of_the_codes_as_they_are(classifier: str, numbers: int) -> None:
    training, validation, test = (blobs(count, numbers, seed, 2) for count, seed in ((60, 0), (60, 1), (300, 2)))
    scale = torch.logspace(-3, 3, numbers)  # standardised away
    training, validation, test = (
        Coded(part.values * scale + 5 * scale, part.labels) for part in (training, validation, test)
    )
    found = fit(classifier, training, validation, test)
    expected = plain(classifier, training, test, found.c)
    assert (found.answers == expected).double().mean() > 0.99
    assert found.test.right == int((found.answers == test.labels).sum()) < 300
    rights = [
        int((plain(classifier, training, validation, c) == validation.labels).sum()) for c in STRENGTHS[classifier]
    ]
    assert abs(found.validation.right - max(rights)) <= 1


@pytest.mark.parametrize("classifier", NAMES)
def test_the_same_call_gives_the_same(classifier: str) -> None:
    parts = [blobs(50, 80, seed, 1) for seed in range(3)]
    one, other = fit(classifier, *parts), fit(classifier, *parts)
    assert torch.equal(one.answers, other.answers) and one.c == other.c


def test_numbers_that_never_change_do_no_harm() -> None:
    parts = [blobs(30, 6, seed, 30) for seed in range(3)]
    for part in parts:
        part.values[:, 5] = 7.1
    parts[2].values[:, 5] = 8.0
    assert fit("softmax", *parts).test.accuracy == 1.0


@pytest.mark.parametrize("part", [0, 1, 2])
def test_codes_that_are_not_finite_are_named(part: int) -> None:
    parts = [blobs(30, 6, seed) for seed in range(3)]
    parts[part].values[4, 2] = float("nan")
    with pytest.raises(ValueError, match=rf"^{('training', 'validation', 'test')[part]}: .*NaN or infinity in row 4"):
        fit("svm", *parts)


def test_what_cannot_be_fitted_is_refused() -> None:
    parts = [blobs(30, 6, seed) for seed in range(3)]
    with pytest.raises(ValueError, match=r"^classifier: expected one of softmax, svm, got 'tree'"):
        fit("tree", *parts)
    one = Coded(parts[0].values, torch.zeros_like(parts[0].labels))
    with pytest.raises(ValueError, match=r"^training: expected pictures of at least two classes"):
        fit("softmax", one, *parts[1:])


def test_an_optimisation_that_is_cut_short_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    from zfcuda.train.transfer import linear

    monkeypatch.setattr(linear, "_STEPS", {"softmax": 1, "svm": 1})
    parts = [blobs(60, 30, seed, 0.5) for seed in range(3)]
    assert not fit("softmax", *parts).converged  # and nothing is printed
