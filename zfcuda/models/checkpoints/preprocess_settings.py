"""A preprocess as plain settings in a file, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from torch import Tensor

from zfcuda.data.preprocess import DigitPreprocess, NotedPreprocess, Preprocess
from zfcuda.data.preprocess_facts import as_ours

_KINDS: dict[str, Any] = {"picture": Preprocess, "digit": DigitPreprocess}


def as_settings(preprocess: Any) -> tuple[dict[str, Any] | None, Tensor | None]:
    """What JSON takes of a preprocess, and its mean picture, which is a tensor of the file.

    Args:
        preprocess: a Preprocess, a DigitPreprocess, a transform whose settings are known, or None.

    Raises:
        TypeError: it is none of these.
    """
    if preprocess is None:
        return None, None
    if isinstance(preprocess, DigitPreprocess):
        return {"kind": "digit"} | asdict(preprocess), None
    ours = as_ours(preprocess)
    if ours is None:
        raise TypeError(
            f"preprocess: expected a zfcuda.Preprocess or None, got a {type(preprocess).__name__} whose settings are "
            "not known"
        )
    settings = {field.name: getattr(ours, field.name) for field in fields(ours) if field.name != "mean_image"}
    return {"kind": "picture"} | settings, ours.mean_image


def as_preprocess(settings: Mapping[str, Any] | None, mean_image: Tensor | None) -> Preprocess | DigitPreprocess | None:
    """The preprocess of these settings.

    Raises:
        TypeError, ValueError, KeyError: they are none.
    """
    if settings is None:
        return None
    given = dict(settings)
    kind: Any = _KINDS[given.pop("kind")]
    if "note" in given:
        kind = NotedPreprocess
    if mean_image is not None:
        given["mean_image"] = mean_image
    made: Preprocess | DigitPreprocess = kind(**given)
    return made
