"""The questions that a client may ask, and what computes the answer to each.

A question is a function (desk, visitor, message) -> generator of answers; what it does between two yields is one block
of work. It checks its message before it works.
"""

from __future__ import annotations

from collections.abc import Callable

from zfcuda.live.answers.cover import cover
from zfcuda.live.answers.look import look
from zfcuda.live.answers.map import map_
from zfcuda.live.answers.methods import methods
from zfcuda.live.answers.occlude import occlude
from zfcuda.live.answers.unit import unit
from zfcuda.live.answers.units import units
from zfcuda.live.desk import Desk, Work
from zfcuda.live.messages import Message
from zfcuda.live.visitors import Visitor

Question = Callable[[Desk, Visitor, Message], Work[None]]

#: Kind -> (its question, how urgent it is: the pointer's first).
QUESTIONS: dict[str, tuple[Question, int]] = {
    "occlude": (occlude, 0),
    "look": (look, 1),
    "cover": (cover, 1),
    "unit": (unit, 2),
    "units": (units, 2),
    "map": (map_, 3),
    "methods": (methods, 4),
}
