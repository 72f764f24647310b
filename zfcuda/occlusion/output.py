"""What of a model's answer is mapped, where it is a dict, a tuple, or a dense map."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn

from zfcuda import answers
from zfcuda.answers import parts_of, spoken
from zfcuda.network.graph import INNER

Output = Callable[[Any], Tensor] | str | int


def areas(answer: Any) -> Tensor:
    """The share of the image that each class takes, of what a segmentation model answers: for `output=`.

    It is the mean of the probability, by softmax over the classes; each row adds up to 1, and probability="auto" takes
    it as it is.

    Args:
        answer: logits [N,classes,H,W] of two classes or more; of a dict or tuple the first value.

    Returns:
        [N,classes], of the logits' dtype.

    Raises:
        ValueError: it is no such map.
    """
    return _dense(answer, "areas", least=2).softmax(1).mean((2, 3))


def foreground(answer: Any) -> Tensor:
    """The share of the image that each class takes by itself, by the sigmoid: areas() of masks that may overlap.

    Args:
        answer: logits [N,classes,H,W], of one mask or of several; of a dict or tuple the first value.

    Returns:
        [N,classes], of the logits' dtype.

    Raises:
        ValueError: it is no such map.
    """
    return _dense(answer, "foreground", least=1).sigmoid().mean((2, 3))


def _dense(answer: Any, name: str, least: int) -> Any:
    """The dense map in an answer."""
    if isinstance(answer, Mapping):
        answer = next(iter(answer.values()))
    elif isinstance(answer, tuple | list):
        answer = answer[0]
    if type(answer) is Tensor:  # not a stand-in, of which nothing is known while the model is followed
        if answer.dim() != 4:
            raise ValueError(f"output: {name}() expected a dense map [N,classes,H,W], got {spoken(answer)}")
        if answer.shape[1] < least:
            raise ValueError(
                f"output: {name}() expected {least} classes or more, got {spoken(answer)}; "
                "zfcuda.occlusion.foreground takes the map of one class"
            )
    return answer


class ModelWithOutput(nn.Module):
    """A model, and what makes scores [N,K] of its answer, as one model; its layers go by the names that they had.

    model: images [N,C,H,W] -> anything. output: as in zfcuda.occlusion_map; a module counts as a part of the model.

    Raises:
        TypeError: output is nothing that picks.
    """

    def __init__(self, model: nn.Module, output: Output) -> None:
        super().__init__()
        setattr(self, INNER, model)
        self._output = picking(output)

    def forward(self, images: Any) -> Any:
        return self._output(getattr(self, INNER)(images))


def picking(output: Output) -> Callable[[Any], Any]:
    """What makes scores of a model's answer.

    Raises:
        TypeError: output is nothing that does.
    """
    if callable(output):
        return output
    if isinstance(output, bool) or not isinstance(output, str | int):
        raise TypeError(f"output: expected a callable, a key or an index, got {output!r}")
    return _Pick(output)


@dataclasses.dataclass(frozen=True)
class _Pick:
    """Takes one part of what a model answers, by its key, attribute or index."""

    key: str | int

    def __call__(self, answer: Any) -> Any:
        try:
            if isinstance(self.key, str) and not isinstance(answer, Mapping):
                if not isinstance(answer, Tensor | tuple | list):
                    return getattr(answer, self.key)
            elif not isinstance(answer, Tensor):
                return answer[self.key]
        except (KeyError, IndexError, TypeError, AttributeError):
            pass
        raise ValueError(f"output: {self.key!r} is not in what the model returns: {spoken(answer)}")


def scores_of(answer: Any, count: int, *, picked: bool) -> Tensor:
    """Checks what is mapped. picked: whether output= made it. Returns float32 [n,classes].

    Raises:
        ValueError: it is not [n,classes] of a floating dtype, for `count` images.
    """
    return answers.scores_of(answer, count, "output" if picked else "model", partial(_advice, picked=picked)).float()


def _advice(answer: Any, picked: bool) -> str:
    """What would help, for the end of an error."""
    if isinstance(answer, Tensor):
        if picked and not answer.is_floating_point() and not answer.is_complex():
            return "; .float() makes scores of counts"
        if answer.dim() != 4 or not answer.is_floating_point():
            return ""
        return "; zfcuda.occlusion.areas makes scores of a dense map" + ("" if picked else ": output=areas")
    parts = parts_of(answer)
    first = next(iter(parts.values()), None)
    if isinstance(first, Tensor) and first.dim() == 4 and not picked:
        return "; output=zfcuda.occlusion.areas makes scores of a segmentation, and a callable of anything"
    if picked or not parts:
        return "" if picked else "; output= takes a callable that makes scores of it"
    return f"; which of them? output={next(iter(parts))!r}, or a callable that makes scores of it"


def named(output: Output) -> str | int:
    """What a record says of `output=`: the key or index; the module and the name of a callable."""
    if isinstance(output, str | int):
        return output
    kind = output if hasattr(output, "__qualname__") else type(output)
    return f"{kind.__module__}:{kind.__qualname__}"
