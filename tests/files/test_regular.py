"""What is not a regular file is refused with a reason, and never waited for."""

from __future__ import annotations

import os
from pathlib import Path

from zfcuda.files.regular import is_address, refusal


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    assert refusal(tmp_path / "file") is None and refusal(tmp_path / "link") is None
    assert refusal(tmp_path) == "a folder, not a file" and refusal(tmp_path, "picture") == "a folder, not a picture"
    assert refusal(tmp_path / "pipe") == "not a regular file" == refusal("/dev/zero")
    assert refusal(tmp_path / "none") == "no such file"
    assert refusal(tmp_path / "empty") == "an empty file"
    assert refusal("a\0b") == "not a valid path"
    assert refusal(tmp_path / "file" / "deeper") == "cannot be read (Not a directory)"


def test_an_address_is_no_missing_file() -> None:
    for address in ("https://host/cat.jpg", "s3://bucket/w.pth", Path("https://host/cat.jpg")):
        assert is_address(address) and refusal(address) == "an address, not a file; download it first"
    assert not any(map(is_address, ("cat.jpg", "C:/cat.jpg", "./a:/b", "my_package.nets:make_net")))
