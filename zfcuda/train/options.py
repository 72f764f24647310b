"""What can be chosen about a training run."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zfcuda.train import kinds

_WHOLE = ("epochs", "batch", "views", "teacher_views", "short_side", "size", "patience")
_NATURAL = ("seed", "workers", "warm_up", "close_ups")
_SHARES = (
    "dropout",
    "label_smoothing",
    "ema",
    "momentum",
    "colour",
    "distill",
    "cache",
)  # from 0 to below 1, or 1 for the last
_POSITIVE = ("rate", "width", "factor", "initial", "temperature", "save_minutes")
_AT_LEAST_0 = ("weight_decay", "filter_rms", "clip")
_KINDS: dict[Any, tuple[str, ...]] = {
    kinds.whole: (*_WHOLE, *_NATURAL, "keep"),
    kinds.number: (*_SHARES, *_POSITIVE, *_AT_LEAST_0, "smallest", "split"),
    kinds.text: ("recipe", "model", "weights", "freeze_below", "teacher", "device"),
    kinds.truth: ("tensorboard",),
    kinds.epochs: ("snapshots",),
}
#: What an option of words may be.
CHOICES = {
    "optimizer": ("sgd", "adamw"),
    "schedule": ("plateau", "cosine"),
    "init": ("normal", "he", "keep"),
    "crops": ("ten", "resized", "close_ups"),
    "mean": ("pixel", "channel", "model"),
    "precision": ("auto", "float32", "bfloat16"),
}
# What has an effect where another option has this value alone: who gives it must not wait for nothing.
_NEEDS = {
    "momentum": ("optimizer", "sgd"),
    "factor": ("schedule", "plateau"),
    "patience": ("schedule", "plateau"),
    "warm_up": ("schedule", "cosine"),
    "initial": ("init", "normal"),
    "smallest": ("crops", "resized"),
    "colour": ("crops", "resized"),
    "close_ups": ("crops", "close_ups"),
}
MOST_AT_ONCE = 1024  # processes: more than any machine has use for, fewer than bring one down


@dataclass(frozen=True)
class Options:
    """One training run; equal options on the same data and machine give equal weights.

    Every recipe has a default for what is None here; see :mod:`zfcuda.train.recipes`.

    Attributes:
        recipe: whose defaults hold; None: close_ups for a ZFNet on Parts, else modern.
        model: a name of ``zfcuda.models.NAMES`` or "module:attribute".
        width: of a ZFNet, see ``zfcuda.models.zfnet``, or of alexnet_one_tower; 1 is the paper's. Others have none.
        weights: a file that the network starts from; None: it starts from ``init``. A classifier for other classes is
            begun anew.
        freeze_below: the layer below which nothing learns, batch norms included.
        teacher: a network whose soft answers are learned beside the labels (Hinton et al. 2015).
        distill: the share of the teacher in the loss.
        temperature: of the soft answers.
        teacher_views: how many views of each picture the teacher is asked about; later epochs see these again, and its
            answers are kept: [teacher_views, pictures, classes] of float32. None: another view in every epoch.
        epochs: how often each picture is seen.
        batch: pictures per step, of all processes together; None: the recipe's, or all where there are fewer.
        rate: the learning rate; of a cosine its largest.
        optimizer: "sgd" with momentum, or "adamw".
        momentum: of SGD.
        weight_decay: of all weights of more than one dimension.
        schedule: "plateau": the rate is multiplied by ``factor`` where the validation error has not fallen for
            more than ``patience`` epochs; "cosine": it falls to 0 along one.
        factor, patience: of the plateau.
        warm_up: steps in which the rate rises from 0; half of all at most.
        clip: the largest norm of the gradient; 0: any.
        dropout: the share that every dropout layer drops; None: as the network has it.
        label_smoothing: the share of the label that is spread over all classes.
        ema: decay of the moving average of the weights, which is what is validated and kept; 0: none.
        filter_rms: filters of convolutions whose root mean square passes it are scaled back to it; 0: none.
        init: "normal" with deviation ``initial``, biases 0; "he"; "keep": as the network is built.
        initial: the deviation of "normal".
        short_side, size: the picture's short side is scaled to the first, and what the network sees has the second.
            Where the second alone is given, the first keeps the recipe's proportion to it.
        crops: "ten": one of ten sub-crops of the centre; "resized": a random part, scaled; "close_ups": of Parts.
        smallest: of "resized", the smallest share of the picture's area.
        colour: of "resized", how far brightness, contrast and saturation are changed.
        mean: what is subtracted: the "pixel"'s mean over the training pictures; the "channel"'s mean, divided by
            its deviation; "model": what the network that training starts from was trained with.
        views: 10: the mean of the answers for ten sub-crops is validated and tested; 1: the centre.
        close_ups: of "close_ups", epochs on close-ups, before whole pictures.
        precision: "auto": bfloat16 where that is fast, as autocast has it.
        split: the share of pictures for validation, and for test, where the data has no such parts.
        seed: of the initial weights, the split, the order, the views and dropout.
        workers: processes that load pictures, for each process that trains; None: as many as there are cores to spare.
        cache: the largest share of the free memory that decoded pictures may take. Where they do not fit, as those of
            ImageNet, they are read anew in every epoch. It changes no picture.
        device: where the network runs.
        keep: how many checkpoints are kept.
        save_minutes: the longest time between two of them.
        snapshots: epochs after which the weights are kept in a file of their own, snapshots/epoch-0005.safetensors.
        tensorboard: whether TensorBoard's files are written; needs the extra: ``pip install zfcuda[log]``.

    Raises:
        ValueError: naming the option that is out of range.
    """

    recipe: str | None = None
    model: str = "zfnet"
    width: float | None = None
    weights: str | None = None
    freeze_below: str | None = None
    teacher: str | None = None
    distill: float = 1.0
    temperature: float = 1.0
    teacher_views: int | None = None
    epochs: int | None = None
    batch: int | None = None
    rate: float | None = None
    optimizer: str | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    schedule: str | None = None
    factor: float | None = None
    patience: int | None = None
    warm_up: int | None = None
    clip: float | None = None
    dropout: float | None = None
    label_smoothing: float | None = None
    ema: float | None = None
    filter_rms: float | None = None
    init: str | None = None
    initial: float | None = None
    short_side: int | None = None
    size: int | None = None
    crops: str | None = None
    smallest: float | None = None
    colour: float | None = None
    mean: str | None = None
    views: int | None = None
    close_ups: int | None = None
    precision: str | None = None
    split: float = 0.1
    seed: int = 0
    workers: int | None = None
    cache: float = 0.25
    device: str = "cpu"
    keep: int = 3
    save_minutes: float = 5.0
    snapshots: Sequence[int] | None = None
    tensorboard: bool = False

    def __post_init__(self) -> None:
        kinds.checked(self, _KINDS)
        for names, low, high in (
            (_WHOLE, 1, math.inf),
            (_NATURAL, 0, math.inf),
            (_AT_LEAST_0, 0, math.inf),
            (_SHARES, 0, 1),
        ):
            for name in names:
                value = getattr(self, name)
                if value is not None and not (low <= value <= high and value < math.inf):
                    wanted = f"at least {low}" if high == math.inf else f"{low} to {high}"
                    raise ValueError(f"{name}: expected {wanted}, got {value}")
        for name in _POSITIVE:
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name}: expected a positive number, got {value}")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in (None, *choices):
                raise ValueError(f"{name}: expected one of {choices}, got {getattr(self, name)!r}")
        if self.dropout == 1:
            raise ValueError("dropout: expected from 0 to below 1, got 1")
        if self.ema == 1:
            raise ValueError("ema: expected from 0 to below 1, got 1")
        if self.factor is not None and self.factor >= 1:
            raise ValueError(f"factor: expected above 0 and below 1, got {self.factor}")
        if self.teacher is not None and self.distill == 0:
            raise ValueError("distill: expected above 0, as there is a teacher to learn of, got 0")
        if self.teacher is None:
            for name, usual in (("teacher_views", None), ("distill", 1), ("temperature", 1)):
                if getattr(self, name) != usual:
                    raise ValueError(f"{name}: expected none without a teacher, got {getattr(self, name)}")
        if self.mean == "model" and self.weights is None:
            raise ValueError("mean: expected pixel or channel where there are no weights to start from, got model")
        if self.width not in (None, 1) and not _scales(self.model):
            raise ValueError(f"width: expected none for {self.model}, which takes none, got {self.width}")
        if self.views not in (None, 1, 10):
            raise ValueError(f"views: expected 1 or 10, got {self.views}")
        if self.smallest is not None and not 0 < self.smallest <= 1:
            raise ValueError(f"smallest: expected above 0 and at most 1, got {self.smallest}")
        if not 0 < self.split < 0.5:
            raise ValueError(f"split: expected above 0 and below 0.5, got {self.split}")
        if self.seed >= 2**32:
            raise ValueError(f"seed: expected below 2**32, got {self.seed}")
        if self.workers is not None and self.workers > MOST_AT_ONCE:
            raise ValueError(f"workers: expected at most {MOST_AT_ONCE}, got {self.workers}")
        if self.keep < 1:
            raise ValueError(f"keep: expected at least 1, got {self.keep}")
        if self.short_side is not None and self.size is not None and self.short_side < self.size:
            raise ValueError(f"short_side: expected at least size, {self.size}, got {self.short_side}")

    def completed(self, defaults: Mapping[str, Any]) -> Options:
        """These options with what is None taken from a recipe.

        Raises:
            ValueError: one was given that has no effect beside the others.
        """
        missing = {name: value for name, value in defaults.items() if getattr(self, name) is None}
        if self.size is not None and "short_side" in missing:
            missing["short_side"] = round(self.size * defaults["short_side"] / defaults["size"])
        whole = dataclasses.replace(self, **missing)
        for name, (other, value) in _NEEDS.items():
            if getattr(self, name) and getattr(whole, other) != value:
                raise ValueError(
                    f"{name}: expected none where {other} is {getattr(whole, other)}, not {value}, got "
                    f"{getattr(self, name)}"
                )
        if self.teacher is not None:
            if self.label_smoothing and self.distill == 1:
                raise ValueError(
                    "label_smoothing: expected none where distill is 1, as no label is learned then, got "
                    f"{self.label_smoothing}"
                )
            if whole.crops == "close_ups" and whole.close_ups:
                raise ValueError(f"teacher: expected none where close_ups is {whole.close_ups}, got {self.teacher}")
        return whole


#: What may differ between two starts of one run, as it changes no weight.
OF_THE_START = ("workers", "cache", "device", "keep", "save_minutes", "snapshots", "tensorboard")


def refuse_unknown(names: Iterable[str], options: Any = Options) -> None:
    """Refuses options that there are not. options: the dataclass that has those that there are.

    Raises:
        TypeError: naming the first, and what may be meant.
    """
    known = [field.name for field in dataclasses.fields(options)]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise TypeError(f"{name}: no such option; {meant}")


def _scales(model: str) -> bool:
    """Whether a network takes a width; asked here, as the help of a command needs options and no torch."""
    from zfcuda.models.architectures.registry import scales

    return scales(model)
