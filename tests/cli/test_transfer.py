"""``zfcuda transfer``: what it writes and prints, and what it refuses before the work."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.train.transfer.data import CLASSES
from zfcuda import cli

pytest.importorskip("sklearn")

NETWORK = "tests.train.transfer.data:Network"
COLOURS = dict(zip(CLASSES, ("#d22", "#2c2", "#22d"), strict=True))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of a colour each in three parts of three classes."""
    root = tmp_path_factory.mktemp("colours")
    for part, count in (("train", 4), ("validation", 2), ("test", 2)):
        for name, colour in COLOURS.items():
            (root / part / name).mkdir(parents=True)
            for i in range(count):
                Image.new("RGB", (20 + i, 24), colour).save(root / part / name / f"{part}{i}.png")
    return root


@pytest.fixture
def run(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*words: str, data: Path = folder) -> tuple[int, str, str]:
        given = ["transfer", str(data), "--out", str(tmp_path / "out"), *words]
        code = cli.main([*given, *(() if "--from" in words else ("--from", NETWORK)), "--size", "16"])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_what_it_writes_and_prints(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["zfcuda", "transfer", "photos of mine"])
    code, said, _ = run("--per-class", "1,2", "--folds", "2", "--classifiers", "svm", "--mirror")
    assert code == 0
    found = json.loads((tmp_path / "out" / "transfer.json").read_text())
    assert found["advice"] in said and found["command"] == "zfcuda transfer 'photos of mine'"
    assert found["pictures"] == {"training": 12, "validation": 6, "test": 6} and found["codes"]["mirror"]
    assert [row["test"]["accuracy"] for row in found["by_layer"]] == [1.0, 1.0]
    assert [point["per_class"] for point in found["learning_curves"]] == [1, 2] * 2
    assert "always the most frequent class: 33.3%" in said and str(tmp_path / "out" / "transfer.json") in said
    code, said, _ = run("--per-class", "0", "--classifiers", "svm", "--mirror")
    assert code == 0 and "the network was not run" in said and "a class" not in said


def test_fine_tuning_is_put_beside(run: Any, tmp_path: Path) -> None:
    code, said, error = run("--per-class", "0", "--fine-tune", "1", "--weights", str(_weights(tmp_path)))
    assert code == 0, error
    assert "fine-tuning the last layers" in said and "frozen below pool" in said
    for name, below in (("last", "pool"), ("all", None)):
        config = json.loads((tmp_path / "out" / f"fine-tuned-{name}" / "config.json").read_text())
        assert (config["epochs"], config["freeze_below"], config["model"]) == (1, below, NETWORK)
    ways = [row["way"] for row in json.loads((tmp_path / "out" / "transfer.json").read_text())["cases"][0]["measured"]]
    assert ways == ["last", "earlier", "fine-tune last", "fine-tune all"]
    run_folder = str(tmp_path / "out" / "fine-tuned-all")
    code, said, _ = run("--per-class", "0", "--runs", run_folder, "--classifiers", "softmax")
    assert code == 0 and said.count("fine-tuning all layers") == 1


def _weights(folder: Path) -> Path:
    from safetensors.torch import save_file

    from tests.train.transfer.data import Network

    file = folder / "own.safetensors"
    save_file(Network().state_dict(), file)
    return file


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--layers", "relu7"], "layer: Network has no layer 'relu7'; there are: conv1, relu1"),
        (["--per-class", "1,5"], "per_class: expected at most 4, the training pictures of 'blue', got 5"),
        (["--pool", "big"], "--pool: expected auto, none"),
        (["--folds", "0"], "--folds: expected at least 1, got 0"),
        (["--classifiers", "tree"], "--classifiers: expected some of softmax, svm, got 'tree'"),
        (["--most", "2", "--fine-tune", "3"], "--fine-tune: expected none with --most"),
        (["--fine-tune", "3", "--freeze-below", "fc9"], "--freeze-below: expected a layer of the network, got 'fc9'"),
        (["--freeze-below", "fc"], "--freeze-below: expected --fine-tune"),
        (["--runs", "nowhere"], "runs: nowhere: expected the folder of a finished run"),
        (["--from", "zfnet"], "zfnet needs trained weights"),
        (["--from", "alexnet", "--weights", "{weights}"], "own.safetensors"),
    ],
)
def test_what_it_refuses(run: Any, tmp_path: Path, words: list[str], said: str) -> None:
    weights = str(_weights(tmp_path))
    code, out, error = run(*(word.replace("{weights}", weights) for word in words))
    [line] = [line for line in error.splitlines() if line.startswith("zfcuda: error: ")]
    assert code == 2 and said in line and "by-layer" not in out
    assert not (tmp_path / "out").exists()


def test_one_class_is_refused(run: Any, tmp_path: Path) -> None:
    (tmp_path / "data" / "only").mkdir(parents=True)
    for i in range(4):
        Image.new("RGB", (20, 20), (i, 0, 0)).save(tmp_path / "data" / "only" / f"{i}.png")
    code, _, error = run(data=tmp_path / "data")
    assert code == 2 and "class" in error and len(error.splitlines()) == 1


def test_counts_that_are_none(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["transfer", "a", "--from", "demo", "--per-class", "few"])
    assert "--per-class: expected numbers between commas" in capsys.readouterr().err
