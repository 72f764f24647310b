"""What `explain` and `demo` share: the long work, picture by picture, and the page that comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zfcuda.complaint import naming, one_line

if TYPE_CHECKING:
    from zfcuda.report import Asked, Checked, Explanation, Folder, Prepared

LESS = "take a larger --stride or fewer pictures"  # what helps where the memory is not enough


def report(
    folder: Folder,
    prepared: Checked[Any] | Sequence[Prepared],
    asked: Asked,
    top: int,
    methods: Sequence[str] = (),
) -> int:
    """Does the long work and writes the page; after Ctrl-C, what was done by then goes into a folder of its own."""
    from zfcuda.report import OcclusionMaps, explain, written
    from zfcuda.report.pieces import percent

    maps = OcclusionMaps()

    def explained(one: Prepared) -> Explanation:
        with naming(f"{one.subject.title} with {one.name}", LESS):
            e = explain(one, top=top, methods=methods, progress=True, maps=maps)
        best, o = e.order[0], e.occlusion
        share = percent(float(e.probabilities[best])).replace("\u00a0", " ")
        print(
            f"{one_line(e.name)}: {e.class_names[best]} {share}, "
            f"{o.label.numel()} occluder positions in {e.seconds:.2f} s ({o.method})",
            flush=True,
        )
        return e

    print(written(folder, map(explained, prepared), len(prepared), asked))
    return 0
