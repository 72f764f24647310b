"""Figure 4 of a training whose course is planted."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from tests.paper.two_layers import CLASSES, SIDE, between, initial, plant, two
from zfcuda.paper import fig4, plots
from zfcuda.paper.evolution.history import history
from zfcuda.paper.trainings import MissingRunsError

PICTURES = [
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)) for seed in range(8)
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The first layer has learned after an epoch, the last only in the end."""
    torch.manual_seed(0)
    start, end = initial(), two()
    shares = {1: {"0": 1.0, "3": 0.5, "6": 0.0}, 2: {"0": 1.0, "3": 1.0, "6": 0.0}, 4: {"0": 1.0, "3": 1.0, "6": 1.0}}
    models = {epoch: between(start, end, each) for epoch, each in shares.items()}
    return plant(tmp_path_factory.mktemp("runs") / "run", models)


def test_the_initial_network_is_drawn_anew(run):
    past = history(run)
    assert past.epochs == [1, 2, 4]
    assert past.why == ""
    for name, value in initial().state_dict().items():
        torch.testing.assert_close(past.initial.state_dict()[name], value, rtol=0, atol=0)


def test_the_caller_s_dice_are_left_alone(run):
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    history(run)
    torch.testing.assert_close(torch.rand(3), wanted, rtol=0, atol=0)


def test_the_course_of_each_layer(run):
    result = fig4(run, PICTURES, units=3)
    assert [row["layer"] for row in result.rows] == ["0", "3", "6"]
    assert [row["mean cosine above 0.9 from epoch"] for row in result.rows] == [1, 2, 4]
    half = [row["half of the way of the weights by epoch"] for row in result.rows]
    assert half == pytest.approx([0.5, 1, 3], abs=1e-3)
    course = {(row["layer"], row["epoch"]): row for row in result.tables["Each layer at each epoch"]}
    assert course["3", 1]["share of the way of the weights to go"] == 0.5
    assert course["6", 2]["likeness of the codes to the last"] < 1
    assert course["3", 2]["likeness of the codes to the last"] == 1
    assert result.tensors["0.values"].shape == (3, 6, 1)
    assert result.tensors["3.cosines"].shape == (4, 8)
    assert {"", "patches"} <= set(result.pictures)
    assert "patches" not in result.free
    # Three layers are too few to tell a trend from chance.
    assert result.claims[0].holds is None


def test_the_projection_is_of_the_strongest_picture(run):
    result = fig4(run, PICTURES, units=2)
    images = torch.stack([history(run).models[-1].preprocess(each)[0] for each in PICTURES])
    for place, model in enumerate(history(run).models):
        with torch.no_grad():
            maps = model[:2](images).amax((2, 3))
        torch.testing.assert_close(result.tensors["0.values"][place, :, 0], maps.amax(0))
        alive = maps.amax(0) > 0
        assert result.tensors["0.indices"][place, alive, 0].tolist() == maps.argmax(0)[alive].tolist()


def test_the_same_seed_draws_the_same_units(run):
    first, second, other = (fig4(run, PICTURES, units=1, seed=seed).tensors["3.units"].tolist() for seed in (0, 0, 4))
    assert first == second != other


def test_curves_need_matplotlib_and_nothing_else_does(run, monkeypatch):
    monkeypatch.setattr(plots, "find_spec", lambda name: None)
    assert set(fig4(run, PICTURES, units=1).pictures) == {"", "patches"}


def test_curves_are_drawn(run):
    pytest.importorskip("matplotlib")
    assert "convergence" in fig4(run, PICTURES, units=1).pictures


def test_a_run_that_began_from_weights_has_no_known_start(run, tmp_path):
    torch.manual_seed(0)
    models = {1: two(), 2: two()}
    result = fig4(plant(tmp_path / "run", models, weights="other.safetensors"), PICTURES, units=1)
    assert any("initial weights are not known" in note for note in result.notes)
    assert {row["epoch"] for row in result.tables["Each layer at each epoch"]} == {1, 2}


def test_a_run_without_snapshots_is_refused_with_the_command(run, tmp_path):
    folder = plant(tmp_path / "run", {1: two()})
    with pytest.raises(MissingRunsError, match="zfcuda train DATA --out RUN --snapshots 1,2,5,10,20,30,40,64"):
        fig4(folder, PICTURES)


def test_what_is_no_run_is_refused(run, tmp_path):
    with pytest.raises(ValueError, match="run: expected the folder of a training"):
        fig4(tmp_path, PICTURES)
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "config.json").write_text(json.dumps({"model": "zfnet"}))
    with pytest.raises(ValueError, match="run: expected the folder of a training"):
        fig4(tmp_path / "run", PICTURES)


@pytest.mark.parametrize(("name", "value"), [("units", 0), ("count", 0)])
def test_numbers_are_checked(run, name, value):
    with pytest.raises(ValueError, match=f"{name}: expected at least 1, got {value}"):
        fig4(run, PICTURES, **{name: value})


def test_three_pictures_are_too_few(run):
    with pytest.raises(ValueError, match="pictures: expected at least 4"):
        fig4(run, PICTURES[:3])


def test_classes_of_the_network_are_its_own(run):
    assert list(history(run).models[0].classes) == CLASSES
