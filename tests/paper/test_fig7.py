"""Figure 7: a network that looks at one square of each picture, and questions whose answers are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from zfcuda import Preprocess
from zfcuda.data import Parts
from zfcuda.network import evaluating
from zfcuda.paper.cache import Cache
from zfcuda.paper.fig7 import fig7
from zfcuda.paper.figure import NotApplicableError
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.occluder.cases import chosen, given
from zfcuda.paper.occluder.experiment import Occluder, grey
from zfcuda.paper.occluder.panels import panels, part_of
from zfcuda.paper.occluder.questions import agreement, answers, claims, rows
from zfcuda.paper.occluder.watched import projected, watched


class RedOrNot(nn.Sequential):
    """Says "red" (class 1) where a patch of 2 x 2 red pixels is somewhere, by its maximum; else "nothing"."""

    def __init__(self) -> None:
        conv = nn.Conv2d(3, 2, 2, bias=True)
        super().__init__(conv, nn.ReLU(), nn.MaxPool2d(2), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(2, 2))
        linear = self[-1]
        assert isinstance(linear, nn.Linear)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.zero_()
            conv.weight[1] = torch.tensor([0.25, -0.125, -0.125])[:, None, None]  # how red it is; grey is not
            conv.weight[0, 2] = 0.001  # a map that is nearly silent
            linear.weight[1, 1], linear.bias[0] = 20.0, 5.0
        self.classes = ["nothing", "red thing"]
        self.preprocess = Preprocess(size=24, short_side=24, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def squares(*corners: tuple[int, int]) -> Tensor:
    """Pictures [N,3,24,24], black, each with a red square of 6 x 6 pixels."""
    images = torch.zeros(len(corners), 3, 24, 24)
    for image, (y, x) in zip(images, corners, strict=True):
        image[0, y : y + 6, x : x + 6] = 1.0
    return images


def measured(probability: Any, label: Any, **more: Any) -> dict[str, Tensor]:
    """What a picture of 4 x 8 pixels gave with occluders of 2 x 2 pixels in steps of 2."""
    origins = torch.stack(torch.meshgrid(torch.arange(0, 4, 2), torch.arange(0, 8, 2), indexing="ij"), -1)
    found = {"probability": torch.tensor(probability), "label": torch.tensor(label), "origins": origins}
    single = {"window": torch.tensor(2), "target": torch.tensor(1), "base": torch.tensor(0.9)}
    return found | single | {name: torch.tensor(value) for name, value in more.items()}


def test_the_square_is_what_matters() -> None:
    model = RedOrNot().train()
    result = fig7(model, squares((3, 4), (12, 14), (2, 16), (15, 3)), count=4, window=8, stride=4)
    assert model.training
    assert [row["class"] for row in result.rows] == ["red thing"] * 3 and not any(row["known"] for row in result.rows)
    for place, (row, (y, x)) in enumerate(zip(result.rows, _places(result.rows), strict=True)):
        top, left = (int(str(row[side]).split()[0]) for side in ("rows", "columns"))
        assert top < y + 6 and top + 8 > y and left < x + 6 and left + 8 > x
        assert row["map"] == 1 and row["least activity"] < row["activity"] == pytest.approx(
            25 + 2 * 10 * 0.5 + 4 * 0.25
        )
        energy = result.tensors[f"{place}.projection"].square().sum(0)
        assert energy.sum() > 0 and energy[y : y + 6, x : x + 6].sum() == energy.sum()
        assert len(result.tensors[f"{place}.others"]) == 3
    assert result.claims[-1].holds and "0 %" not in result.claims[-1].found
    assert result.claims[0].holds is None  # it is not known where the objects are
    assert set(result.pictures) == {"", "pictures"}  # these may be photographs
    assert result.pictures[""].width < result.pictures["pictures"].width <= 1200


def _places(found: Any) -> list[tuple[int, int]]:
    corners = [(3, 4), (12, 14), (2, 16), (15, 3)]
    return [corners[int("".join(filter(str.isdigit, row["picture"])))] for row in found]


def test_the_panels_of_one_picture() -> None:
    gallery = Gallery(RedOrNot(), squares((4, 4)))
    one = panels(given(gallery, [0])[0], Occluder(8, 4))
    assert one.map.probability[one.map.worst] < 0.1 < 0.9 < one.map.base_probability
    assert one.watched.layer == "1" and one.part is None
    # Before the first pooling the deconvnet draws the same filter, whatever the picture.
    assert one.projection is not None and one.projection.guided and one.projection.box == (4, 4, 6, 6)


def test_grey_is_grey_to_the_network() -> None:
    model = RedOrNot()
    model.preprocess = Preprocess(size=24, short_side=24, mean=(0.1, 0.2, 0.3), std=(0.5, 0.5, 0.5))
    gallery = Gallery(model, (Parts(size=32), 2))
    found = grey(gallery, gallery.image(0))
    assert isinstance(found, Tensor)
    assert found[:, 5, 7].tolist() == pytest.approx([(128 / 255 - mean) / 0.5 for mean in (0.1, 0.2, 0.3)], abs=1e-5)
    model.preprocess = None  # type: ignore[assignment]
    assert grey(Gallery(model, squares((0, 0))), torch.zeros(1, 3, 24, 24)) == 0.0


def test_pictures_of_ones_own_are_of_the_class_of_their_folder(tmp_path: Path) -> None:
    for folder in ("Red_thing", "elsewhere"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (24, 24)).save(tmp_path / folder / "black.png")
    gallery = Gallery(RedOrNot(), squares((3, 4)))
    files = [tmp_path / folder / "black.png" for folder in ("Red_thing", "elsewhere")]
    found = given(gallery, files)
    assert [(case.target, case.known) for case in found] == [(1, True), (0, False)]
    result = fig7(RedOrNot(), squares((3, 4), (12, 14)), shown=files, count=0, window=8, stride=8)
    assert [row["class"] for row in result.rows] == ["red thing", "nothing"] and not result.claims
    with pytest.raises(ValueError, match="shown: expected numbers from 0 to 0, got 1"):
        given(gallery, [1])


def test_only_pictures_that_are_answered_rightly_are_counted(tmp_path: Path) -> None:
    for number in range(3):
        for folder, colour in (("red_thing", (255, 0, 0)), ("nothing", (255, 0, 0)), ("other", (255, 0, 0))):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.new("RGB", (24, 24), colour).save(tmp_path / folder / f"{number}.png")
    gallery = Gallery(RedOrNot(), tmp_path)
    gallery.classes = ["nothing", "red_thing"]
    found = chosen(gallery, 5)
    assert len(found) == 3 and all(case.known and gallery.label(case.index) == case.target == 1 for case in found)
    assert [case.index for case in chosen(gallery, 2, seed=1)] == [case.index for case in chosen(gallery, 5, seed=1)][
        :2
    ]


def test_parts_are_found_again_in_the_image() -> None:
    model = RedOrNot()
    gallery = Gallery(model, (Parts(size=32), 3))
    case = given(gallery, [1])[0]
    part, drawn = part_of(case), Parts(size=32)[1].part_mask
    assert part is not None and part.shape == (24, 24)
    assert abs(float(part.float().mean()) - drawn.mean()) < 0.02
    result = fig7(model, gallery, count=2, shown=[0, 1], window=8, stride=8, cache=Cache())
    assert set(result.pictures) == {""} and len(result.claims) in (2, 4)


def test_answers_in_numbers() -> None:
    part = torch.zeros(4, 8, dtype=torch.bool)
    part[0:2, 1:4] = True  # half of the first window, all of the second
    found = measured([[0.5, 0.1, 0.9, 0.9], [0.9] * 4], [[1, 0, 1, 1], [1, 1, 1, 0]])
    said = answers(found, part)
    assert said["on"] == pytest.approx(0.3) and said["beside"] == pytest.approx(0.9)
    assert said["most"] == pytest.approx(0.1) and said["hit"] == 1.0 and said["chance"] == 0.25
    assert said["other_on"] == 0.5 and said["other_beside"] == pytest.approx(1 / 6)
    assert said["base"] == pytest.approx(0.9) and said["worst"] == pytest.approx(0.1) and said["other"] == 0.25
    assert "on" not in answers(found, None)
    assert "on" not in answers(found, torch.ones(4, 8, dtype=torch.bool))  # nothing is beside it


def test_what_the_numbers_deny_does_not_hold() -> None:
    part = torch.zeros(4, 8, dtype=torch.bool)
    part[0:2, 0:2] = True
    falls = measured([[0.1, 0.9, 0.9, 0.9], [0.9] * 4], [[0, 1, 1, 1], [1] * 4])
    rises = measured([[0.95, 0.9, 0.2, 0.9], [0.9] * 4], [[1, 1, 0, 1], [1] * 4])
    holds = [claim.holds for claim in claims([answers(falls, part)] * 5)]
    assert holds == [True, True, True, None]
    assert [claim.holds for claim in claims([answers(rises, part)] * 5)] == [False, False, False, None]
    mixed = claims([answers(falls, part), answers(rises, part)])
    assert mixed[0].holds is None  # the interval holds both answers
    table = rows([answers(falls, part)] * 5)
    assert {row["pictures"] for row in table} == {5} and table[0]["mean"] == pytest.approx(0.9)


def test_a_projection_is_held_against_those_of_others() -> None:
    def one(place: int, energy: int) -> dict[str, Tensor]:
        activity, under = np.full(8, 5.0, np.float32), np.zeros(8, np.float32)
        activity[place], under[energy] = 1.0, 1.0
        return measured([[0.9] * 4] * 2, [[1] * 4] * 2, activity=activity.reshape(2, 4), energy=under.reshape(2, 4))

    right, wrong = [one(place, place) for place in range(4)], [one(place, (place + 1) % 4) for place in range(4)]
    assert all(each["own"] == pytest.approx(1) and each["shuffled"] < 0.1 for each in agreement(right))
    assert claims([answers(each, None) | more for each, more in zip(right, agreement(right), strict=True)])[-1].holds
    denied = [answers(each, None) | more for each, more in zip(wrong, agreement(wrong), strict=True)]
    assert claims(denied)[-1].holds is False
    assert agreement(right[:1]) == [{}]
    without = measured([[0.9] * 4] * 2, [[1] * 4] * 2, activity=[[1.0] * 4] * 2)
    assert agreement([*right, without])[-1] == {} and agreement([*right, without])[:-1] == agreement(right)


def test_the_map_is_the_rectified_one() -> None:
    conv = nn.Conv2d(1, 2, 1, bias=False)
    with torch.no_grad():
        conv.weight[:, 0, 0, 0] = torch.tensor([1.0, -3.0])
    image = torch.zeros(1, 1, 3, 3)
    image[0, 0, 1, 2] = 2.0
    for rectifier in (nn.ReLU(), nn.ReLU6()):
        model = nn.Sequential(conv, nn.BatchNorm2d(2), rectifier, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        with evaluating(model):
            found = watched(model, image)
        assert (found.layer, found.unit, found.place) == ("2", 0, (1, 2))
        assert found.activity == pytest.approx(2.0, rel=1e-4)
    with pytest.raises(NotApplicableError, match="no convolution 'x'; it has 0"):
        watched(model, image, "x")
    with pytest.raises(NotApplicableError, match="no convolution"):
        watched(nn.Sequential(nn.Flatten(), nn.Linear(9, 2)), image)


def test_a_map_at_its_ceiling_is_projected_from_below_it() -> None:
    """ReLU6 lets nothing back from where it gives 6, and says not where most went in."""
    conv = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.ones_(conv.weight)
    image = torch.zeros(1, 1, 3, 3)
    image[0, 0, 0, 1], image[0, 0, 2, 2] = 7.0, 9.0
    model = nn.Sequential(conv, nn.BatchNorm2d(1), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with evaluating(model):
        found = watched(model, image)
        signal, refusal = projected(model, image, found.source, found.unit, found.place)
        lost, _ = projected(model, image, found.layer, found.unit, found.place)
    assert (found.layer, found.source, found.place) == ("2", "1", (2, 2)) and found.activity == pytest.approx(12)
    assert signal is not None and not refusal and lost is not None
    assert signal.signal[0].nonzero().tolist() == [[2, 2]] and not lost.signal.any()


def test_measurements_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = squares((3, 4), (12, 14), (2, 16))
    first = fig7(RedOrNot(), images, count=3, shown=[0], window=8, stride=8, cache=Cache(tmp_path))
    monkeypatch.setattr("zfcuda.paper.occluder.experiment.projected", None)  # not called again
    again = fig7(RedOrNot(), images, count=3, shown=[0], window=8, stride=8, cache=Cache(tmp_path))
    assert again.tables == first.tables and again.claims == first.claims


@pytest.mark.parametrize(("argument", "value"), [("count", -1), ("window", 0), ("stride", 0)])
def test_bad_numbers(argument: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{argument}: expected at least"):
        fig7(RedOrNot(), squares((3, 4)), **{argument: value})
