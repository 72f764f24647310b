"""What is not a regular file is refused with a reason, and never waited for."""

from __future__ import annotations

import os
from pathlib import Path

from zfcuda.files.regular import refusal


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    assert refusal(tmp_path / "file") is None and refusal(tmp_path / "link") is None
    assert refusal(tmp_path) == "a folder, not a file"
    assert refusal(tmp_path / "pipe") == "not a regular file" == refusal("/dev/zero")
    assert refusal(tmp_path / "none") == "no such file"
    assert refusal(tmp_path / "empty") == "an empty file"
    assert refusal("a\0b") == "not a valid path"
    assert refusal(tmp_path / "file" / "deeper") == "cannot be read (Not a directory)"
