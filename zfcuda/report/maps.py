"""What the script of the page is told of one picture: numbers that it colours, and what no numbers stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from zfcuda import render
from zfcuda.report.explanation import Explanation, Layer, MethodMap
from zfcuda.report.packed import address, compact, exact
from zfcuda.report.panels import METHOD_COLOURS, OUTLINE, QUANTITIES, Drawn

_FORMS = {"log_odds": "signed", "score": "signed", "probability": "points"}  # how a drop of it is written


def data_of(e: Explanation, drawn: Drawn, stem: str) -> dict[str, Any]:
    """All that the script needs of one picture but the colours that all pictures of the page have in common.

    Args:
        stem: how the names of files begin that people save.
    """
    o, colour = e.occlusion, e.cover.colour
    return {
        "stem": stem,
        "size": list(e.pixels.shape[-2:]),
        "window": e.window,
        "stride": e.stride,
        "fill": render.hex_colour(colour) if colour else address(render.picture(e.cover.pixels)),
        "rows": o.origins[:, 0, 0].tolist(),
        "columns": o.origins[0, :, 1].tolist(),
        "worst": list(o.worst),
        "target": e.class_names[e.target],
        "names": {i: e.label_name(i) for i in sorted(set(o.label.flatten().tolist()))},
        "label": o.label.flatten().tolist(),
        "base": {of: _plain(getattr(o, f"base_{of}")) for of in QUANTITIES},
        "grid": {of: exact(getattr(o, of)) for of in QUANTITIES}
        | ({} if o.activity is None else {"activity": exact(o.activity)}),
        "outline": None if e.truth is None else _outline(e.truth),
        "maps": _maps(e, drawn),
        "images": _images(drawn),
    }


def _maps(e: Explanation, drawn: Drawn) -> dict[str, Any]:
    o = e.occlusion
    maps = {
        "evidence": {
            "colours": "diverging",
            "quantities": {
                of: {"own": one.limit, "shared": one.limit, "words": QUANTITIES[of], "form": _FORMS[of]}
                for of, one in drawn.evidence.items()
            },
        },
        "probability": {
            "colours": "viridis",
            "own": list(render.value_range(o.probability)),
            "shared": [0, 1],
            "form": "percent",
            "mark": _plain(o.base_probability),
        },
        "labels": {
            "categories": {entry.index: bytes(entry.colour).hex() for entry in drawn.legend if entry.index >= 0}
        },
    }
    if o.activity is not None:
        maps["activity"] = {"colours": "inferno", "own": list(render.value_range(o.activity)), "form": "number"}
    largest = max((one.largest for one in e.methods), default=0.0)
    maps |= {f"method-{one.method.name}": _method(one, largest) for one in e.methods if one.values is not None}
    for number, layer in enumerate(e.layers):
        maps |= _units(number, layer)
    return maps


def _method(one: MethodMap, largest: float) -> dict[str, Any]:
    """One method's map. The occlusion map is the page's own, of which the script has the numbers already."""
    assert one.values is not None
    low = -float(one.method.signed)
    own = {"of": "evidence"} if one.method.name == "occlusion" else _values(one.values)
    return own | {
        "colours": METHOD_COLOURS[one.method.signed],
        "root": True,
        "own": [low * one.largest, one.largest],
        "shared": [low * largest, largest],
        "form": "signed" if one.method.signed else "number",
    }


def _units(number: int, layer: Layer) -> dict[str, Any]:
    highest = [render.value_range(unit.activity)[1] for unit in layer.units]
    return {
        f"unit-{number}-{i}": _values(unit.activity)
        | {"colours": "inferno", "own": [0, high], "shared": [0, max(highest)], "form": "number"}
        for i, (unit, high) in enumerate(zip(layer.units, highest, strict=True))
    }


def _values(values: Tensor) -> dict[str, Any]:
    rows, columns = values.shape
    return {"rows": rows, "columns": columns, "values": compact(values)}


def _images(drawn: Drawn) -> dict[str, str]:
    """The projections, by the keys of their units."""
    return {
        f"projection-{number}-{i}": address(unit.projection.image)
        for number, units in enumerate(drawn.units)
        for i, unit in enumerate(units)
        if unit.projection is not None
    }


def common_limits(limits: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """By quantity, the largest limit of all pictures of a page."""
    return {of: max(each[of] for each in limits) for of in QUANTITIES}


def with_limits(data: dict[str, Any], common: Mapping[str, float]) -> dict[str, Any]:
    """What data_of gave, with the limits of the colours where all pictures of the page have the same, by quantity."""
    for of, one in data["maps"]["evidence"]["quantities"].items():
        one["shared"] = common[of]
    return data


def _outline(truth: Tensor) -> str:
    """The outline of a part, as a picture that is transparent elsewhere."""
    high, wide = truth.shape
    marked = render.outlined(Image.new("RGB", (wide, high)), truth.bool(), OUTLINE, thick=True)
    mask = marked.convert("L").point(lambda value: 255 * (value > 0))
    out = Image.new("LA", (wide, high), (0, 0)).convert("RGBA")
    out.paste(OUTLINE, mask=mask)
    return address(out, exactly=True)


def _plain(value: Tensor) -> float | None:
    """A number for JSON, which has no word for what is not finite."""
    return float(value) if torch.isfinite(value) else None
