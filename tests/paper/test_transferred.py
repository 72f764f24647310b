"""Table 7 and Figure 9 on a network whose last layer alone knows the answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import zfcuda
from zfcuda.data import Parts
from zfcuda.paper import fig9, table7
from zfcuda.paper.cache import Cache
from zfcuda.paper.figure import NotApplicableError, Setting
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.table7 import FIGURE, PAPER
from zfcuda.paper.transferred import measured
from zfcuda.paper.transferred.untrained import untrained
from zfcuda.train.sets import Sets, read_sets

LAYERS = ("sums", "answer")


class Same(nn.Module):
    """Tells whether red and green are on one side of 1/2: |r + g - 1| - |r - g|, which no linear function does."""

    def __init__(self) -> None:
        super().__init__()
        self.sums = nn.Conv2d(3, 4, 1)
        self.relu = nn.ReLU()
        self.answer = nn.Conv2d(4, 1, 1, bias=False)
        self.runs = 0
        with torch.no_grad():
            self.sums.weight.copy_(torch.tensor([[1, 1, 0], [-1, -1, 0], [1, -1, 0], [-1, 1, 0]])[:, :, None, None])
            self.sums.bias.copy_(torch.tensor([-1.0, 1.0, 0.0, 0.0]))
            self.answer.weight.copy_(torch.tensor([1, 1, -1, -1])[None, :, None, None])

    def forward(self, images: Tensor) -> Tensor:
        self.runs += len(images)
        found: Tensor = self.answer(self.relu(self.sums(images))).mean((2, 3))
        return found


class Pictures(list[Any]):
    classes = ("other", "same")


def sets(train: int = 20) -> Sets:
    parts = {}
    for seed, (part, count) in enumerate((("train", train), ("validation", 20), ("test", 40))):
        generator = torch.Generator().manual_seed(seed)
        found = Pictures()
        while len(found) < 2 * count:
            values = torch.rand(3, generator=generator)
            label = int((values[0] - 0.5) * (values[1] - 0.5) > 0)
            if label == len(found) % 2:
                found.append((values[:, None, None].expand(3, 2, 2).clone(), label))
        parts[part] = found
    return read_sets(parts)


def test_untrained_has_the_same_values_in_other_places() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(128, 4))
    model[1].running_var.fill_(1e-6)  # with which shuffled weights would give large numbers
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images = torch.randn(16, 3, 6, 6)
    other = untrained(model, images, seed=1)
    assert model.training and not other.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), "the model was changed"
    for name, value in model.named_parameters():
        there = other.get_parameter(name)
        assert torch.equal(there.flatten().sort().values, value.flatten().sort().values)
        assert name.endswith("bias") or value.unique().numel() < 9 or not torch.equal(there, value)
    with torch.no_grad():
        assert other[1](other[0](images)).std((0, 2, 3)) == pytest.approx(torch.ones(8), abs=0.01)
    again = untrained(model, images, seed=1).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in other.state_dict().items())
    assert not torch.equal(untrained(model, images, seed=2)[0].weight, other[0].weight)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    pytest.importorskip("sklearn")
    return Cache(tmp_path_factory.mktemp("cache"))


def test_table7(kept: Cache) -> None:
    result = table7(Same(), sets(), layers=LAYERS, cache=kept)
    pixels, sums, answer = result.rows
    assert [row["layer"] for row in result.rows] == ["pixels", *LAYERS]
    assert answer["SVM %"] > 95 and answer["softmax %"] > 95 and sums["SVM %"] < 75 and pixels["SVM %"] < 75
    assert pixels["code"] == "3 x 32 x 32" and pixels["untrained, SVM %"] is None
    assert answer["untrained, SVM %"] is not None
    deeper, learnt = result.claims
    assert deeper.holds is True and f"sums to answer: {sums['SVM %']}% -> {answer['SVM %']}%" in deeper.found
    assert learnt.holds is True and "The best codes (answer" in learnt.found
    assert result.tensors["right.trained"].shape == (2, 80)
    assert result.tensors["right.trained"][1].double().mean() == pytest.approx(answer["SVM %"] / 100, abs=1e-3)
    assert [row["layer"] for row in result.tables["The paper's"]] == list(PAPER)
    assert any("right for 50.0%" in note for note in result.notes)
    assert not any("very classes" in note for note in result.notes)


def test_a_network_that_loses_with_depth_contradicts_the_paper(kept: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "_DRAWS", 1)
    model = Same()
    model.classes = ["same", "other"]  # in any order
    result = table7(model, sets(), layers=LAYERS[::-1], cache=kept)
    assert result.claims[0].holds is False and result.claims[0].found.startswith("On the very classes")
    assert result.claims[1].holds is None and "no transfer and decides nothing" in result.claims[1].found
    assert [claim.holds for claim in fig9(model, sets(), layers=LAYERS[::-1], cache=kept).claims] == [None, None]
    assert any("perhaps on some of these pictures" in note for note in result.notes)


def test_fig9(kept: Cache, tmp_path: Path) -> None:
    given, model = sets(), Same()
    table7(model, given, layers=LAYERS, cache=kept)
    before = model.runs
    runs = [scratch(tmp_path / "run", given, 0.5)]
    result = fig9(model, given, layers=LAYERS, cache=kept, scratch=runs)
    assert model.runs <= before + 1, "what Table 7 measured was measured again"
    assert [row["pictures of each class"] for row in result.rows] == [1, 2, 5, 10, 20]
    assert result.rows[-1]["trained, answer %"] > 95 and result.rows[-1]["pixels %"] < 75
    few, tenfold, from_scratch = result.claims
    assert tenfold.holds is True and "With 2 of each class" in tenfold.found
    assert from_scratch.holds is True and "From scratch on 20 pictures of each class 50.0%" in from_scratch.found
    assert few.holds is not False and "10: " in few.found and "20: " not in few.found
    assert result.tables["Trained from scratch"][0]["test %"] == 50.0
    assert result.tensors["accuracy.answer"].shape == (5, 3) and result.tensors["counts"].tolist() == [1, 2, 5, 10, 20]
    assert not [*kept.folder.glob("transfer-*/")] or all(path.is_file() for path in kept.folder.glob("transfer-*"))
    assert len(fig9(model, given, layers=LAYERS, cache=kept).claims) == 2
    with pytest.raises(ValueError, match="is of other pictures"):
        fig9(model, sets(19), layers=LAYERS, cache=kept, scratch=runs)


def scratch(folder: Path, given: Sets, accuracy: float) -> Path:
    """A finished run."""
    folder.mkdir()
    config = {"model": "zfnet", "weights": None, "data": {"fingerprint": given.fingerprint, "title": given.title}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "result.json").write_text(json.dumps({"test": accuracy}))
    return folder


def test_what_they_draw(kept: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    results = [figure(Same(), sets(), layers=LAYERS, cache=kept) for figure in (table7, fig9)]
    monkeypatch.setattr("zfcuda.paper.plots.can_plot", lambda: False)
    assert not table7(Same(), sets(), layers=LAYERS, cache=kept).pictures
    pytest.importorskip("matplotlib")
    assert all(result.pictures[""].width >= 900 for result in results)


def test_pictures_without_classes(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    for figure in (table7, fig9):
        with pytest.raises(NotApplicableError, match="pictures: expected some to train on, with classes: data: "):
            figure(Same(), str(tmp_path))


def test_a_layer_that_is_not_there(kept: Cache) -> None:
    with pytest.raises(ValueError, match="layer: Same has no layer 'fc7'"):
        table7(Same(), sets(), layers=("fc7",), cache=kept)


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zfcuda.features.embed.find_spec", lambda name: None)
    for figure in (table7, fig9):
        with pytest.raises(ImportError, match=r"expected scikit-learn, .* pip install zfcuda\[features\]"):
            figure(Same(), sets())


def test_parts_by_default_of_a_seed_that_nobody_learnt_from(kept: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "_PARTS", 24)
    monkeypatch.setattr(measured, "_DRAWS", 1)
    model = nn.Sequential(nn.Conv2d(3, 2, 9, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(8, 12))
    model.preprocess = zfcuda.Preprocess(32, 32)
    model.classes = list(Parts().classes)
    gallery = Gallery(model)
    setting = Setting(gallery, "", "parts", kept, Path("nowhere")).of(FIGURE, {"most": 1})
    result = FIGURE.run(setting)
    assert result.notes[0] == "parts of seed 2: 12 training, 12 validation, 12 test pictures of 12 classes."
    assert "on other pictures of them" in result.notes[1] and len(result.claims) == 1, "one layer has no depth"
    with pytest.raises(ValueError, match="--most: expected at least 0, got -1"):
        FIGURE.run(setting.of(FIGURE, {"most": -1}))
