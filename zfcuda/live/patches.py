"""What `zfcuda patches` left: the pictures of a data set that excite each unit most."""

from __future__ import annotations

import base64
import json
import math
import os
import re
import stat
from pathlib import Path
from typing import Any

from zfcuda.complaint import one_line
from zfcuda.files.regular import refusal
from zfcuda.report.files import plain

_NUMBERS = "numbers.json"
_LARGEST = {_NUMBERS: 256 << 20, "picture": 8 << 20}  # bytes
_NAME = re.compile(r"[\w.-]+\.png")  # the only names that it writes
_PNG = b"\x89PNG\r\n\x1a\n"


class Patches:
    """A folder that `zfcuda patches` wrote. Of it only the pictures are read that its own numbers name.

    Attributes:
        title: the network that it is of; checksum: of its weights.

    Raises:
        ValueError: it is no such folder.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)
        shown = one_line(os.fspath(folder))
        path = self._folder / _NUMBERS
        why = refusal(path)
        if why is not None:
            raise ValueError(f"--patches {shown}: expected a folder that zfcuda patches wrote; {_NUMBERS}: {why}")
        try:
            if path.stat().st_size > _LARGEST[_NUMBERS]:
                raise ValueError("too large")
            found = json.loads(path.read_text("utf-8"))
            self.title = str(found["network"]["title"])
            self.checksum = str(found["network"]["weights"]["sha256"])
            self._seen = int(found["pictures"]["seen"])
            self._files = {str(name) for name in found["files"]}
            self._layers = {
                str(layer["layer"]): (number, {int(unit["unit"]): unit for unit in layer["units"]})
                for number, layer in enumerate(found["layers"], 1)
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            raise ValueError(f"--patches {shown}: its {_NUMBERS} is not what zfcuda patches writes") from None

    def of(self, layers: tuple[str, ...], unit: int) -> dict[str, Any] | None:
        """The strongest patches of a unit, for JSON; None where the folder says nothing of it.

        layers: the names by which its layer may go.
        """
        name = next((name for name in layers if name in self._layers), None)
        if name is None:
            return None
        number, units = self._layers[name]
        if unit not in units:
            return None
        try:
            patches: list[dict[str, Any]] = [
                {"name": str(each["name"]), "value": float(each["value"])} for each in units[unit]["patches"][:100]
            ]
        except (KeyError, TypeError, ValueError, OverflowError):
            return None
        if not all(math.isfinite(each["value"]) for each in patches):  # JSON has no such numbers
            return None
        return {
            "pictures": self._seen,
            "patches": patches,
            "image": self._picture(f"{number}-{plain(name)}-{unit}.png"),
        }

    def _picture(self, name: str) -> str | None:
        """The picture of a unit that lies in the folder: projections on the left, patches on the right."""
        if name not in self._files or not _NAME.fullmatch(name):
            return None
        try:
            flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
            with open(os.open(self._folder / "pictures" / name, flags), "rb") as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST["picture"]:
                    return None
                data = file.read()
        except OSError:
            return None
        if not data.startswith(_PNG):
            return None
        return f"data:image/png;base64,{base64.b64encode(data).decode('ascii')}"
