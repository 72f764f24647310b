"""Tables 2 and 3 of planted trainings, whose errors are known."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.paper.planted_runs import pictures, plant
from zfcuda.paper import table2, table3
from zfcuda.paper.cache import Cache
from zfcuda.paper.error_rates.scored import Answers, averaged
from zfcuda.paper.figure import NotApplicableError, Setting
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.result import Result
from zfcuda.paper.table2 import FIGURE
from zfcuda.paper.trainings import MissingRunsError, training

BLUE, GREEN, RED = (2.0, 0.0, 0.0), (0.0, 2.0, 0.0), (0.0, 0.0, 2.0)  # 5, 3 and 2 of ten pictures are right


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(pictures(tmp_path_factory.mktemp("pictures") / "colours"))


def planted(data: str, runs: Path, answers: dict[str, Any]) -> Path:
    for name, each in answers.items():
        for seed, logits in enumerate(each):
            plant(training(data, name, seed), runs, logits)
    return runs


def table(result: Result, title: str) -> list[Any]:
    return list(result.tables[title])


def test_answers() -> None:
    answers = Answers(torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.3, 0.5]]), torch.tensor([1, 2]))
    assert answers.wrong().tolist() == [True, False]
    assert answers.wrong(2).tolist() == [False, False] and answers.wrong(5).tolist() == [False, False]
    other = Answers(torch.tensor([[0.0, 0.9, 0.1], [0.6, 0.4, 0.0]]), answers.labels)
    mean = averaged([answers, other])
    assert torch.allclose(mean.probabilities, torch.tensor([[0.3, 0.6, 0.1], [0.4, 0.35, 0.25]]))
    assert answers.probabilities[0, 0] == 0.6, "the first was changed"


def test_table2(data: str, tmp_path: Path) -> None:
    old, new = [GREEN, RED], [BLUE, (0.0, 1.0, 0.0)]
    runs = planted(data, tmp_path / "runs", {"alexnet_one_tower": old, "zfnet": new})
    result = table2(data, runs=runs, seeds=(0, 1), cache=Cache(tmp_path / "cache"))
    first, second = table(result, "Error rates")
    assert (first["test error %"], second["test error %"]) == (75, 60)  # (70 + 80) / 2, (50 + 70) / 2
    assert first["test deviation"] == pytest.approx(50**0.5, abs=0.01) and first["validation error %"] == 75
    assert second["paper, top-1 %"] == 38.4 and second["test top-5 error %"] is None
    change = table(result, "ZFNet's errors less AlexNet's")[1]
    assert change["points"] == -15 and change["over trainings, 95 %"][0] == pytest.approx(-15 - 12.706 * 5, abs=0.01)
    assert result.claims[0].holds is None and "60.0 % against 75.0 %" in result.claims[0].found
    # Of both ZFNets the first one is surer, and the mean of them says blue.
    blue = math.exp(2) / (math.exp(2) + 2) + 1 / (math.e + 2)
    assert blue > math.e / (math.e + 2) + 1 / (math.exp(2) + 2)
    averages = table(result, "Averaged on test")
    assert averages[1]["networks"] == "2 x ZFNet" and averages[1]["test error %"] == 50
    assert (
        result.tensors["test.zfnet"].shape == (2, 10, 3)
        and result.tensors["labels"].tolist() == [0] * 5 + [1] * 3 + [2] * 2
    )
    cost = table(result, "What a network takes")
    assert [row["network"] for row in cost] == ["alexnet_one_tower", "zfnet"] and cost[1]["multiply-adds an image"] > 0
    each = table(result, "Each training")
    assert [(row["seed"], row["test error %"]) for row in each] == [(0, 70), (1, 80), (0, 50), (1, 70)]
    assert each[0]["epoch kept"] == 2 and each[0]["minutes"] == 3
    assert any("Without wide ZFNet" in note and "--model zfnet_wide" in note for note in result.notes)


def test_a_difference_that_is_sure_and_averages_with_the_wide_one(data: str, tmp_path: Path) -> None:
    answers = {"alexnet_one_tower": [RED] * 3, "zfnet": [BLUE] * 3, "zfnet_wide": [BLUE] * 3}
    result = table2(data, runs=planted(data, tmp_path, answers))
    assert "-30.0 points (95 %: -30.0 to -30.0 over 3 trainings" in result.claims[0].found
    assert [claim.holds for claim in result.claims[1:]] == [None, None]
    assert table(result, "Averaged on test")[2]["networks"] == "3 x ZFNet and 3 x wide ZFNet"


def test_table3(data: str, tmp_path: Path) -> None:
    answers = {
        "zfnet": [BLUE, BLUE],
        "zfnet_without_3_4": [BLUE, GREEN],
        "zfnet_without_6_7": [GREEN, BLUE],
        "zfnet_without_3_4_6_7": [RED, RED],
        "zfnet_wide": [GREEN, GREEN],
    }
    result = table3(data, runs=planted(data, tmp_path, answers), seeds=(0, 1))
    assert [row["test error %"] for row in result.rows] == [50, 60, 60, 80, 70]
    assert result.rows[1]["paper, validation %"] == 45.4
    changes = {
        (row["network"], row["pictures"]): row["points"]
        for row in table(result, "Errors less those of the whole network")
    }
    assert changes["without layers 3, 4", "test"] == 10 and changes["wider layers 3, 4, 5", "training"] == 20
    depth, wider = result.claims
    assert "Without layers 3, 4 +10.0 points on test, without 6, 7 +10.0, without all four +30.0" in depth.found
    assert "beyond the sum of the two +10.0 points" in depth.found and wider.holds is None
    alone = table3(data, runs=tmp_path, seeds=(0, 1), variants=("zfnet_wide",))
    assert len(alone.rows) == 2 and len(alone.claims) == 1


def test_what_is_missing_and_what_is_refused(data: str, tmp_path: Path) -> None:
    with pytest.raises(MissingRunsError, match="--model zfnet_without_3_4 --seed 1"):
        table3(data, runs=tmp_path, seeds=(1,))
    with pytest.raises(ValueError, match=r"variants: expected some of zfnet, .*, got 'zfnet_deep'"):
        table3(data, runs=tmp_path, variants=("zfnet_deep",))
    with pytest.raises(ValueError, match="variants: expected at least one"):
        table3(data, runs=tmp_path, variants=())
    for figure in (table2, table3):
        with pytest.raises(ValueError, match="seeds: expected at least one, got none"):
            figure(data, runs=tmp_path, seeds=())
    plant(training(data, "alexnet_one_tower", 0), tmp_path, RED)
    plant(training(data, "zfnet", 0), tmp_path, RED, batch=32)
    with pytest.raises(ValueError, match="zfnet-0: expected one recipe for all, got batch 32, where another has 64"):
        table2(data, runs=tmp_path, seeds=(0,))


def test_runs_of_other_pictures_are_refused(data: str, tmp_path: Path) -> None:
    planted(data, tmp_path / "runs", {"alexnet_one_tower": [RED], "zfnet": [RED]})
    other = pictures(tmp_path / "colours", (2, 2, 2))
    with pytest.raises(ValueError, match="pictures"):
        table2(str(other), runs=tmp_path / "runs", seeds=(0,))


def test_without_pictures_to_test_on(tmp_path: Path) -> None:
    root = pictures(tmp_path / "colours")
    (root / "test").rename(tmp_path / "aside")
    planted(str(root), tmp_path / "runs", {"alexnet_one_tower": [RED], "zfnet": [RED]})
    with pytest.raises(NotApplicableError, match="expected pictures to test on, got none"):
        table2(str(root), runs=tmp_path / "runs", seeds=(0,))


def test_what_it_draws(data: str, tmp_path: Path) -> None:
    runs = planted(data, tmp_path, {"alexnet_one_tower": [RED], "zfnet": [BLUE], "zfnet_wide": [BLUE]})
    results = [table2(data, runs=runs, seeds=(0,)), table3(data, runs=runs, seeds=(0,), variants=("zfnet_wide",))]
    assert [claim.holds for result in results for claim in result.claims] == [None, None]
    pytest.importorskip("matplotlib")
    assert all(result.pictures[""].width >= 900 for result in results)


def test_without_matplotlib_there_is_no_picture(data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zfcuda.paper.plots.can_plot", lambda: False)
    runs = planted(data, tmp_path, {"alexnet_one_tower": [RED], "zfnet": [BLUE]})
    result = table2(data, runs=runs, seeds=(0,))
    assert not result.pictures and result.rows


def test_the_seeds_of_the_command(data: str, tmp_path: Path) -> None:
    runs = planted(data, tmp_path / "runs", {"alexnet_one_tower": [RED, RED], "zfnet": [BLUE, BLUE]})
    gallery = Gallery(torch.nn.Conv2d(3, 2, 1), torch.zeros(1, 3, 4, 4))
    setting = Setting(gallery, "", data, Cache(tmp_path / "cache"), runs)
    assert FIGURE.run(setting.of(FIGURE, {"seeds": "1, 0"})).rows[0]["trainings"] == 2
    with pytest.raises(MissingRunsError):
        FIGURE.run(setting.of(FIGURE, {}))
    with pytest.raises(ValueError, match="--seeds: expected numbers between commas, as in 0,1,2, got 'one'"):
        FIGURE.run(setting.of(FIGURE, {"seeds": "one"}))
