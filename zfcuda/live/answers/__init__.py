"""The questions that a client may ask, and what computes the answer to each.

A question is a function (desk, visitor, message) -> generator of answers; what it does between two yields is one block
of work. It checks its message before it works.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

from zfcuda.live.answers.look import look
from zfcuda.live.answers.occlude import occlude
from zfcuda.live.desk import Desk
from zfcuda.live.messages import Answer, Message
from zfcuda.live.visitors import Visitor

Question = Callable[[Desk, Visitor, Message], Generator[Answer | None, None, None]]

#: Kind -> (its question, how urgent it is: the pointer's first).
QUESTIONS: dict[str, tuple[Question, int]] = {"occlude": (occlude, 0), "look": (look, 1)}
