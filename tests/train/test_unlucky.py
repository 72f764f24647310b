"""Files of a run that were lost, damaged or exchanged: each is told, and nothing that is there is overwritten."""

from __future__ import annotations

import hashlib
import shutil
import signal
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.train.sets.trees import tree
from tests.train.tiny import MODEL, OPTIONS, WISE, Tiny
from zfcuda.models.checkpoints.trained import read_trained, save_trained
from zfcuda.train import train
from zfcuda.train.identity import identity
from zfcuda.train.options import Options
from zfcuda.train.recipes import recipe
from zfcuda.train.run_folder import RunFolder
from zfcuda.train.sets import read_sets
from zfcuda.train.teacher import Teacher
from zfcuda.train.weights_files import WeightsFiles


@pytest.fixture
def data(tmp_path: Path) -> Path:
    counts = {"train": 8, "validation": 3, "test": 2}
    return tree(tmp_path / "data", {f"{part}/{kind}": n for part, n in counts.items() for kind in ("cat", "dog")})


@pytest.fixture
def run(data: Path, tmp_path: Path) -> Path:
    """A run that has all but ended."""
    train(data, tmp_path / "run", **OPTIONS)
    (tmp_path / "run" / "result.json").unlink()
    return tmp_path / "run"


def test_lost_best_weights_are_told_before_the_run_goes_on(
    data: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WeightsFiles, "save", lambda *arguments: None)  # it may have been the last epoch that was best
    (run / "weights.safetensors").unlink()
    with pytest.raises(ValueError, match=r"out: .*weights.safetensors.* is gone; put it back"):
        train(data, run, **OPTIONS)


def test_a_damaged_best_is_named_at_the_end(data: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WeightsFiles, "save", lambda *arguments: None)
    with (run / "weights.safetensors").open("r+b") as stream:
        stream.truncate(200)
    with pytest.raises(ValueError, match=r"out: .*weights.safetensors, the best weights, .* put the file back"):
        train(data, run, **OPTIONS)


def test_without_a_whole_checkpoint_nothing_is_overwritten(data: Path, run: Path) -> None:
    before = (run / "weights.safetensors").read_bytes(), (run / "log.jsonl").read_bytes()
    for file in (run / "checkpoints").iterdir():
        file.write_bytes(file.read_bytes()[:-1])
    with (
        pytest.warns(UserWarning, match="checkpoint passed over"),
        pytest.raises(ValueError, match=r"out: .* holds weights.safetensors, but no whole checkpoint"),
    ):
        train(data, run, **OPTIONS)
    assert before == ((run / "weights.safetensors").read_bytes(), (run / "log.jsonl").read_bytes())
    (run / "weights.safetensors").unlink()
    with pytest.warns(UserWarning, match="none of 3 checkpoints is whole: the run begins anew, and 3 epochs"):
        train(data, run, **OPTIONS)


def test_weights_that_a_kill_came_before_are_written_by_the_next_start(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(data, tmp_path / "whole", **OPTIONS)
    write, written = WeightsFiles.save, 0

    def killed(*arguments: Any) -> None:
        nonlocal written
        written += 1
        if written == 1:
            raise KeyboardInterrupt
        write(*arguments)

    monkeypatch.setattr(WeightsFiles, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path / "run", **OPTIONS)
    assert not (tmp_path / "run" / "weights.safetensors").exists()
    train(data, tmp_path / "run", **OPTIONS)
    for name in ("weights", "last"):
        one, other = (load_file(tmp_path / run / f"{name}.safetensors") for run in ("whole", "run"))
        assert all(torch.equal(one[key], value) for key, value in other.items())
    assert read_trained(whole.weights).facts["epoch"] == whole.epoch  # type: ignore[union-attr]


def test_best_weights_of_a_lost_start_are_tested_as_what_they_are(data: Path, run: Path) -> None:
    other = 9
    save_trained(
        run / "weights.safetensors",
        Tiny(),
        network=MODEL,
        options={"num_classes": 2},
        classes=["cat", "dog"],
        preprocess=WISE,
        facts={"epoch": other, "validation": 0.125},
    )
    with pytest.MonkeyPatch.context() as patch, pytest.warns(UserWarning, match=f"is of epoch {other} of another"):
        patch.setattr(WeightsFiles, "save", lambda *arguments: None)
        result = train(data, run, **OPTIONS)
    assert (result.epoch, result.validation) == (other, 0.125)


@pytest.mark.parametrize(("text", "said"), [('{"epoch": 1}', "does not say how the run ended"), ("{", "not that of a")])
def test_a_result_that_is_none(data: Path, run: Path, text: str, said: str) -> None:
    (run / "result.json").write_text(text)
    with pytest.raises(ValueError, match=f"out: .*{said}.*; remove it, and the same command ends the run again"):
        train(data, run, **OPTIONS)
    (run / "result.json").unlink()
    train(data, run, **OPTIONS)
    (run / "weights.safetensors").unlink()
    with pytest.raises(ValueError, match=r"the run is finished, but its weights.safetensors is gone"):
        train(data, run, **OPTIONS)


def test_a_folder_is_let_go_when_the_call_ends(data: Path, tmp_path: Path) -> None:
    import fcntl
    import multiprocessing

    train(data, tmp_path / "run", **OPTIONS | {"epochs": 1})

    def lock() -> None:
        with (tmp_path / "run" / ".lock").open("r+") as stream:
            fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)

    child = multiprocessing.get_context("fork").Process(target=lock)
    child.start()
    child.join(20)
    assert child.exitcode == 0


def test_a_folder_of_pictures_may_get_another_name(data: Path, run: Path) -> None:
    data = data.rename(data.with_name("moved"))
    train(data, run, **OPTIONS)
    (run / "result.json").unlink()
    (data / "train" / "cat" / "0.png").unlink()
    with pytest.raises(ValueError, match=r"data.title is 'moved|data.title is .*16 training.*there, .*15 training"):
        train(data, run, **OPTIONS)


def test_a_run_among_the_classes_is_refused(data: Path, tmp_path: Path) -> None:
    for out in (data / "train" / "run", data / "train"):
        with pytest.raises(ValueError, match="out: expected a folder elsewhere than beside the classes"):
            train(data, out, **OPTIONS)
    assert not (data / "train" / "run").exists() and not (data / "train" / "config.json").exists()
    train(data, data / "run", **OPTIONS | {"epochs": 1})  # is no part


@pytest.mark.parametrize("name", ["checkpoints", "snapshots"])
def test_a_file_in_the_place_of_a_folder(data: Path, run: Path, name: str) -> None:
    shutil.rmtree(run / name, ignore_errors=True)
    (run / name).write_text("")
    with pytest.raises(ValueError, match=f"out: expected a folder, got a file, .*{name}"):
        train(data, run, **OPTIONS)


def test_another_file_of_the_same_name_is_another_run(tmp_path: Path) -> None:
    def claim(config: dict[str, Any]) -> None:
        with closing(RunFolder(tmp_path / "run")) as folder:
            folder.claim(config, bytes_needed=0)

    claim({"files": {"teacher": "ab"}})
    with pytest.raises(ValueError, match=r'files.teacher is "ab" there, "cd" here'):
        claim({"files": {"teacher": "cd"}})


def test_the_teacher_s_file_is_part_of_a_run(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "wise.safetensors"
    file.write_bytes(b"wise")
    options = Options(**OPTIONS, teacher=file).completed(recipe("modern").defaults)
    for content in (b"wise", b"wiser"):
        file.write_bytes(content)
        files = identity(options, read_sets(data), Tiny())["files"]
        assert files == {"weights": None, "teacher": hashlib.sha256(content).hexdigest()[:16]}


@pytest.mark.parametrize("at", [3, 4, 7])
def test_ema_and_a_teacher_s_views_go_on_bitwise(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """Interrupted inside an epoch, at its end, and where the teacher's answers come from memory."""

    def find(name: str, **others: Any) -> Any:
        network = Tiny()
        generator = torch.Generator().manual_seed(4)
        for parameter in network.parameters():
            parameter.data.copy_(torch.rand(parameter.shape, generator=generator) - 0.5)
        network.classes, network.preprocess = ["cat", "dog"], WISE  # type: ignore[assignment]
        return type("Loaded", (), {"model": network})()

    monkeypatch.setattr("zfcuda.train.teacher.find", find)
    chosen = {**OPTIONS, "teacher": "wise", "teacher_views": 1, "distill": 0.7, "temperature": 2.0, "ema": 0.9}
    whole = train(data, tmp_path / "whole", **chosen)

    asked = Teacher.answers
    count = 0

    def interrupted(self: Teacher, *given: Any) -> Any:
        nonlocal count
        count += 1
        if count == at + 1:
            signal.raise_signal(signal.SIGINT)  # held until the step is through
        return asked(self, *given)

    monkeypatch.setattr(Teacher, "answers", interrupted)
    with pytest.raises(KeyboardInterrupt, match="the same command goes on"):
        train(data, tmp_path / "run", **chosen)
    found = train(data, tmp_path / "run", **chosen)
    assert (found.epoch, found.validation, found.test) == (whole.epoch, whole.validation, whole.test)
    for name in ("weights", "last"):
        one, other = (load_file(tmp_path / run / f"{name}.safetensors") for run in ("whole", "run"))
        assert one.keys() == other.keys() and all(torch.equal(one[key], value) for key, value in other.items())
