"""What the network answers, and what it keeps of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.live.label.small import CLASSES, asked, network_says, pictures, subject
from zfcuda.complaint import CommandError
from zfcuda.data.collection import Collection
from zfcuda.live.label.network import FILE, NetworkAnswers
from zfcuda.live.label.task import task


def test_it_answers_all_pictures_and_keeps_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asks = asked(pictures(tmp_path / "test"))
    with NetworkAnswers(subject(), asks, tmp_path) as network:
        network.wait()
        assert [CLASSES.index(network.found[name]["answers"][0]) for name in asks.pictures.names] == network_says(asks)
        first = network.found[asks.pictures.names[0]]
        expected = subject().model(asks.pictures.image(0)[None]).softmax(1)[0].sort(descending=True)
        assert first["probabilities"] == pytest.approx(expected.values.tolist(), abs=1e-6)
        assert first["answers"] == [CLASSES[index] for index in expected.indices.tolist()]
        assert network.done == 6 and network.whole and not network.error
    assert (tmp_path / FILE).exists()
    with NetworkAnswers(subject(), asks, tmp_path) as again:
        monkeypatch.setattr(Collection, "image", None)  # none is run again
        again.wait()
        assert again.found == network.found and not again.error


def test_it_chooses_among_the_classes_alone(tmp_path: Path) -> None:
    other = replace(subject(), classes=["sky", "leaf", "apple"])
    found = Collection.of(pictures(tmp_path / "test"), preprocess=other.preprocess)
    asks = task(found, ["Apple", "leaf", "sky"], view="network")
    with NetworkAnswers(other, asks, tmp_path) as network:  # what it calls sky is red
        network.wait()
        assert {a for each in network.found.values() for a in each["answers"]} == {"Apple", "leaf", "sky"}
    wide = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4))
    nn.init.zeros_(wide[2].weight)
    wide[2].bias.data = torch.tensor([0.0, 1.0, 2.0, 9.0])
    with NetworkAnswers(replace(other, model=wide, classes=["sky", "leaf", "apple", "cow"]), asks, tmp_path) as network:
        network.wait()
        one = next(iter(network.found.values()))
        assert one["answers"] == ["Apple", "leaf", "sky"] and not network.whole
        assert sum(one["probabilities"]) == pytest.approx(1)


def test_what_does_not_fit_is_told_at_once(tmp_path: Path) -> None:
    asks = asked(pictures(tmp_path / "test"))
    with pytest.raises(ValueError, match=r"--classes: expected classes that brightest knows, got 'leaf', 'sky'"):
        NetworkAnswers(replace(subject(), classes=["apple", "cow", "owl"]), asks, tmp_path)
    with pytest.raises(ValueError, match=r"outputs, which have no names, got 3 for \[2\]"):
        NetworkAnswers(
            replace(subject(), classes=[], model=nn.Sequential(nn.Flatten(), nn.Linear(192, 2))), asks, tmp_path
        )
    with pytest.raises(CommandError, match=r"^brightest: RuntimeError"):
        NetworkAnswers(replace(subject(), model=nn.Sequential(nn.Linear(5, 3))), asks, tmp_path)


def test_a_broken_picture_has_no_answer(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "test")
    (folder / "sky" / "secret-sky-0.jpg").write_bytes(b"no picture")
    asks = asked(folder)
    with NetworkAnswers(subject(), asks, tmp_path) as network:
        network.wait()
        assert list(network.broken) == ["sky/secret-sky-0.jpg"] and network.done == 6 and len(network.found) == 5


def test_a_network_that_fails_later_says_so(tmp_path: Path) -> None:
    class Fails(nn.Module):
        calls = 0

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            if self.calls > 2:
                raise RuntimeError("planted")
            return images.mean((2, 3))

    with NetworkAnswers(replace(subject(), model=Fails()), asked(pictures(tmp_path / "test")), tmp_path) as network:
        network.wait()
        assert "planted" in network.error and len(network.found) == 1
