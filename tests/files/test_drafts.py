"""Several files as one result: all of them or none, from one run alone, and nothing of dead runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from zfcuda.files import drafts as module
from zfcuda.files.drafts import Drafts, alone, whole
from zfcuda.files.signals import Terminated, held, raised


def snapshot(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


def results(folder: Path, words: str) -> dict[Path, Path]:
    """Drafts of a few files, and their places: one of them in a folder that need not be there."""
    made = {}
    with Drafts(folder) as drafts:
        for word in words.split():
            draft = drafts.path / f"{len(made)}"
            draft.write_text(word)
            made[draft] = folder / ("deep" if word == "c" else "") / f"{len(made)}.txt"
        drafts.place(made, [folder / "stale.txt"])
    return made


def test_all_take_their_places(tmp_path: Path) -> None:
    (tmp_path / "stale.txt").write_text("old")
    (tmp_path / "0.txt").write_text("old")
    results(tmp_path, "a b c")
    assert snapshot(tmp_path) == {"0.txt": "a", "1.txt": "b", "deep/2.txt": "c"}
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("failing", range(5))
def test_where_one_cannot_be_all_is_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int, links: bool
) -> None:
    (tmp_path / "stale.txt").write_text("stale")
    (tmp_path / "1.txt").write_text("old")
    before, real, calls = snapshot(tmp_path), os.replace, []

    def replace(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) == failing + 1:
            raise OSError(28, "No space left on device")
        real(source, target)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(module.os, "replace", replace)
    if not links:
        monkeypatch.setattr(module.os, "link", refuse)
    if failing == 4 and links:
        results(tmp_path, "a b c")
        assert len(calls) == 4, "with links there are only four moves"
        return
    with pytest.raises(OSError, match="No space left"):
        results(tmp_path, "a b c")
    assert snapshot(tmp_path) == before and not (tmp_path / "deep").exists()
    assert not list(tmp_path.glob(".*"))


def test_a_folder_in_the_place_of_a_file_stays(tmp_path: Path) -> None:
    (tmp_path / "1.txt").mkdir()
    (tmp_path / "1.txt" / "mine").write_text("mine")
    with pytest.raises(IsADirectoryError):
        results(tmp_path, "a b c")
    assert snapshot(tmp_path) == {"1.txt/mine": "mine"}


def test_a_link_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("other")
    (tmp_path / "0.txt").symlink_to("other")
    results(tmp_path, "a")
    assert snapshot(tmp_path) == {"0.txt": "a", "other": "other"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_until_all_are_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    real, calls = os.replace, []

    def replace(source: Path, target: Path) -> None:
        real(source, target)
        calls.append(target)
        if len(calls) == 1:
            signal.raise_signal(number)

    monkeypatch.setattr(module.os, "replace", replace)
    with raised(), pytest.raises(KeyboardInterrupt) as stop:
        results(tmp_path, "a b c")
    assert len(snapshot(tmp_path)) == 3 and not list(tmp_path.glob(".*"))
    assert isinstance(stop.value, Terminated) == (number == signal.SIGTERM)


def test_signals_are_as_before_afterwards() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with raised(), held():
        pass
    assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]


def test_an_error_in_the_block_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(ZeroDivisionError), whole(tmp_path / "a", tmp_path / "b") as [a, b]:
        a.write_text("new")
        b.write_text("new")
        raise ZeroDivisionError
    assert snapshot(tmp_path) == {"a": "old"} and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_files_have_the_rights_of_every_new_file(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        with whole(tmp_path / "a") as [draft]:
            draft.write_text("a")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666 & ~mask


DYING = """
import os, sys
from pathlib import Path
from zfcuda.files.drafts import Drafts
with Drafts(Path(sys.argv[1])) as drafts:
    (drafts.path / "half").write_text("half")
    os.kill(os.getpid(), 9)
"""


def test_drafts_of_dead_runs_are_removed_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", DYING, str(tmp_path)], env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    )
    (tmp_path / ".draft-mine").mkdir()
    assert len(list(tmp_path.glob(".draft-zfcuda-*/half"))) == 1
    with Drafts(tmp_path) as living:
        (living.path / "a").write_text("a")
        with Drafts(tmp_path) as second:
            assert {living.path, second.path} == set(tmp_path.glob(".draft-zfcuda-*"))
        assert (living.path / "a").exists()
    assert [p.name for p in tmp_path.iterdir()] == [".draft-mine"]


def test_two_runs_do_not_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one run changes the files of a folder, another waits, and says so where that takes too long."""
    monkeypatch.setattr(module, "_PATIENCE", 0.0)
    with whole(tmp_path / "a", tmp_path / "b") as first:
        said = "another run is writing into"
        with alone(tmp_path), pytest.raises(OSError, match=said), whole(tmp_path / "a", tmp_path / "b") as second:
            for draft in second:
                draft.write_text("second")
        assert snapshot(tmp_path).get("a") is None
        for draft in first:
            draft.write_text("first")
    assert snapshot(tmp_path) == {"a": "first", "b": "first"}
