"""What `explain` and `demo` share: the long work, picture by picture, and the page that comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zfcuda.complaint import naming, one_line

if TYPE_CHECKING:
    from zfcuda.report import Explanation, Folder, Prepared, Subject

LESS = "take a larger --stride or fewer pictures"  # what helps where the memory is not enough


def report(folder: Folder, subject: Subject, prepared: Sequence[Prepared], top: int) -> int:
    """Does the long work and writes the page; after Ctrl-C, what was done by then goes into a folder of its own."""
    from zfcuda.report import Folder, explain

    done: list[Explanation] = []
    try:
        for one in prepared:
            with naming(f"{subject.title} with {one.name}", LESS):
                done.append(explain(one, top=top, progress=True))
            e, o = done[-1], done[-1].occlusion
            best = int(e.probabilities.argmax())
            print(
                f"{one_line(e.name)}: {e.class_names[best]} {100 * float(e.probabilities[best]):.1f} %, "
                f"{o.label.numel()} occluder positions in {e.seconds:.2f} s ({o.method})",
                flush=True,
            )
        print(folder.write(done, subject.title))
    except KeyboardInterrupt as stop:
        if not done:
            raise
        page = folder.page
        if page is None:
            with Folder(folder.path / "interrupted") as rest:
                page = rest.write(done, subject.title)
        stop.args = (f"{len(done)} of {len(prepared)} pictures are in {page}",)
        raise
    return 0
