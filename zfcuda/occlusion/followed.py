"""The engine's plans for a model, kept for as long as the model is what it was: following it again takes a tenth of a
map's time or more where windows are few.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

from torch import nn

from zfcuda.network.structure import tensors
from zfcuda.occlusion.incremental.engine import Plan

_MOST = 4  # of one model: each holds a few numbers for every window and node
_LOCK = threading.Lock()


def followed(model: nn.Module, answers: dict[Hashable, Any], about: Hashable) -> Plan | None:
    """The plan that was kept, one of the caller's own; None where there is none or the model has changed since.

    answers: what is remembered of the model, as answers_about has it. about: all that a plan depends on beside the
    model, and the memory that there is.
    """
    with _LOCK:
        marks, plan = _plans(answers).get(about, (None, None))
    return plan.of(model) if plan is not None and marks == tensors(model) else None


def keep(model: nn.Module, answers: dict[Hashable, Any], about: Hashable, plan: Plan) -> None:
    """Keeps a plan of a model, which it does not hold. answers, about: as in followed."""
    if next(model.children(), None) is None:  # one layer, which its only step holds
        return
    with _LOCK:
        plans = _plans(answers)
        plans[about] = (tensors(model), plan.of(_NOBODY))
        plans.move_to_end(about)
        while len(plans) > _MOST:
            plans.popitem(last=False)


_NOBODY = nn.Module()


def _plans(answers: dict[Hashable, Any]) -> OrderedDict[Hashable, Any]:
    plans: OrderedDict[Hashable, Any] = answers.setdefault("plans of occlusion", OrderedDict())
    return plans
