"""Trainings of style networks: broken off and gone on with, finished, refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.train.style.tiny import OPTIONS, Network, make
from zfcuda.synthesis.style_network.network import StyleNetwork
from zfcuda.train.finite import NotFiniteError
from zfcuda.train.style import loop, train_style
from zfcuda.train.style.state import StyleTraining

WEIGHTS = "weights.safetensors"


class Killed(BaseException):
    """Ends a training as a kill does: nobody handles it."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make(tmp_path)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_LOGGED", 4)


def train(folder: Path, out: str, styles: tuple[str, ...] = ("oil", "ink"), **options: Any) -> StyleNetwork:
    files = [folder / f"{style}.png" for style in styles]
    model = options.pop("model", None) or Network()
    return train_style(folder / "photos", files, folder / out, model=model, **{**OPTIONS, **options})


def left(run: Path) -> tuple[dict[str, list[float]], list[dict[str, Any]]]:
    """Every number of the weights, and the log without the seconds."""
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    for row in rows:
        del row["seconds"]
    return {name: value.flatten().tolist() for name, value in load_file(run / WEIGHTS).items()}, rows


def ended_in(step: int, error: BaseException, monkeypatch: pytest.MonkeyPatch, *, before: bool = False) -> None:
    """Lets the training end in a step: in its middle, or before it begins."""
    whole = StyleTraining._learn

    def learn(training: StyleTraining, *given: Any) -> None:
        if training.step == step and before:
            training.whole = True
            raise error
        whole(training, *given)
        if training.step == step:
            raise error

    monkeypatch.setattr(StyleTraining, "_learn", learn)


def test_what_it_leaves(folder: Path) -> None:
    model = Network()
    before = torch.get_rng_state()
    network = train(folder, "run", model=model, command="zfcuda style train ...")
    assert torch.equal(torch.get_rng_state(), before)
    assert (network.styles, network.names, network.width) == (2, ("oil", "ink"), 0.1)
    assert network.facts["step"] == 6 and network.facts["command"] == "zfcuda style train ..."
    rows = left(folder / "run")[1]
    assert [row["step"] for row in rows] == [4, 6] and all(row["loss"] > 0 for row in rows)
    assert [row["epoch"] for row in rows] == [2, 3]  # of two batches of five pictures
    for row in rows:
        parts = row["content"] + 25 * row["style"] + 20 * row["tv"]
        assert row["loss"] == pytest.approx(parts, rel=1e-5)
    result = json.loads((folder / "run" / "result.json").read_text())
    assert result == {"step": 6, **{name: rows[-1][name] for name in ("loss", "content", "style", "tv")}}
    norms = [value for name, value in load_file(folder / "run" / WEIGHTS).items() if name.endswith("norm.bias")]
    assert all(bool(norm.any(1).all()) for norm in norms)  # both styles have learnt


@pytest.mark.parametrize("step", [0, 1, 3, 5])
def test_killed_in_a_step(folder: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    train(folder, "unbroken")
    with monkeypatch.context() as patched:
        ended_in(step, Killed(), patched)
        with pytest.raises(Killed):
            train(folder, "run")
    train(folder, "run")
    assert left(folder / "run") == left(folder / "unbroken")


def test_killed_between_a_checkpoint_and_its_weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(folder, "unbroken")
    save = StyleNetwork.save

    def killed(network: StyleNetwork, path: Any, facts: Any = None) -> None:
        if facts["step"] == 6:
            raise Killed
        save(network, path, facts)

    with monkeypatch.context() as patched:
        patched.setattr(StyleNetwork, "save", killed)
        with pytest.raises(Killed):
            train(folder, "run")
    assert StyleNetwork.load(folder / "run" / WEIGHTS).facts["step"] == 5
    train(folder, "run")
    assert left(folder / "run") == left(folder / "unbroken")


def test_interrupted_between_two_steps(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C saves what is done, however long ago the last checkpoint was."""
    train(folder, "unbroken")
    with monkeypatch.context() as patched:
        ended_in(3, KeyboardInterrupt(), patched, before=True)
        with pytest.raises(KeyboardInterrupt, match="the same command goes on after step 3 of 6"):
            train(folder, "run", save_minutes=60.0)
    train(folder, "run", progress=True)
    assert left(folder / "run") == left(folder / "unbroken")


def test_a_finished_run_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = train(folder, "run")
    ended_in(0, Killed(), monkeypatch)
    again = train(folder, "run", progress=True)
    assert capsys.readouterr().out == f"{folder / 'run'}: this run is finished\n"
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    (folder / "run" / WEIGHTS).unlink()
    with pytest.raises(ValueError, match=r"the run is finished, but its weights\.safetensors is gone"):
        train(folder, "run")


def test_another_run_does_not_go_on_in_its_folder(folder: Path) -> None:
    train(folder, "run")
    with pytest.raises(ValueError, match=r"holds another run: style_weight is 25\.0 there, 5\.0 here"):
        train(folder, "run", style_weight=5.0)
    (folder / "ink.png").write_bytes((folder / "photos" / "1.png").read_bytes())
    with pytest.raises(ValueError, match=r"holds another run: styles\.ink is"):
        train(folder, "run")


def test_the_loss_falls(folder: Path) -> None:
    train(folder, "run", ("oil",), steps=80, rate=0.01, save_minutes=60.0)
    rows = left(folder / "run")[1]
    assert rows[-1]["style"] < rows[0]["style"] / 3 and rows[-1]["loss"] < rows[0]["loss"] / 3


def test_a_loss_that_is_not_finite_ends_it(folder: Path) -> None:
    with pytest.raises(NotFiniteError, match=r"loss: not finite in step \d of 6; the last checkpoint is from before"):
        train(folder, "run", rate=1e20)
    kept = load_file(folder / "run" / WEIGHTS)
    assert all(bool(value.isfinite().all()) for value in kept.values())


def test_a_picture_that_cannot_be_read_is_left_out(folder: Path) -> None:
    (folder / "photos" / "2.png").write_bytes(b"nothing")
    with pytest.warns(UserWarning, match=r"pictures: left out: 2\.png"):
        train(folder, "run")


def test_pictures_that_cannot_be_read_at_all(folder: Path) -> None:
    for file in (folder / "photos").rglob("*.png"):
        file.write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"none of 5 training pictures can be used; 0\.png: not a picture"):
        train(folder, "run")


def test_pictures_of_a_program(folder: Path) -> None:
    """Style pictures in memory, a batch that usually is larger than the folder, names."""
    from tests.train.style.tiny import picture

    options = {name: value for name, value in OPTIONS.items() if name != "batch"} | {"steps": 1}
    for number in range(4):
        (folder / "photos" / f"{number}.png").unlink()
    network = train_style(folder / "photos", [picture(1)], folder / "run", model=Network(), **options)
    assert network.names == ("style 0",)
    config = json.loads((folder / "run" / "config.json").read_text())
    assert config["batch"] == 1 and config["layers"] == {"content": "4", "style": ["1", "4"]}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"steps": 0}, "steps: expected at least 1, got 0"),
        ({"batch": 6}, "batch: expected at most the number of training pictures, 5, got 6"),
        ({"size": 8}, "size: expected at least 16, got 8"),
        ({"style_size": 1}, "style_size: expected at least 16, got 1"),
        ({"width": 0.0}, "width: expected a positive number, got 0.0"),
        ({"rate": float("inf")}, "rate: expected a positive number, got inf"),
        ({"tv": -1}, "tv: expected at least 0, got -1"),
        ({"style_weight": 0}, "style_weight: expected a positive number, got 0"),
        ({"seed": -1}, "seed: expected at least 0, got -1"),
        ({"styles": ()}, "styles: expected at least one picture, got none"),
        ({"styles": ("oil", "oil")}, "names: expected each once, got oil, oil"),
        ({"names": ["a"]}, "names: expected one for each of 2 styles, got 1"),
        ({"style_layers": ["6"]}, "style layer: expected a map [N,K,h,w], got a vector [1,2] from '6'"),
        ({"content_layer": "9"}, "layer: Network has no layer '9'; there are: 0, 1"),
    ],
)
def test_refused_before_the_work(folder: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as raised:
        train(folder, "run", **options)
    assert str(raised.value).startswith(said) and not (folder / "run").exists()


def test_an_option_that_there_is_not(folder: Path) -> None:
    with pytest.raises(TypeError, match="stepz: no such option; did you mean steps"):
        train(folder, "run", stepz=3)


def test_folders_without_pictures(folder: Path) -> None:
    (folder / "empty").mkdir()
    for name, said in (("empty", "no picture in this folder"), ("none", "no such folder"), ("oil.png", "not a folder")):
        with pytest.raises(ValueError, match=f"pictures: {folder / name}: {said}"):
            train_style(folder / name, [folder / "oil.png"], folder / "run", model=Network(), **OPTIONS)
    (folder / "bad.png").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"bad\.png: not a picture"):
        train(folder, "run", ("oil", "bad"))
