"""Networks from elsewhere: torchvision and timm by name, and whatever the user's own Python makes."""

from __future__ import annotations

import difflib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import nn

from zfcuda.complaint import reason
from zfcuda.data.preprocessing import as_preprocess
from zfcuda.data.transforms import Adapted
from zfcuda.models.checkpoints.plain_torchvision import plain_torchvision

PACKAGES = ("torchvision", "timm")
# Their published weights were trained with another mean and deviation, which their first step makes of ImageNet's.
_RECOLOURING = ("googlenet", "inception_v3")


@dataclass(frozen=True)
class External:
    """A network of another package.

    Attributes:
        build: num_classes, or nothing -> the network, with random weights.
        describe: the network -> (PIL picture -> Tensor [1,C,H,W], (C, H, W), class names), each None where unknown.
    """

    build: Callable[..., nn.Module]
    describe: Callable[[nn.Module], tuple[Any, Any, Any]]


def find(package: str, name: str) -> External | None:
    """A network of "torchvision" or "timm"; None: the package has none of that name.

    Raises:
        ValueError: the package is not installed, or cannot be imported.
    """
    plain = plain_torchvision()  # timm imports it, too
    found = plain(_torchvision if package == "torchvision" else _timm)(name)
    return found and External(plain(found.build), plain(found.describe))


def near(package: str, name: str) -> list[str]:
    """The names of an installed package's networks that come near; none where it cannot be imported."""
    try:
        module = plain_torchvision()(_import)("torchvision.models" if package == "torchvision" else package)
        return difflib.get_close_matches(name.lower(), module.list_models(), n=3, cutoff=0.75)
    except (ValueError, AttributeError):
        return []


def installed(package: str) -> bool:
    if package in sys.modules:
        return sys.modules[package] is not None
    return importlib.util.find_spec(package) is not None


def _import(module: str) -> ModuleType:
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name == package:
            raise ValueError(f"{package} is not installed: pip install {package}") from None
        raise ValueError(f"{package} cannot be imported: {error}") from None
    except Exception as error:  # for example, it was built for another torch
        raise ValueError(f"{package} cannot be imported: {reason(error)}") from None


def _torchvision(name: str) -> External | None:
    models = _import("torchvision.models")
    if name not in models.list_models():
        return None
    more = {"transform_input": True, "init_weights": False} if name in _RECOLOURING else {}
    more |= without_downloads(models.get_model_builder(name))

    def describe(model: nn.Module) -> tuple[Any, Any, Any]:
        published = list(models.get_model_weights(name))
        if not published:
            return None, None, None
        first = published[0]  # the oldest weights, which the name has always stood for
        transform = first.transforms()
        crop = getattr(transform, "crop_size", None)
        size = None if not crop else (3, crop[0], crop[-1])
        return Adapted(transform, f"of {first}"), size, first.meta.get("categories")

    return External(lambda **options: models.get_model(name, **{"weights": None, **more, **options}), describe)


def _timm(name: str) -> External | None:
    timm = _import("timm")
    if not timm.is_model(name):
        return None

    def describe(model: nn.Module) -> tuple[Any, Any, Any]:
        settings = importlib.import_module("timm.data").resolve_model_data_config(model)
        return as_preprocess(settings), tuple(settings["input_size"]), None

    return External(lambda **options: timm.create_model(name, pretrained=False, **options), describe)


def without_downloads(build: Callable[..., Any]) -> dict[str, Any]:
    """What a builder takes and must be told so that it fetches no weights, such as those of a backbone."""
    try:
        parameters = inspect.signature(build).parameters
    except (TypeError, ValueError):  # a builtin without a signature
        return {}
    return {name: None for name in parameters if name.startswith("weights")} | {
        name: False for name in parameters if name.startswith("pretrained")
    }


def from_python(name: str, num_classes: int | None, more: Mapping[str, Any] | None = None) -> nn.Module:
    """What `module:attribute` names: a network, or something that returns one when called.

    The module is imported, so its code runs. It may also lie in the folder in which the command was started.

    Args:
        name: "my_pkg.nets:make_net"; the attribute may be dotted.
        num_classes: passed on where it is given, to a callable that takes it.
        more: what a callable is given besides, its num_classes only where it takes that; a network is as it is.

    Raises:
        ValueError: no such module or attribute; it fails; it is no network, nor returns one without arguments.
    """
    target = attribute(name)
    if isinstance(target, nn.Module):
        if num_classes is not None:
            raise ValueError(f"num_classes: {name} is a network already, not a function that makes one")
        return target
    if not callable(target):
        raise ValueError(
            f"{name!r}: a {type(target).__name__}, neither a torch.nn.Module nor a function that makes one"
        )
    options = {key: value for key, value in (more or {}).items() if key != "num_classes" or _takes(target, key)}
    options |= {} if num_classes is None else {"num_classes": num_classes}
    if str(getattr(target, "__module__", "")).partition(".")[0] in PACKAGES:
        options |= without_downloads(target)
        target = plain_torchvision()(target)
    try:
        inspect.signature(target).bind(**options)
    except TypeError as error:
        raise ValueError(f"{name!r}: cannot be called with {_spoken(options)} ({error})") from None
    except ValueError:  # a builtin without a signature
        pass
    try:
        made = target(**options)
    except (Exception, SystemExit) as error:
        raise ValueError(f"{name!r}: fails when called: {reason(error)}") from error
    if not isinstance(made, nn.Module):
        raise ValueError(f"{name!r}: returns a {type(made).__name__}, not a torch.nn.Module")
    return made


def _takes(function: Callable[..., Any], name: str) -> bool:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # a builtin without a signature
        return True
    return name in parameters or any(each.kind is each.VAR_KEYWORD for each in parameters.values())


def attribute(name: str) -> Any:
    """What `module:attribute` of the user's own Python names; the module is imported, so its code runs.

    Raises:
        ValueError: no such module or attribute.
    """
    module_name, _, dotted = name.partition(":")
    if not module_name or not dotted:
        raise ValueError(f"{name!r}: expected module:attribute, as in my_package.nets:make_net")
    target: Any = _module(name, module_name)
    for part in dotted.split("."):
        if not _has(name, target, part):
            own = [key for key in vars(target) if not key.startswith("_")] if isinstance(target, ModuleType) else []
            there = f"; it has {', '.join(own[:12])}" if own else ""
            near = difflib.get_close_matches(part, dir(target), n=3)
            there = f"; did you mean {', '.join(near)}?" if near else there
            raise ValueError(f"{name!r}: {module_name} has no {dotted!r}{there}")
        target = getattr(target, part)
    return target


def _module(name: str, module: str) -> ModuleType:
    here = [] if "" in sys.path else [""]  # as under `python -m`, which the installed command is not
    sys.path[:0] = here
    load = importlib.import_module
    try:
        return (plain_torchvision()(load) if module.partition(".")[0] in PACKAGES else load)(module)
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or module.startswith(f"{error.name}.")):
            raise ValueError(f"{name!r}: no Python module {error.name!r} here") from None
        raise ValueError(f"{name!r}: importing {module} fails: {reason(error)}") from error
    except (Exception, SystemExit) as error:  # whatever the user's module may raise
        raise ValueError(f"{name!r}: importing {module} fails: {reason(error)}") from error
    finally:
        for place in here:
            sys.path.remove(place)


def _spoken(options: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in options.items()) or "no arguments"


def _has(name: str, target: Any, attribute: str) -> bool:
    try:
        return hasattr(target, attribute)
    except (Exception, SystemExit) as error:  # a property of the user's, or a module's __getattr__
        raise ValueError(f"{name!r}: looking for {attribute!r} fails: {reason(error)}") from error


def shapes_with(build: Callable[..., nn.Module], num_classes: int) -> dict[str, tuple[int, ...]]:
    """The shapes of a network's state_dict for so many classes, without memory for its weights."""
    with torch.device("meta"):
        return {key: tuple(value.shape) for key, value in build(num_classes=num_classes).state_dict().items()}
