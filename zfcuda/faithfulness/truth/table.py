"""The table, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from zfcuda.faithfulness.truth.figures import MEASURES, Figure, Figures
from zfcuda.faithfulness.truth.measure import RANDOM

#: The heading of each measure, and how its figure is written.
HEADINGS = {
    "pointing": ("pointing game", "percent"),
    "energy": ("energy inside", "percent"),
    "deletion": ("deletion", "plain"),
    "insertion": ("insertion", "plain"),
    "first": ("first piece", "percent"),
    "pieces": ("all pieces", "plain"),
    "after_top": ("top shuffled", "plain"),
    "after_all": ("all shuffled", "plain"),
    "ssim_after_all": ("structure", "plain"),
}


def cell(figure: Figure | None, how: str) -> str:
    """ "97.5 (94.3 ... 98.9) %": a figure and its interval."""
    if figure is None:
        return "-"
    if how == "percent":
        return f"{100 * figure.value:.1f} ({100 * figure.low:.1f} ... {100 * figure.high:.1f}) %"
    return f"{plain(figure.value)} ({plain(figure.low)} ... {plain(figure.high)})"


def plain(value: float) -> str:
    """Two digits behind the point, and no minus before a zero."""
    return f"{round(value, 2) + 0.0:.2f}"


def rows(found: Figures) -> list[list[str]]:
    """A row for each method, the random map and chance last: its name and a cell for each measure."""
    out = [
        [name, *(cell(measured.get(measure), HEADINGS[measure][1]) for measure in MEASURES)]
        for name, measured in found.methods.items()
    ]
    chance = {name: f"{100 * value:.1f} %" for name, value in found.chance.items()}
    return [*out, ["by chance", *(chance.get(measure, "") for measure in MEASURES)]]


def headings(found: Figures) -> list[str]:
    """Of the columns, with the number of pictures that each rests on."""
    of = found.methods[RANDOM]
    counts = [f" [{of[measure].pictures}]" if measure in of else "" for measure in MEASURES]
    return ["", *(HEADINGS[measure][0] + count for measure, count in zip(MEASURES, counts, strict=True))]


def halves(lines: Sequence[Sequence[str]]) -> tuple[list[list[str]], list[list[str]]]:
    """The lines of one wide table as those of two: of the map itself, and of what the network says or has forgotten."""
    half = 1 + MEASURES.index("first")
    return [list(line[:half]) for line in lines], [[line[0], *line[half:]] for line in lines if any(line[half:])]


def table(found: Figures) -> str:
    """The figures in columns, with 95 % intervals, and what they mean in a line each."""
    accuracy, without = (100 * found.network[name].value for name in ("accuracy", "accuracy_without"))
    first, second = halves([headings(found), *rows(found)])
    return "\n".join(
        [
            f"{found.pictures} drawn pictures; the network is right in {accuracy:.1f} %, without the defining part in "
            f"{without:.1f} %",
            "",
            *_aligned(first),
            "",
            *_aligned(second),
            "",
            "95 % intervals in brackets; [pictures that were measured].",
            "pointing game: the largest value lies on the defining part, or at most 15 pixels off it.",
            "energy inside: the share of the map's positive values that lies on the defining part.",
            "deletion, insertion: area under the probability; low is good for deletion, high for insertion.",
            "first piece: the piece that the map gives most is the one without which the score truly drops most.",
            "all pieces: rank correlation of what the map gives to each with what the score truly drops without it.",
            "shuffled: rank correlation of the magnitudes with the map of the trained network, with its last layer, or",
            "    all layers, shuffled; structure: the SSIM of the latter. Near 0 is good.",
        ]
    )


def _aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """The first column to the left, all others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip() for line in lines]
