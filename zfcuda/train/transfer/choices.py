"""The notes' four cases, measured: what each way to transfer gives on this data, and which one to take.

Source: the CS231n notes on transfer learning: few or many pictures, near to or far from those that the network has
learnt from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

#: The ways, the least work first, with how the sentence calls them.
WAYS = {
    "last": "a linear classifier on the last codes",
    "earlier": "a linear classifier on earlier codes",
    "fine-tune last": "fine-tuning the last layers",
    "fine-tune all": "fine-tuning all layers",
    "scratch": "training from scratch",
}
NOTES = {
    ("few", "near"): "last",
    ("few", "far"): "earlier",
    ("many", "near"): "fine-tune all",
    ("many", "far"): "fine-tune all",
}


@dataclass(frozen=True)
class Choice:
    """What a way to transfer gave on the test pictures.

    Attributes:
        way: of WAYS.
        what: which layer or run.
        accuracy: the share answered rightly; of several draws or runs the mean.
        standard_error: of it.
        pictures: training pictures, and of how many a class where a draw was made of them.
    """

    way: str
    what: str
    accuracy: float
    standard_error: float
    pictures: int
    per_class: int | None = None

    def facts(self) -> dict[str, Any]:
        """What a JSON file says of it."""
        return {
            "way": self.way,
            "what": self.what,
            "accuracy": round(self.accuracy, 6),
            "standard_error": round(self.standard_error, 6),
            "pictures": self.pictures,
            "per_class": self.per_class,
        }

    def __str__(self) -> str:
        return f"{self.accuracy:.1%} +- {self.standard_error:.1%}"


def recommended(choices: Sequence[Choice]) -> Choice:
    """The least work among those within one standard error of the most accurate (Breiman's rule of one error).

    Raises:
        ValueError: there are none, or one of no known way.
    """
    if not choices or any(choice.way not in WAYS for choice in choices):
        raise ValueError(f"choices: expected some, each of the ways {', '.join(WAYS)}, got {choices!r}")
    best = max(choices, key=lambda choice: choice.accuracy)
    enough = [choice for choice in choices if choice.accuracy >= best.accuracy - best.standard_error]
    order = list(WAYS)
    return min(enough, key=lambda choice: (order.index(choice.way), -choice.accuracy))


def nearness(choices: Sequence[Choice]) -> str | None:
    """Whether the data is near to what the network has learnt from: "far" where earlier codes beat the last ones.

    By more than one standard error of theirs. None where one of the two was not measured.
    """
    last = [choice for choice in choices if choice.way == "last"]
    earlier = [choice for choice in choices if choice.way == "earlier"]
    if not last or not earlier:
        return None
    ahead = max(earlier, key=lambda choice: choice.accuracy)
    return "far" if ahead.accuracy - max(c.accuracy for c in last) > ahead.standard_error else "near"


def advice(few: Sequence[Choice], many: Sequence[Choice]) -> str:
    """One sentence: which way to take with a few pictures of each class, and with all.

    Args:
        few: what was measured with a few pictures a class; may be empty.
        many: with all.
    """
    parts = [_part(choices) for choices in (many, few) if choices]
    known = nearness(few or many)
    near = {
        "near": "the last codes do as well as earlier ones: this data is near to what the network has learnt from",
        "far": "earlier codes do better than the last ones: this data is far from what the network has learnt from",
    }
    return "; ".join([*parts, *([near[known]] if known else [])]) + "."


def _part(choices: Sequence[Choice]) -> str:
    take = recommended(choices)
    best = max(choices, key=lambda choice: choice.accuracy)
    few = take.per_class is not None
    data = f"with {take.per_class} a class" if few else f"With all {take.pictures:,} pictures"
    said = f"{data} take {WAYS[take.way]} ({take.what}): {take}"
    others = [choice for choice in choices if choice is not take]
    if not others:
        return f"{said}, the only way that was measured"
    if best is take:
        second = max(others, key=lambda choice: choice.accuracy)
        return f"{said}, the most accurate; next comes {WAYS[second.way]} ({second.what}) with {second.accuracy:.1%}"
    return (
        f"{said}, the least work of those within one standard error of the best, {WAYS[best.way]} ({best.what}) "
        f"with {best.accuracy:.1%}"
    )


def cases(few: Sequence[Choice], many: Sequence[Choice]) -> list[dict[str, Any]]:
    """The rows of the notes that this data is in: what they advise, what was measured, and what that says to take."""
    found = []
    near = nearness(few or many)
    for amount, choices in (("few", few), ("many", many)):
        if not choices:
            continue
        notes = NOTES.get((amount, near)) if near else None
        found.append(
            {
                "pictures": amount,
                "data": near,
                "notes": notes,
                "measured": [choice.facts() for choice in choices],
                "take": recommended(choices).facts(),
            }
        )
    return found
