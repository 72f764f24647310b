"""The settings of a preprocess as plain facts, for JSON, and as one line for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

from torch import Tensor, nn

from zfcuda.data.preprocess import DigitPreprocess, NotedPreprocess, Preprocess
from zfcuda.data.transforms import Adapted, name_of

# Steps of torchvision's and timm's compositions that only change how the same pixels are kept.
_ONLY_CONVERT = ("ToTensor", "MaybeToTensor", "ToImage", "PILToTensor", "ConvertImageDtype", "ToDtype", "ToPureTensor")

# What torchvision's presets for classification and segmentation have; the first alone cuts out a centre.
_PRESET = ("resize_size", "mean", "std", "interpolation")


def facts(preprocess: Any) -> dict[str, object]:
    """What is known about a preprocess, in plain values that JSON takes.

    Returns:
        "kind": the name of its class or function; "note": where it comes from or what was assumed, where there is
        something to say. And, of zfcuda's own, of torchvision's presets and of compositions of the usual transforms of
        torchvision and timm: "size" [height, width]; "short_side" that the picture is scaled to first, None where it
        takes the size whatever its shape; "mean", "std" of pixels of 0 to 1, per channel of the network;
        "interpolation"; "order" of the channels, "rgb", "bgr" or "grey"; "mean_image", where each pixel has a mean of
        its own: the SHA-256 of its bytes. Of any other: "settings": "not known".
    """
    transform = preprocess.transform if isinstance(preprocess, Adapted) else preprocess
    note = getattr(preprocess, "note", "") if isinstance(preprocess, Adapted | NotedPreprocess) else ""
    known = settings_of(transform)
    kind = "zfcuda.Preprocess" if isinstance(transform, Preprocess) else name_of(transform)
    return {
        "kind": kind,
        **({"note": note} if note else {}),
        **({"settings": "not known"} if known is None else known),
    }


def line(known: Mapping[str, Any]) -> str:
    """The facts as a line: "short side to 256, bicubic, centre 224 x 224, mean 0.498, std 0.502"."""
    note = f" ({known['note']})" if "note" in known else ""
    if "settings" in known:
        return f"{known['kind']}, whose settings are not known{note}"
    parts = []
    size = None if known["size"] is None else f"{known['size'][1]} x {known['size'][0]}"
    if known["short_side"] is not None:
        parts += [f"short side to {known['short_side']}", *([f"centre {size}"] if size else [])]
    elif size is not None:
        parts.append(f"to {size} whatever its shape")
    if known["interpolation"] is not None and parts:
        parts.insert(1, known["interpolation"])
    if "border" in known:
        parts.append(f"a border of {known['border']}")
    parts += [f"{name} {_spoken(known[name])}" for name in ("mean", "std") if known[name] is not None]
    if "mean_image" in known:
        parts[-2] += " (each pixel its own)"
    if known["order"] != "rgb":
        parts.append("blue first" if known["order"] == "bgr" else known["order"])
    return ", ".join(parts) + note


def _spoken(numbers: Sequence[float]) -> str:
    shown = [f"{number:.3g}" for number in numbers]
    return shown[0] if len(set(shown)) == 1 else " ".join(shown)


def settings_of(transform: Any) -> dict[str, Any] | None:
    """The settings among the facts; None where a step of the transform is not known here."""
    if isinstance(transform, Preprocess):
        mean_image = transform.mean_image
        return {
            "size": list(transform.sides),
            "short_side": transform.short_side,
            "mean": _listed(transform.mean),
            "std": _listed(transform.std),
            "interpolation": transform.interpolation,
            "order": "grey" if len(transform.mean) == 1 else transform.order,
            **({} if mean_image is None else {"mean_image": sha256(mean_image.numpy().tobytes()).hexdigest()}),
        }
    if isinstance(transform, DigitPreprocess):
        inside = settings_of(transform.inside)
        return None if inside is None else inside | {"border": (transform.size - transform.digit) // 2}
    return _read(_steps(transform))


def as_ours(preprocess: Any) -> Preprocess | None:
    """A Preprocess of the same settings; None where they are not known, or none that it takes."""
    if isinstance(preprocess, Preprocess):
        return preprocess
    known = settings_of(preprocess.transform) if isinstance(preprocess, Adapted) else None
    if known is None or any(value is None for value in known.values()):
        return None
    try:
        return Preprocess(**known)
    except (TypeError, ValueError):
        return None


def _steps(transform: Any) -> list[tuple[str, Any]]:
    """The steps of a composition, in order, each with the name of its kind; empty where it is none."""
    if all(hasattr(transform, name) for name in _PRESET):
        resize = SimpleNamespace(size=transform.resize_size, interpolation=transform.interpolation)
        crop = getattr(transform, "crop_size", None)
        cut = [] if crop is None else [("CenterCrop", SimpleNamespace(size=crop))]
        return [("Resize", resize), *cut, ("Normalize", transform)]
    inner = list(transform) if isinstance(transform, nn.Sequential) else getattr(transform, "transforms", None)
    if not isinstance(inner, list | tuple):
        return []
    return [each for step in inner for each in (_steps(step) or [(type(step).__name__, step)])]


def _read(steps: Sequence[tuple[str, Any]]) -> dict[str, Any] | None:
    """The settings of a scaling, a cut and a normalisation, in this order; None where there is anything else."""
    kinds = [kind for kind, step in steps if kind not in _ONLY_CONVERT or getattr(step, "scale", True) is False]
    by_kind = dict(steps)
    usual = [kind for kind in ("Resize", "CenterCrop", "Normalize") if kind in by_kind]
    if not steps or kinds != usual or ("CenterCrop" in by_kind and "Resize" not in by_kind):
        return None
    found: dict[str, Any] = dict.fromkeys(("size", "short_side", "mean", "std", "interpolation"))
    if "Resize" in by_kind:
        sides, cut = (_sides(by_kind[kind].size) if kind in by_kind else [] for kind in ("Resize", "CenterCrop"))
        if not sides or getattr(by_kind["Resize"], "max_size", None) is not None:
            return None
        if len(sides) == 1:  # its short side; else both, whatever its shape
            found["short_side"] = sides[0]
        elif cut and [cut[0], cut[-1]] != sides:
            return None
        found["size"] = [cut[0], cut[-1]] if cut else sides if len(sides) == 2 else None
        found["interpolation"] = _interpolation(by_kind["Resize"].interpolation)
    if "Normalize" in by_kind:
        found["mean"], found["std"] = _listed(by_kind["Normalize"].mean), _listed(by_kind["Normalize"].std)
    return found | {"order": "rgb"}


def _sides(size: Any) -> list[int]:
    """One side or two; none where it is neither."""
    sides = [size] if isinstance(size, int) else list(size or ())
    return sides if len(sides) in (1, 2) and all(isinstance(side, int) for side in sides) else []


def _listed(values: Any) -> list[float]:
    numbers = values.flatten().tolist() if isinstance(values, Tensor) else [float(value) for value in values]
    return [float(f"{number:.6g}") for number in numbers]  # 0.485, not the 0.48500001 of float32


def _interpolation(mode: Any) -> str:
    """The name of torchvision's InterpolationMode, of Pillow's filter, or a name."""
    value = getattr(mode, "value", mode)
    return str(value if isinstance(value, str) else getattr(mode, "name", mode)).lower()
