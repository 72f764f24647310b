"""Classes and numbers of answers, as the page gets them."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from zfcuda.inputs import probabilities
from zfcuda.live.desk import Seen
from zfcuda.occlusion.log_odds import log_odds


def top_classes(seen: Seen, logits: Tensor, count: int) -> list[dict[str, Any]]:
    """The most probable classes. logits: [classes]."""
    shares = probabilities(logits[None], seen.normalization)[0]
    order = logits.argsort(descending=True, stable=True)[:count].tolist()
    return [
        {
            "index": i,
            "name": seen.network.classes[i],
            "probability": float(shares[i]),
            "logit": float(logits[i]),
        }
        for i in order
    ]


def of_target(seen: Seen, logits: Tensor, target: int) -> dict[str, float]:
    """Probability, logit and log-odds of a class. logits: [classes]."""
    return {
        "probability": float(probabilities(logits[None], seen.normalization)[0, target]),
        "logit": float(logits[target]),
        "log_odds": float(log_odds(logits, target, seen.normalization)),
    }
