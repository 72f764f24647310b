"""An Explanation as plain numbers, for JSON."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from zfcuda.complaint import writable
from zfcuda.occlusion.output import named
from zfcuda.report.explanation import Explanation, MethodMap


def numbers_of(e: Explanation) -> dict[str, Any]:
    """What the page shows of one picture; positions are [y, x], rectangles [top, left, bottom, right].

    What a unit sees is None where it is not known; the colour and the values of the fill are None where they differ
    from pixel to pixel. The name of an entry of `label` is in `names`.
    """
    o = e.occlusion
    worst = o.worst
    rows, columns = o.probability.shape
    truth: dict[str, Any] = {}
    if e.truth is not None:
        top, left, bottom, right = o.rectangle(*worst)
        truth = {
            "part_covered": round(float(e.truth[top:bottom, left:right].sum() / e.truth.sum().clamp(min=1)), 4),
        }
    return {
        "name": writable(e.name),
        "source": None
        if e.source is None
        else {"path": writable(e.source.path), "bytes": e.source.bytes, "sha256": e.source.sha256},
        "size": list(e.size),
        "arguments": {
            "window": e.window,
            "stride": e.stride,
            "top": e.top,
            "layer": e.followed_layer,
            "fill": e.cover.colour and list(e.cover.colour) if e.cover.kind == "colour" else e.cover.kind,
            "output": None if e.output is None else named(e.output),
            "target": e.target if e.chosen_target else None,
            "methods": [one.method.name for one in e.methods] or None,
        },
        "classes": [
            {
                "index": i,
                "name": e.class_names[i],
                "score": single(e.logits[i], 6),
                "probability": single(e.probabilities[i]),
            }
            for i in e.order[:20]
        ],
        "target": {
            "index": e.target,
            "name": e.class_names[e.target],
            "chosen": e.chosen_target,
            "score": single(o.base_score, 6),
            "log_odds": single(o.base_log_odds, 6),
            "probability": single(o.base_probability),
        },
        "layers": [
            {
                "name": layer.name,
                "maps": layer.maps,
                "size": list(layer.size),
                "receptive_field": layer.field_size and list(layer.field_size),
                "projection": None if layer.refusal or not layer.units else layer.form.value,
                "refusal": layer.refusal or None,
                "units": [
                    {
                        "map": u.number,
                        "activation": u.value,
                        "position": list(u.position),
                        "rectangle": u.field and list(u.field),
                    }
                    for u in layer.units
                ],
            }
            for layer in e.layers
        ],
        "occlusion": {
            "window": e.window,
            "stride": e.stride,
            "method": o.method,
            "reason": o.reason,
            "seconds": round(e.seconds, 4),
            "rows": rows,
            "columns": columns,
            "fill": {
                "kind": e.cover.kind,
                "colour": e.cover.colour and list(e.cover.colour),
                "values": None if e.cover.per_channel is None else rounded(torch.tensor(e.cover.per_channel), 6),
            },
            "normalization": o.normalization,
            "origins_y": o.origins[:, 0, 0].tolist(),
            "origins_x": o.origins[0, :, 1].tolist(),
            "probability": rounded(o.probability),
            "score": rounded(o.score, 6),
            "log_odds": rounded(o.log_odds, 6),
            "label": o.label.tolist(),
            "names": {str(i): e.label_name(i) for i in sorted(set(o.label.flatten().tolist()))},
            "followed": {"layer": e.followed_layer, "map": None if e.followed is None else e.followed.number},
            "activity": None if o.activity is None else rounded(o.activity),
            "worst": {
                "rectangle": list(o.rectangle(*worst)),
                "probability": single(o.probability[worst]),
                "label": int(o.label[worst]),
                **truth,
            },
        },
        "methods": [_method(one) for one in e.methods],
    }


def _method(one: MethodMap) -> dict[str, Any]:
    """One method's map; the largest magnitude is what the page divides by."""
    maximum = one.maximum
    return {
        "name": one.method.name,
        "signed": one.method.signed,
        "largest_magnitude": None if maximum is None else single(torch.tensor(one.largest)),
        "maximum": maximum and {"value": single(torch.tensor(maximum[0])), "position": list(maximum[1])},
        "without_number": one.unknown,
        "seconds": round(one.seconds, 4),
        "refusal": one.refusal or None,
        "warnings": list(one.warnings),
    }


def rounded(values: Tensor, digits: int = 5) -> list[object]:
    """Nested lists with that many significant digits; what is not finite becomes None: JSON has no word for it."""

    def one(value: object) -> object:
        if isinstance(value, list):
            return [one(v) for v in value]
        return float(f"{value:.{digits}g}") if math.isfinite(value) else None  # type: ignore[arg-type, str-format]

    return one(values.double().tolist())  # type: ignore[return-value]


def single(value: Tensor, digits: int = 5) -> object:
    """The same for one number."""
    return rounded(value.reshape(1), digits)[0]
