"""An occlusion map in a few lines, for a prompt and for a notebook."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from zfcuda.complaint import one_line
from zfcuda.occlusion.map_data import MapData

_LONGEST = 100  # characters of a reason or a name


def facts(m: MapData) -> list[tuple[str, str]]:
    """What there is to know at a glance, each under a name: at most nine."""
    places = f"{m.probability.numel()} positions, {_times(m.origins.shape[:2])}"
    best = f"{named(m, m.target_label)}: probability {percent(m.base_probability)} for the whole image"
    if isinstance(m.target, int):
        about = [("target", best)]
    else:
        what = "a callable" if m.target is None else f"the callable {_short(getattr(m.target, '__name__', 'given'))}"
        about = [
            ("target", f"{what}: {float(m.base_score):.5g} for the whole image"),
            ("most probable", best),
        ]
    top, left, bottom, right = m.rectangle(*m.worst)
    lowest = m.probability[m.worst]
    where = f"{percent(lowest)} with rows {top} to {bottom - 1}, columns {left} to {right - 1} covered"
    out = [
        ("image", f"{_times(m.size)} pixels (rows x columns)"),
        ("occluder", f"{_times(m.window)}{_filled(m.fill)} in steps of {_times(m.stride)}: {places}"),
        *about,
        ("lowest", "no probability is a number" if lowest.isnan() else where),
        ("other label", _other(m)),
    ]
    if m.activity is not None:
        most, least = float(m.activity.max()), float(m.activity.min())
        out.append(("activity", f"of unit {m.unit}: {least:.4g} to {most:.4g}"))
    return [*out, ("method", f"{m.method}: {_short(m.reason)}")]


def lines(m: MapData) -> str:
    """The facts one below the other, under the name of the class: at most ten lines."""
    listed = facts(m)
    width = max(len(name) for name, _ in listed) + 1
    return "\n".join(["OcclusionMap", *(f"  {name + ':':{width}} {value}" for name, value in listed)])


def _other(m: MapData) -> str:
    """The label that most often takes the place of the target."""
    labels = m.label[m.label != m.target_label]
    if labels.numel() == 0:
        return "none: the class of the target is the most probable one at every position"
    values, counts = labels.unique(return_counts=True)
    label, count = int(values[counts.argmax()]), int(counts.max())
    return f"{named(m, label)}, at {count} of {m.label.numel()} positions"


def named(m: MapData, label: int) -> str:
    """281 "tabby"; without names, class 281."""
    name = m.label_name(label)
    return name if m.classes is None or len(m.classes) == 1 else f'{label} "{_short(name)}"'


def _short(text: str) -> str:
    text = one_line(text)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3].rstrip()}..."


def _filled(fill: str | float | tuple[float, ...] | None) -> str:
    """What covers the image, in words; nothing where that is not known."""
    if fill is None:
        return ""
    if isinstance(fill, str):
        words = {"mean": "the image's mean", "blur": "the image blurred", "tensor": "a tensor"}.get(fill, fill)
    elif isinstance(fill, float | int):
        words = f"{fill:.4g}"
    else:
        words = _short(f"({', '.join(f'{value:.4g}' for value in fill)})")
    return f" of {words},"


def _times(size: Sequence[int]) -> str:
    return f"{size[0]} x {size[1]}"


def percent(share: Tensor) -> str:
    """A probability with the digits that it has near 0 and near 1."""
    value = 100 * float(share)
    if 0 < value < 1:
        return f"{value:.2g} %"
    return f"{value:.4f} %" if 99.9 < value < 100 else f"{value:.1f} %"
