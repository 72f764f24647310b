"""Checkpoints: at every moment the newest whole one is there, and nothing damaged is taken for one."""

from __future__ import annotations

import os
import resource
import signal
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from zfcuda.files import states
from zfcuda.train.checkpoints import Checkpoints


def filled(folder: Path, *steps: int, keep: int = 3) -> Checkpoints:
    checkpoints = Checkpoints(folder, keep)
    for step in steps:
        checkpoints.save(step, state(step))
    return checkpoints


def state(step: int) -> dict[str, object]:
    return {"weights": torch.full((1000,), float(step)), "step": step}


def held(folder: Path) -> list[int]:
    return sorted(int(path.name.partition("-")[0]) for path in folder.iterdir())


def in_child(work: Callable[[], None]) -> int:
    """Runs it in a process of its own; returns the status that this ends with."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitpid(child, 0)[1]


def test_the_newest_of_those_kept(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "here"
    assert Checkpoints(folder).newest() is None
    checkpoints = filled(folder, 0, 5, 10, 200, 1_234_567_890)
    assert held(folder) == [10, 200, 1_234_567_890]
    step, found = checkpoints.newest() or (None, {})
    assert step == 1_234_567_890 and torch.equal(found["weights"], torch.full((1000,), 1_234_567_890.0))
    assert filled(folder, 1_234_567_891, keep=1).newest() is not None and held(folder) == [1_234_567_891]


def test_keep_below_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="keep: expected at least 1, got 0"):
        Checkpoints(tmp_path, keep=0)


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)


def renamed_garbage(path: Path) -> None:
    """What has the right checksum, and is no checkpoint."""
    path.write_bytes(b"garbage")
    path.rename(path.with_name(f"000000030-{states.digest_of(path)[:16]}.safetensors"))


def unreadable(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [truncated, emptied, flipped, renamed_garbage, unreadable])
def test_a_damaged_one_is_named_and_passed_over(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    checkpoints = filled(tmp_path, 10, 20, 30)
    [path] = tmp_path.glob("000000030-*")
    damage(path)
    with pytest.warns(
        UserWarning, match=r"^checkpoint passed over: .*/000000030-\w{16}\.safetensors is (damaged|cannot)"
    ):
        step, found = checkpoints.newest() or (None, {})
    assert step == 20 and found["step"] == 20


@pytest.mark.parametrize("keep", [1, 3])
def test_going_on_from_an_earlier_one_drops_those_of_the_other_past(tmp_path: Path, keep: int) -> None:
    filled(tmp_path, 10, 20, 30)
    [path] = tmp_path.glob("000000030-*")
    truncated(path)
    checkpoints = filled(tmp_path, 21, keep=keep)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (checkpoints.newest() or [None])[0] == 21
    assert held(tmp_path) == ([21] if keep == 1 else [10, 20, 21])


def test_the_same_step_once_more_replaces_a_damaged_one(tmp_path: Path) -> None:
    filled(tmp_path, 10, 20)
    Checkpoints(tmp_path).save(20, {"another": 1})
    assert held(tmp_path) == [10, 20] and Checkpoints(tmp_path).newest() == (20, {"another": 1})


def test_all_damaged_is_none_with_every_name(tmp_path: Path) -> None:
    checkpoints = filled(tmp_path, 10, 20)
    for path in tmp_path.iterdir():
        flipped(path)
    with pytest.warns(UserWarning) as said:
        assert checkpoints.newest() is None
    assert [f"0{step}-" in str(each.message) for step, each in zip((20, 10), said, strict=True)] == [True, True]


@pytest.mark.parametrize("after", [0, 1, 2])
def test_killed_in_the_middle_of_a_write(tmp_path: Path, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGKILL when a part of the file, all of it, or its name too is written."""
    filled(tmp_path, 10)

    def killed_within() -> None:
        kill = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)  # noqa: E731
        if after == 0:
            monkeypatch.setattr(torch.Tensor, "resolve_conj", kill)
        else:
            monkeypatch.setattr(os, "fsync" if after == 1 else "unlink", kill)
        filled(tmp_path, 20, keep=1)

    assert os.WTERMSIG(in_child(killed_within)) == signal.SIGKILL
    left = [path.name for path in tmp_path.iterdir()]
    assert any(name.startswith(".draft") for name in left) == (after < 2)
    assert (Checkpoints(tmp_path).newest() or [None])[0] == (20 if after == 2 else 10)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".draft")]


def full(tmp_path: Path) -> None:
    """The file may not grow beyond a part of what is written: a real error of the disk, EFBIG."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))


def full_at_fsync(tmp_path: Path) -> None:
    """A disk that notices late, as a network's does: ENOSPC when the file is to be on it."""

    def refusing(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    os.fsync = refusing  # in a child alone


@pytest.mark.parametrize(("fill", "said"), [(full, "File too large"), (full_at_fsync, "No space left on device")])
def test_a_full_disk_leaves_the_earlier_ones(tmp_path: Path, fill: Callable[[Path], None], said: str) -> None:
    folder = tmp_path / "checkpoints"
    filled(folder, 10, 20)

    def refused() -> None:
        fill(tmp_path)
        try:
            filled(folder, 30, keep=1)
        except ValueError as error:
            expected = f"checkpoints: {folder}: cannot be written to ({said}); the earlier ones are there"
            os._exit(0 if str(error) == expected else 2)
        os._exit(3)

    assert os.waitstatus_to_exitcode(in_child(refused)) == 0
    assert held(folder) == [10, 20] and (Checkpoints(folder).newest() or [None])[0] == 20


def test_what_others_put_there_is_left(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    filled(tmp_path, 1, 2, keep=1)
    assert (tmp_path / "notes.txt").exists() and len(list(tmp_path.iterdir())) == 2


def test_what_cannot_be_held_leaves_the_earlier_ones(tmp_path: Path) -> None:
    checkpoints = filled(tmp_path, 1)
    with pytest.raises(TypeError, match=r"^state\.a: expected"):
        checkpoints.save(2, {"a": object()})
    assert held(tmp_path) == [1]
