"""What the commands and the Python call share: the page of explanations that come one by one, whatever ends them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from zfcuda.report.explanation import Explanation
from zfcuda.report.files import Folder
from zfcuda.report.reproduce import Asked


def written(folder: Folder, explanations: Iterable[Explanation], count: int, asked: Asked | None = None) -> Path:
    """Writes the page of explanations that are made while they are asked for.

    Args:
        folder: where to, claimed already.
        explanations: one per picture, those of one network one after the other; `count` of them.
        asked: what somebody asked for, as the page says how it is made again.

    Returns:
        The path of the page.

    Raises:
        KeyboardInterrupt: after Ctrl-C, with the page of what was done by then in a folder of its own, "interrupted",
            and its path in the message.
        ValueError: the disk refuses.
    """
    try:
        for one in explanations:
            folder.add(one)
            del one  # its memory is for the next one
        return folder.finish(asked)
    except KeyboardInterrupt as stop:
        if not folder.parts:
            raise
        page = folder.page
        if page is None:
            with Folder(folder.path / "interrupted") as rest:
                rest.parts = folder.parts
                page = rest.finish(asked)
        stop.args = (f"{len(folder.parts)} of {count} pictures are in {page}",)
        raise
