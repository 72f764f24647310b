"""The folder of a training: another training is refused by name, and no line of its log is lost or stands twice."""

from __future__ import annotations

import json
import math
import os
import re
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zfcuda.train import run_config, run_folder
from zfcuda.train.run_folder import RunFolder

CONFIG = {"recipe": "paper", "seed": 1, "data": {"title": "shirts", "fingerprint": "ab"}, "size": (224, 224)}


def claimed(path: Path, config: dict[str, Any] = CONFIG, **options: Any) -> RunFolder:
    folder = RunFolder(path)
    folder.claim(config, **{"bytes_needed": 1000, **options})
    return folder


def said_in_child(work: Callable[[], object]) -> str:
    """What a ValueError said in a process of its own; empty where there was none."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            work()
        except ValueError as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader) as stream:
        said = stream.read()
    os.waitpid(child, 0)
    return said


def test_a_new_folder_and_the_same_once_more(tmp_path: Path) -> None:
    path = tmp_path / "a" / "run"
    claimed(path, changing={"workers": 4}).close()
    written = (path / "config.json").read_text()
    assert json.loads(written)["recipe"] == "paper" and json.loads(written)["changing"] == {"workers": 4}
    claimed(path, changing={"workers": 0})
    assert (path / "config.json").read_text() == written


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"recipe": "modern"}, 'recipe is "paper" there, "modern" here'),
        ({"data": {"title": "shoes", "fingerprint": "cd"}}, 'data.title is "shirts" there, "shoes" here; data.finger'),
        ({"seed": 1.5}, "seed is 1 there, 1.5 here"),
        ({"new": [1, 2]}, "new is null there, [1, 2] here"),
        ({"size": ["x" * 200]}, "... here; take another folder"),
    ],
)
def test_another_run_is_refused_by_name(tmp_path: Path, other: dict[str, Any], said: str) -> None:
    claimed(tmp_path).close()
    before = (tmp_path / "config.json").read_bytes()
    with pytest.raises(ValueError, match=f"^out: {tmp_path} holds another run: .*{re.escape(said)}"):
        claimed(tmp_path, CONFIG | other)
    assert (tmp_path / "config.json").read_bytes() == before


@pytest.mark.parametrize("text", ["", "{", "[1]", "{}", "3"])
def test_another_config_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"config\.json is not that of a run"):
        claimed(tmp_path)
    assert (tmp_path / "config.json").read_text() == text


def test_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claimed(tmp_path).close()
    monkeypatch.setattr(run_config, "VERSION", 2)
    with pytest.raises(ValueError, match=r"config\.json is of version 1 of a run's folder, expected 2"):
        claimed(tmp_path)


@pytest.mark.parametrize("name", ["weights.safetensors", "log.jsonl", "result.json"])
def test_files_of_unknown_origin_are_not_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(ValueError, match=f"holds {name} without the config.json of a run"):
        claimed(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name] and (tmp_path / name).read_text() == "mine"


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(ValueError, match=r"^out: expected a folder, got a file, .*/a$"):
        claimed(tmp_path / "a")
    with pytest.raises(ValueError, match=r"^out: .*cannot be written to \(Not a directory\)"):
        claimed(tmp_path / "a" / "b")


def test_too_little_space_is_said_with_the_figure(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^out: .*/run: the run needs 1,152,921,504,606,846,976 bytes .* free"):
        claimed(tmp_path / "run", bytes_needed=1 << 60)
    assert not (tmp_path / "run").exists()


def test_what_the_run_holds_already_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claimed(tmp_path).close()
    monkeypatch.setattr(run_folder.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 400}))
    with pytest.raises(ValueError, match="needs 1,000 bytes, its disk has 400 bytes free"):
        claimed(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "1.safetensors").write_bytes(bytes(500))
    (tmp_path / "last.safetensors").write_bytes(bytes(100))
    claimed(tmp_path)


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    folder = claimed(tmp_path)
    said = said_in_child(lambda: claimed(tmp_path))
    assert said == f"out: {tmp_path}: another process ({os.getpid()}) is training in it"
    folder.close()
    assert said_in_child(lambda: claimed(tmp_path)) == ""


def test_children_do_not_hold_the_folder(tmp_path: Path) -> None:
    """A worker that outlives a killed run for a moment does not keep the next one out."""
    reader, writer = os.pipe()
    first = os.fork()
    if first == 0:
        claimed(tmp_path)
        if os.fork() == 0:  # the worker: it ends when the test closes its end
            os.close(writer)
            os.read(reader, 1)
        os._exit(0)
    os.waitpid(first, 0)
    claimed(tmp_path)
    os.close(writer)
    os.close(reader)


def logged(path: Path, *epochs: float) -> RunFolder:
    folder = claimed(path)
    for epoch in epochs:
        folder.log({"epoch": epoch, "loss": 1 / 3})
    return folder


def test_lines_are_appended_and_read(tmp_path: Path) -> None:
    logged(tmp_path, 1, 2).log({"epoch": 3, "loss": math.nan, "more": [math.inf, "ä"]})
    assert claimed(tmp_path).rows() == [
        {"epoch": 1, "loss": 1 / 3},
        {"epoch": 2, "loss": 1 / 3},
        {"epoch": 3, "loss": None, "more": [None, "ä"]},
    ]
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize("torn", [b"{", b'{"epoch": 3, "lo', b'{"epoch": 3}', b"\0\0\0\0\n", b"3\n"])
def test_a_torn_last_line_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    logged(tmp_path, 1, 2)
    before = (tmp_path / "log.jsonl").read_bytes()
    with (tmp_path / "log.jsonl").open("ab") as stream:
        stream.write(torn)
    folder = claimed(tmp_path)
    assert (tmp_path / "log.jsonl").read_bytes() == before
    folder.log({"epoch": 3})
    assert [row["epoch"] for row in folder.rows()] == [1, 2, 3]


def test_no_epoch_stands_twice_after_going_on(tmp_path: Path) -> None:
    folder = logged(tmp_path, 1, 2, 3)
    folder.rewind(3)
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    folder.rewind(1.5)
    assert (tmp_path / "log.jsonl").read_text().splitlines() == lines[:1]
    folder.rewind(0)
    assert folder.rows() == []


def test_a_full_disk_leaves_the_lines_before(tmp_path: Path) -> None:
    folder = logged(tmp_path, 1)
    before = (tmp_path / "log.jsonl").read_bytes()

    def refused() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 5, resource.RLIM_INFINITY))
        folder.log({"epoch": 2})

    assert said_in_child(refused) == f"log: {tmp_path}/log.jsonl: cannot be written to (File too large)"
    assert (tmp_path / "log.jsonl").read_bytes() == before


def test_the_end_is_what_finish_was_given(tmp_path: Path) -> None:
    folder = claimed(tmp_path)
    assert folder.result() is None
    folder.finish({"epoch": 3, "by_class": [0.5, math.nan]})
    assert claimed(tmp_path, bytes_needed=1 << 60).result() == {"epoch": 3, "by_class": [0.5, None]}
    (tmp_path / "result.json").write_text("[")
    with pytest.raises(ValueError, match=r"result\.json is not that of a run"):
        folder.result()


def test_only_the_first_process_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_folder, "writes", lambda: False)
    folder = claimed(tmp_path / "run")
    folder.log({"epoch": 1})
    folder.rewind(0)
    folder.finish({})
    assert not (tmp_path / "run").exists()
