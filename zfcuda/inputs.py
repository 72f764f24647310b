"""What every method asks of its caller, checked and worded once: image or picture, layer, target, probabilities."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zfcuda.class_names import class_names
from zfcuda.data.pictures import PICTURES, as_picture
from zfcuda.data.preprocessing import preprocess_of, said_of_unusable
from zfcuda.data.transforms import image_of
from zfcuda.network.example import image_dtypes, takes
from zfcuda.network.graph import no_such_layer, own_name, submodules, unwrap
from zfcuda.shown import plain

ClassTarget = int | str | Tensor | Callable[[Tensor], Tensor] | None
_MANY = "for many images of one size there are zfcuda.OcclusionMapper and zfcuda.Projector, which take them one by one"
PROBABILITIES = ("auto", "softmax", "sigmoid", "none")


def as_image(image: Any, model: Any) -> Any:
    """A picture as the image that the model's own preprocess makes of it, [1,C,H,W], on its device and of its dtype.

    Args:
        image: a PIL picture, the path of one, or an array uint8 [H,W,C]; anything else is returned as it is.
        model: a module, wrapped or not.

    Raises:
        TypeError: it is a list of them, the model carries no preprocess, or an array is not of uint8.
        ValueError: what is given cannot be read, or the preprocess makes something else of it.
    """
    if isinstance(image, list | tuple):
        raise TypeError(
            f"image: expected a Tensor [C,H,W] or [1,C,H,W], or one picture, got {type(image).__name__} of "
            f"{len(image)}; {_MANY}, and for a page of many pictures zfcuda.explain"
        )
    if not isinstance(image, PICTURES) or not isinstance(model, nn.Module):
        return image
    model = unwrap(model)
    if isinstance(image, np.ndarray) and image.dtype != np.uint8:
        raise TypeError(
            f"image: expected a Tensor, or a picture as an array uint8 [H,W,C], got ndarray {image.dtype} "
            f"{list(image.shape)}; torch.from_numpy makes a Tensor of it"
        )
    preprocess = preprocess_of(model)
    if preprocess is None:
        raise TypeError(
            f"image: expected a Tensor [C,H,W] or [1,C,H,W], got {type(image).__name__}; {type(model).__name__} has no "
            ".preprocess that makes one of a picture: set it to a zfcuda.Preprocess with what it was trained on"
            f"{said_of_unusable(model)}"
        )
    made = image_of(preprocess, as_picture(image, "image"), f"image: the preprocess of {type(model).__name__}")
    weights = [p for p in model.parameters() if p.is_floating_point()]
    if not weights:
        return made
    known = {weight.dtype for weight in weights}
    return made.to(weights[0].device, made.dtype if made.dtype in known else image_dtypes(model)[0])


def checked_image(image: Any, model: nn.Module, *, many: bool = False) -> Tensor:
    """The image as [1,C,H,W], without its history; of a picture, what the model's own preprocess makes of it.

    many: whether any number of images [N,C,H,W] is taken, and returned as they are; zfcuda.batches asks for that.

    Raises:
        TypeError: it is a picture and the model carries no preprocess; or it is no dense Tensor, not of a floating
            dtype, or of one that no weight has and the model does not take (autocast aside).
        ValueError: it is not [C,H,W] or [1,C,H,W], is empty, on a device without weights of the model or without
            numbers (meta), or not finite.
    """
    image = as_image(image, model)
    shapes = f"[C,H,W] or [{'N' if many else 1},C,H,W]"
    if not isinstance(image, Tensor):
        raise TypeError(
            f"image: expected a Tensor {shapes}, a PIL picture, a path or an array uint8 [H,W,C], got "
            f"{type(image).__name__}"
        )
    check_plain("image", image)
    if not image.is_floating_point():
        raise TypeError(f"image: expected a floating dtype, got {image.dtype}")
    if image.dim() not in (3, 4) or (image.dim() == 4 and image.shape[0] != 1 and not many):
        hint = f"; {_MANY}" if image.dim() == 4 and len(image) else ""
        raise ValueError(f"image: expected {shapes}, got shape {list(image.shape)}{hint}")
    if 0 in image.shape[-3:]:
        raise ValueError(f"image: expected at least one pixel, got shape {list(image.shape)}")
    weights = [p for p in model.parameters() if p.is_floating_point()]
    if weights and image.device not in {w.device for w in weights}:
        raise ValueError(f"image: expected it on the model's device, {weights[0].device}, got {image.device}")
    if len(image) and not torch.stack(image.detach().aminmax()).isfinite().all():  # a tenth of isfinite's time
        raise ValueError("image: expected finite values, got NaN or infinity")
    image = plain(image).detach()  # what a method returned before is a tensor like any other
    batch = image if image.dim() == 4 else image[None]
    channels = next((m.in_channels for m in model.modules() if isinstance(m, nn.Conv2d)), batch.shape[1])
    first = batch[:1] if len(batch) else batch.new_zeros(1, *batch.shape[1:])
    if batch.shape[1] != channels == batch.shape[3] and not takes(model, first):
        hint = f"image.permute({'2, 0, 1' if image.dim() == 3 else '0, 3, 1, 2'}) puts the channels first"
        raise ValueError(f"image: expected [C,H,W] of {channels} channels, got shape {list(image.shape)}; {hint}")
    foreign = weights and image.dtype not in {w.dtype for w in weights}
    # A model may convert its image to a dtype of its own.
    if foreign and not torch.is_autocast_enabled(image.device.type) and not takes(model, first):
        raise TypeError(f"image: expected the model's dtype, {image_dtypes(model)[0]}, got {image.dtype}")
    return batch


def same_size(image: Any, first: Tensor, model: nn.Module) -> Tensor:
    """An image as [1,C,H,W], of the shape, dtype and device of the first one.

    Raises:
        TypeError: it is not dense.
        ValueError: it is not so.
    """
    if isinstance(image, Tensor):
        check_plain("image", image)
    elif isinstance(image, PICTURES):
        image = as_image(image, model).to(first)
    batch = image[None] if isinstance(image, Tensor) and image.dim() == first.dim() - 1 else image
    if isinstance(batch, Tensor) and (batch.shape, batch.dtype, batch.device) == (
        first.shape,
        first.dtype,
        first.device,
    ):
        return plain(batch).detach()
    is_tensor = isinstance(image, Tensor)
    got = f"{image.dtype} {list(image.shape)} on {image.device}" if is_tensor else type(image).__name__
    raise ValueError(
        f"image: expected {first.dtype} {list(first.shape)} on {first.device}, as the first one, got {got}"
    )


def checked_layer(layer: str, model: nn.Module, wrapper: str = "") -> str:
    """The name of a layer that can be watched, as the model itself calls it.

    model: unwrapped. wrapper: what names begin with in the wrapper that it was given in.

    Raises:
        TypeError: it is no string.
        ValueError: the model has no submodule of this dotted name (the names that there are follow), or it is compiled
            by torch.jit.
    """
    if not isinstance(layer, str):
        raise TypeError(f"layer: expected the dotted name of a submodule, got {layer!r}")
    there = submodules(model)
    name = own_name(layer, there, wrapper)
    if name not in there:
        raise no_such_layer(model, layer, there)
    if isinstance(there[name], torch.jit.ScriptModule):
        raise ValueError(f"layer: {layer!r} is compiled by torch.jit, and gives its values to nobody")
    return name


def integer(name: str, value: Any, least: int | None = None) -> int:
    """An argument that counts.

    Raises:
        TypeError: with its name, for anything that is not an integer.
        ValueError: it is below the least.
    """
    if isinstance(value, bool):
        raise TypeError(f"{name}: expected an integer, got {value!r}")
    try:
        found = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: expected an integer, got {value!r}") from None
    if least is not None and found < least:
        raise ValueError(f"{name}: expected at least {least}, got {value}")
    return found


def number(name: str, value: Any) -> float:
    """An argument that measures; raises TypeError, with its name, for anything that is no real number."""
    if isinstance(value, bool | str | bytes):
        raise TypeError(f"{name}: expected a number, got {value!r}")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected a number, got {value!r}") from None


def above(name: str, value: Any, least: float = 0.0) -> float:
    """A finite number above another one.

    Raises:
        TypeError, ValueError: with its name, where it is none.
    """
    found = number(name, value)
    if not least < found < math.inf:
        raise ValueError(f"{name}: expected a number above {least:g}, got {found:g}")
    return found


def weight(name: str, value: Any) -> float:
    """A finite number of 0 or more.

    Raises:
        TypeError, ValueError: with its name, where it is none.
    """
    found = number(name, value)
    if not 0 <= found < math.inf:
        raise ValueError(f"{name}: expected a number of at least 0, got {found:g}")
    return found


def class_target(target: ClassTarget, base: Tensor, classes: Any = None) -> int | Callable[[Tensor], Tensor]:
    """The class index or callable that a target means; None is the most probable class. base: [classes].

    Args:
        target: an index, also as a NumPy integer or an integer tensor of one element; or the name of a class, as
            :meth:`zfcuda.class_names.ClassNames.find` takes it.
        classes: the model's names, by index; anything but a list or tuple of strings is none.

    Raises:
        TypeError, ValueError: it is neither, or no class of the model.
    """
    if target is None:
        return int(base.argmax())
    return target if callable(target) else class_index(target, len(base), classes)


def class_index(target: Any, count: int, classes: Any = None) -> int:
    """The index of the class, of `count`, that an index or name means. Arguments and errors are class_target's."""
    index = _named(target, count, classes) if isinstance(target, str) else _index(target)
    if not 0 <= index < count:
        raise ValueError(f"target: the model has classes 0 to {count - 1}, got {target}")
    return index


def _index(target: Any) -> int:
    if isinstance(target, Tensor):
        check_plain("target", target)
        kind = target.dtype
        if target.numel() != 1 or kind.is_floating_point or kind.is_complex or kind == torch.bool:
            raise TypeError(f"target: expected one integer, got {kind} of shape {list(target.shape)}")
        return int(target)
    try:
        return integer("target", target)
    except TypeError:
        raise TypeError(f"target: expected a class index or name, a callable or None, got {target!r}") from None


def _named(target: str, count: int, classes: Any) -> int:
    names = class_names(classes)
    if not names:
        raise ValueError(f"target: {target!r}, but the model has no names of its classes (.classes); give an index")
    if len(names) != count:
        raise ValueError(f"target: {target!r}, but the model has {len(names)} names (.classes) for {count} outputs")
    try:
        return names.find(target)
    except ValueError as error:
        raise ValueError(f"target: {error}") from None


def target_score(target: int | Callable[[Tensor], Tensor], logits: Tensor) -> Tensor:
    """What the target says of outputs [n,classes]: float32 [n].

    Raises:
        ValueError: a callable does not give one number for each.
    """
    return called_score(target, logits).float() if callable(target) else logits[:, target]


def called_score(target: Callable[[Tensor], Tensor], logits: Tensor) -> Tensor:
    """What a callable target gives for outputs [n,classes]: [n], of the dtype that it gives.

    Raises:
        ValueError: it does not give one number for each.
    """
    score = target(logits)
    if not isinstance(score, Tensor) or score.shape != logits.shape[:1]:
        got = list(score.shape) if isinstance(score, Tensor) else type(score).__name__
        raise ValueError(f"target: expected it to turn {list(logits.shape)} into {list(logits.shape[:1])}, got {got}")
    return score


def check_plain(name: str, value: Tensor) -> None:
    """Refuses tensors that cannot be asked for their numbers: nested and sparse ones, those on the device meta.

    Raises:
        TypeError: `value` is not dense.
        ValueError: it has no numbers.
    """
    if value.is_nested or value.layout != torch.strided:
        kind = "a nested tensor" if value.is_nested else str(value.layout)
        raise TypeError(f"{name}: expected a dense Tensor, got {kind}")
    if value.is_meta:
        raise ValueError(f"{name}: expected numbers, got shape {list(value.shape)} on the device meta, without any")


def normalization(logits: Tensor, how: str = "auto") -> str:
    """How outputs [n,classes] become probabilities: "softmax", "sigmoid" or "none".

    how: one of these, or "auto": one output -> sigmoid; outputs that already are a distribution -> none; else softmax.
    """
    if how != "auto":
        return how
    is_distribution = bool((logits >= 0).all()) and torch.allclose(logits.sum(1), logits.new_ones(()), atol=1e-3)
    return "sigmoid" if logits.shape[1] == 1 else "none" if is_distribution else "softmax"


def probabilities(logits: Tensor, how: str = "auto") -> Tensor:
    """Outputs [n,classes] as probabilities, in the same shape. how: as :func:`normalization` takes it."""
    how = normalization(logits, how)
    return {"sigmoid": torch.sigmoid, "softmax": lambda x: x.softmax(1), "none": lambda x: x}[how](logits)
