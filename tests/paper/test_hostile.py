"""Hostile networks, pictures, options and folders: a clear word, a figure that is left out, or a right answer."""

from __future__ import annotations

import gc
import json
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.paper import planted_runs, small, two_layers
from zfcuda import Preprocess, cli
from zfcuda.data import Parts
from zfcuda.paper.attributes import attributes
from zfcuda.paper.cache import Cache
from zfcuda.paper.correspondence import correspondence
from zfcuda.paper.evolution.history import history
from zfcuda.paper.excitation.claims import of_truth
from zfcuda.paper.fig1 import fig1
from zfcuda.paper.fig5 import fig5
from zfcuda.paper.fig7 import fig7
from zfcuda.paper.figure import NotApplicableError, Setting
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.localisation import FIGURE, localisation
from zfcuda.paper.result import Result
from zfcuda.paper.table1 import table1
from zfcuda.paper.table2 import table2
from zfcuda.paper.trainings import training
from zfcuda.paper.written import written

PARTS = (Parts(seed=5, size=32), 8)


def network(*, last: int = 12, between: nn.Module | None = None) -> nn.Module:
    """Two convolutions that read squares of 32."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 5, 2),
        between or nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(200, last),
    )
    return carrying(model.eval())


def carrying(model: nn.Module) -> nn.Module:
    model.preprocess, model.classes = Preprocess(32, 32), list(Parts.classes)
    return model


@pytest.mark.parametrize("figure", [fig1, fig5, correspondence, attributes])
def test_a_network_that_gives_no_numbers_is_refused(figure) -> None:  # type: ignore[no-untyped-def]
    model = network()
    with torch.no_grad():
        model[0].weight.fill_(float("nan"))
    with pytest.raises((ValueError, NotApplicableError), match=r"model: what .* gives holds NaN or infinity"):
        figure(model, PARTS, **({"count": 2} if figure is not fig1 else {}))


def test_scores_that_are_no_numbers_are_refused() -> None:
    model = network()
    with torch.no_grad():
        model[6].bias[0] = float("inf")
    for figure in (fig5, attributes):
        with pytest.raises(NotApplicableError, match="what its output gives holds"):
            figure(model, PARTS, count=2)


def test_nothing_to_compare_leaves_table_1_out() -> None:
    with pytest.raises(NotApplicableError, match="no layer with weights behind another"):
        table1(carrying(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 12))), PARTS)


def test_localisation_leaves_out_what_the_network_does_not_suit() -> None:
    found = localisation(network(between=nn.Tanh()), PARTS, methods=("deconvnet", "gradcam"), count=2, tuned_on=2)
    names = {row["box"] for row in found.rows}
    assert "deconvnet" not in names and "gradcam" in names
    [note] = [note for note in found.notes if note.startswith("Without deconvnet: ")]
    assert "Tanh" in note
    with pytest.raises(NotApplicableError, match="Without gradcam: "):
        localisation(
            carrying(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 12))),
            PARTS,
            methods="gradcam",
            count=2,
            tuned_on=2,
        )


def test_the_command_shares_few_pictures_out(tmp_path: Path) -> None:
    of_four = Gallery(network(), (PARTS[0], 5))
    setting = Setting(of_four, "N", "parts", Cache(tmp_path), tmp_path, options={"methods": "gradcam", "count": 60})
    assert FIGURE.run(setting).rows[0]["pictures"] == 3
    with pytest.raises(NotApplicableError, match="expected at least 4, got 3"):
        FIGURE.run(replace(setting, gallery=Gallery(network(), (PARTS[0], 3))))


def test_localisation_tells_whose_class_it_is() -> None:
    model = network(last=3)
    known = localisation(network(), PARTS, methods="gradcam", count=2, tuned_on=2)
    model.classes = ["x", "y", "z"]
    unknown = localisation(model, PARTS, methods="gradcam", count=2, tuned_on=2)
    assert any("The class is the true one" in note for note in known.notes)
    assert any("The class is the one that the network answers" in note for note in unknown.notes)


def test_pictures_of_which_none_is_answered_leave_figure_7_out(tmp_path: Path) -> None:
    for name in Parts.classes[:2]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "broken.png").write_bytes(b"no picture")
    with pytest.raises(NotApplicableError, match="pictures: "):
        fig7(network(), tmp_path)


def test_numbers_and_files_to_show_are_not_mixed() -> None:
    with pytest.raises(ValueError, match="shown: expected numbers of pictures, or pictures, got both"):
        fig7(network(), PARTS, shown=[0, "a.png"], count=0)


def test_a_part_that_no_patch_could_be_on() -> None:
    row = {"layer": "conv1", "middle on the part": None, "middle on the part, 95 %": None, "part, at random": None}
    [claim] = of_truth([row])
    assert claim.holds is None and "None" not in claim.found


def test_json_of_what_is_no_number(tmp_path: Path) -> None:
    rows = [{"a": float("nan"), "b": [1.5, float("-inf")], "c": 2}]
    written(tmp_path, "fig1", Result(tables={"T": rows}), {"seconds": 1})
    text = (tmp_path / "fig1.json").read_text()
    known = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert known["tables"]["T"] == [{"a": None, "b": [1.5, None], "c": 2}]


def test_a_cache_of_its_own_ends_without_a_word() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache = Cache()
        folder = cache.folder
        assert folder.is_dir()
        del cache
        gc.collect()
    assert not folder.exists()


def test_more_pictures_than_can_be_numbered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small.planted(monkeypatch, {"fig1": lambda setting: small.result()})
    monkeypatch.chdir(tmp_path)
    assert cli.main(["paper", "fig1", "--pictures", "999999999999", "--out", "out"]) == 2
    assert "--pictures: expected at most 1,000,000 drawn ones" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("result.json", "{}"),
        ("result.json", '{"epoch": 99}'),
        ("log.jsonl", ""),
        ("log.jsonl", '{"epoch": 2}\n'),
        ("log.jsonl", '{"epoch": 2, "validation_top1": null, "validation_top5": 1, "seconds": 1}\n'),
    ],
)
def test_a_run_whose_files_are_damaged_is_named(tmp_path: Path, file: str, text: str) -> None:
    data = str(planted_runs.pictures(tmp_path / "data"))
    for name in ("alexnet_one_tower", "zfnet"):
        planted_runs.plant(training(data, name, 0), tmp_path, [0.0, 1.0, 0.0])
    (tmp_path / "data-zfnet-0" / file).write_text(text)
    with pytest.raises(ValueError, match=r"runs: .*data-zfnet-0.*missing or damaged"):
        table2(data, runs=tmp_path, seeds=[0])


def test_a_training_that_diverged_is_no_history(tmp_path: Path) -> None:
    diverged = two_layers.two()
    with torch.no_grad():
        diverged[3].weight.fill_(float("nan"))
    run = two_layers.plant(tmp_path / "run", {1: two_layers.two(), 2: diverged})
    with pytest.raises(ValueError, match=r"run: .*epoch-0002.safetensors holds NaN or infinity"):
        history(run)


@pytest.mark.parametrize("changed", [{"model": 5}, {"data": ["title", "classes"]}, {"data": None}])
def test_a_config_of_something_else_is_no_training(tmp_path: Path, changed: dict[str, object]) -> None:
    run = two_layers.plant(tmp_path / "run", {1: two_layers.two(), 2: two_layers.two()})
    known = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**known, **changed}))
    with pytest.raises(ValueError, match="run: expected the folder of a training"):
        history(run)
