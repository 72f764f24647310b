"""Weights that say which network they are of, what its classes are called and how its pictures are made.

All of it is one safetensors file: the tensors of the state_dict by their names, the mean picture under a name of its
own, and the rest as JSON in the metadata, under KEY. Nothing in it is ever executed or imported.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.complaint import one_line, reason
from zfcuda.data.preprocess import DigitPreprocess, Preprocess
from zfcuda.files.drafts import whole
from zfcuda.files.tensors import save_tensors
from zfcuda.models.architectures.registry import entry, is_name
from zfcuda.models.checkpoints.errors import WeightsError
from zfcuda.models.checkpoints.external import PACKAGES
from zfcuda.models.checkpoints.preprocess_settings import as_preprocess, as_settings
from zfcuda.models.checkpoints.read import MEAN_IMAGE, read_metadata, read_tensor
from zfcuda.network.graph import unwrap

KEY = "zfcuda.trained"
_VERSION = 1
_LOADING = ("weights", "pretrained", "checkpoint")  # options by which builders load something


@dataclass(frozen=True)
class Trained:
    """What a file of weights says about itself.

    Attributes:
        network: a name of ``zfcuda.models.NAMES``, "torchvision/NAME", "timm/NAME" or "module:attribute".
        options: what it is built with: num_classes, and width of a ZFNet.
        classes: the names of its outputs; empty where they have none.
        preprocess: PIL picture -> Tensor [1,C,H,W]; None: not known.
        facts: of the training: command, seed, accuracy and the like.
    """

    network: str
    options: Mapping[str, Any]
    classes: tuple[str, ...]
    preprocess: Preprocess | DigitPreprocess | None
    facts: Mapping[str, Any]

    @property
    def own(self) -> bool:
        """Whether it is a network of the user's own Python, which only runs where the user names it."""
        return ":" in self.network

    @property
    def num_classes(self) -> int | None:
        return self.options.get("num_classes", len(self.classes) or None)

    @property
    def input_size(self) -> tuple[int, int, int] | None:
        """(C, H, W) of what its preprocess makes."""
        if isinstance(self.preprocess, DigitPreprocess):
            return 1, self.preprocess.size, self.preprocess.size
        return None if self.preprocess is None else (len(self.preprocess.mean), *self.preprocess.sides)


def save_trained(
    path: str | os.PathLike[str],
    model: nn.Module,
    *,
    network: str,
    options: Mapping[str, Any],
    classes: Sequence[str],
    preprocess: Any,
    facts: Mapping[str, Any],
    dtype: torch.dtype | None = None,
) -> None:
    """Writes the weights of a network and what is known about them: :func:`zfcuda.models.load` needs the file alone.

    Args:
        path: the file, *.safetensors; written whole or not at all, an earlier one stays until then.
        model: its weights are written, parameters and buffers, without the wrapper of torch.compile or
            DataParallel. Tensors that share memory are each written.
        network: what builds it: a name of ``zfcuda.models.NAMES``, "torchvision/NAME", "timm/NAME", or
            "module:attribute" of Python that whoever loads the file has, and names.
        options: what it is built with: num_classes; for a ZFNet width and variant. Numbers alone, but for the variant.
        classes: the names of its outputs, as many; empty where they have none.
        preprocess: how its pictures are made: a :class:`zfcuda.Preprocess`, with a mean picture too, DigitPreprocess,
            or a transform whose settings are known; None: not known.
        facts: what else is worth knowing, as JSON takes it: the command, seed, accuracy, recipe, epoch.
        dtype: what floating weights are written as, float16 for half the size; None: as they are.

    Raises:
        TypeError, ValueError: naming the argument that is none of these, or the weight that float16 cannot hold.
        OSError: the disk refuses.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"path: expected a name that ends in .safetensors, got {path}")
    network, options = _named(network, options)
    if dtype is not None and not dtype.is_floating_point:
        raise ValueError(f"dtype: expected a floating one, got {dtype}")
    if isinstance(classes, str) or not all(isinstance(name, str) for name in classes):
        raise TypeError(f"classes: expected a list of names, got {classes!r:.200}")
    if classes and options.get("num_classes", len(classes)) != len(classes):
        raise ValueError(f"classes: expected {options['num_classes']} names, as num_classes says, got {len(classes)}")
    settings, mean_image = as_settings(preprocess)
    known = {
        "version": _VERSION,
        "network": network,
        "options": dict(options),
        "classes": list(classes),
        "preprocess": settings,
        "facts": dict(facts),
    }
    try:
        text = json.dumps(known, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise type(error)(f"facts: expected what JSON takes, got {dict(facts)!r:.200} ({error})") from None
    tensors = _tensors(unwrap(model), dtype)
    if mean_image is not None:
        tensors[MEAN_IMAGE] = mean_image
    try:
        with whole(path, durable=True) as [draft]:
            save_tensors(tensors, draft, {"format": "pt", KEY: text})
    except Exception as error:
        if type(error).__module__.startswith("safetensors"):  # an error of its own, even for a full disk
            raise OSError(f"{path}: cannot be written ({error})") from None
        raise


def read_trained(path: str | os.PathLike[str]) -> Trained | None:
    """What :func:`save_trained` wrote about the weights in a file; None where nobody did.

    Raises:
        WeightsError: it is of a newer version, or damaged.
    """
    text = read_metadata(path).get(KEY)
    if text is None:
        return None
    try:
        known = json.loads(text)
        if known["version"] > _VERSION:
            raise WeightsError(
                f"{path}: written by a newer zfcuda (description {known['version']}, this one reads up to {_VERSION}); "
                "pip install --upgrade zfcuda"
            )
        mean_image = read_tensor(path, MEAN_IMAGE)
        preprocess = as_preprocess(known["preprocess"], mean_image)
        network, options = _named(known["network"], known["options"])
        classes = tuple(known["classes"])
        if not all(isinstance(name, str) for name in classes):
            raise TypeError("names that are none")
        return Trained(network, options, classes, preprocess, dict(known["facts"]))
    except WeightsError:
        raise
    except (TypeError, ValueError, KeyError, AttributeError, RecursionError) as error:
        said = one_line(f"{type(error).__name__}: {error}"[:200])
        raise WeightsError(f"{path}: what it says about its weights cannot be read ({said})") from None


def build_trained(trained: Trained, file: Path) -> nn.Module:
    """The network of NAMES that a file says its weights are of, with weights drawn at random.

    Raises:
        WeightsError: the options are none of this network's.
    """
    build: Any = entry(trained.network).build
    try:
        network: nn.Module = build(**trained.options)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        said = one_line(reason(error))
        raise WeightsError(
            f"{file}: {trained.network} cannot be built with {dict(trained.options)!r:.200} ({said})"
        ) from None
    return network


def _named(network: Any, options: Any) -> tuple[str, dict[str, Any]]:
    """The network by the name that says its variant, and its options without that; both checked."""
    if not isinstance(network, str) or not network.isprintable():
        raise TypeError(f"network: expected a name, got {network!r:.200}")
    package, _, name = network.partition("/")
    if not is_name(network) and not (package in PACKAGES and name) and ":" not in network:
        try:
            entry(network)
        except ValueError as error:  # with the names that come near
            raise ValueError(str(error).replace("name:", "network:", 1)) from None
    options = dict(options)
    variant = options.pop("variant", None) if network.startswith("zfnet") else None
    if variant is not None:
        network = "zfnet" if variant == "paper" else f"zfnet_{variant}"
        if not is_name(network):
            raise ValueError(f"options: no variant {variant!r:.200} of zfnet")
    for key, value in options.items():
        # A number names no file and asks for no download.
        if not isinstance(value, int | float) or isinstance(value, bool) or str(key).startswith(_LOADING):
            raise ValueError(
                f"options: expected numbers, as num_classes and width are, got {key!r:.100}: {value!r:.100}"
            )
    return network, options


def _tensors(model: nn.Module, dtype: torch.dtype | None) -> dict[str, Tensor]:
    """Copies of a network's weights that share no memory, on the CPU."""
    tensors = {}
    for name, value in model.state_dict().items():
        if not isinstance(value, Tensor):
            continue  # what a module keeps beside its weights, which no file of weights has
        if value.is_meta or value.layout != torch.strided or value.is_quantized:
            raise ValueError(f"model: {name!r} is not a plain dense tensor with numbers in it")
        wanted = dtype if dtype is not None and value.is_floating_point() else value.dtype
        tensors[name] = value.detach().to("cpu", wanted, copy=True, memory_format=torch.contiguous_format)
        if wanted != value.dtype and not tensors[name].isfinite().all() and value.isfinite().all():
            raise ValueError(
                f"dtype: {name!r} has numbers up to {float(value.abs().max()):.3g}, too large for {wanted}"
            )
    if not tensors:
        raise ValueError(f"model: {type(model).__name__} has no weights")
    return tensors
