"""Weights of any kind as one safetensors file that says which network they are of."""

from __future__ import annotations

import math
import os
from pathlib import Path

from torch import Tensor

from zfcuda.files.drafts import whole
from zfcuda.models.checkpoints.load import find
from zfcuda.models.checkpoints.loaded import Loaded, UnknownNetworkError
from zfcuda.models.checkpoints.match import matched
from zfcuda.models.checkpoints.read import MEAN_IMAGE, read_metadata, read_tensor, read_weights
from zfcuda.models.checkpoints.trained import KEY

_CAFFE = (".prototxt", ".caffemodel")
_KEPT = ("zfcuda.prototxt", "zfcuda.mean", KEY)  # of the metadata


def convert(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    model: str | None = None,
    weights: str | os.PathLike[str] | None = None,
    mean: str | None = None,
    force: bool = False,
) -> str:
    """Writes a safetensors file that :func:`zfcuda.models.load` needs no name for.

    Tensors keep their dtypes and take the names of the network. The metadata says the network
    (`zfcuda.network`, or for Caffe's the whole `zfcuda.prototxt` and the `zfcuda.mean` of its pictures), the
    number of classes and the source, and what a training wrote stays. A file whose network is not known is converted
    all the same, without its name.
    Nothing is written unless all of it is, and an earlier file stays until then.

    Args:
        source: weights (.pth, safetensors), or a caffemodel or deploy prototxt.
        out: the new file, *.safetensors.
        model: the network that they are of, as for load; None: the one that the shapes tell.
        weights: the caffemodel for a prototxt; None: the one beside it.
        mean: the mean colour for Caffe's networks: "104,117,123" (blue, green, red) or a binaryproto; None: ImageNet's.
        force: overwrite out.

    Returns:
        A sentence on what was written.

    Raises:
        ValueError: for what cannot be read or does not fit (see load), an out that exists or that cannot be written.
    """
    source, out = Path(source), Path(out)
    _check_out(out, force)
    if source.suffix.lower() in _CAFFE:
        if model is not None:
            raise ValueError(f"model: {model}, but a prototxt says itself which network it is")
        loaded, tensors, facts = _of_caffe(source, weights, mean)
    else:
        for name, value in (("weights", weights), ("mean", mean)):
            if value is not None:
                raise ValueError(f"{name}: {value}, which is for Caffe's networks; {source} is none")
        loaded, tensors, facts = _of_weights(source, model)
    if loaded is not None and loaded.num_classes is not None:
        facts["zfcuda.num_classes"] = str(loaded.num_classes)
    _write(out, tensors, {"format": "pt"} | facts)
    what = "a network not known by name" if loaded is None else loaded.title.partition(" with ")[0]
    return f"{out}: {len(tensors)} tensors of {what}"


_Converted = tuple[Loaded | None, dict[str, Tensor], dict[str, str]]


def _of_caffe(source: Path, weights: str | os.PathLike[str] | None, mean: str | None) -> _Converted:
    loaded = find(source, weights=weights)
    if loaded.weights is None:
        raise ValueError(f"{source}: no caffemodel beside it; say which with --weights")
    facts = {"zfcuda.source": loaded.weights.name, "zfcuda.prototxt": str(loaded.model.prototxt)}
    if mean is not None:
        facts["zfcuda.mean"] = _mean(mean, loaded)
    return loaded, dict(loaded.model.state_dict()), facts


def _of_weights(source: Path, model: str | None) -> _Converted:
    tensors = read_weights(source)
    # What an earlier conversion found out stays, where it cannot be found out again.
    facts = {key: value for key, value in read_metadata(source).items() if key in _KEPT}
    facts["zfcuda.source"] = source.name
    try:
        loaded = find(source) if model is None else find(model, weights=source)
    except UnknownNetworkError:
        return None, tensors, facts
    if loaded.origin is not None:
        facts["zfcuda.network"] = loaded.origin
    tensors = matched(loaded.model, tensors, source)
    mean_image = read_tensor(source, MEAN_IMAGE) if KEY in facts else None
    return loaded, tensors if mean_image is None else tensors | {MEAN_IMAGE: mean_image}, facts


def _check_out(out: Path, force: bool) -> None:
    if out.suffix != ".safetensors":
        raise ValueError(f"{out}: expected a name that ends in .safetensors")
    if out.is_dir() or (out.exists() and not force):
        raise ValueError(f"{out}: exists already" + ("" if out.is_dir() else "; --force overwrites it"))
    if out.exists() and not out.is_file():
        raise ValueError(f"{out}: not a regular file")
    if not out.parent.is_dir():
        raise ValueError(f"{out}: there is no folder {out.parent}")


def _mean(text: str, loaded: Loaded) -> str:
    """The numbers of --mean, as text."""
    from zfcuda.models.checkpoints.caffe import channel_means

    channels = 3 if loaded.input_size is None else loaded.input_size[0]
    if text.endswith(".binaryproto"):
        values = channel_means(text)
    else:
        try:
            values = tuple(float(word) for word in text.split(","))
        except ValueError:
            raise ValueError(f"mean: expected numbers like 104,117,123 or a binaryproto, got {text!r}") from None
    if len(values) != channels:
        raise ValueError(f"mean: expected {channels} numbers, one per channel, got {len(values)} ({text})")
    if not all(map(math.isfinite, values)):
        raise ValueError(f"mean: expected finite numbers, got {text}")
    return ",".join(map(repr, values))


def _write(out: Path, tensors: dict[str, Tensor], facts: dict[str, str]) -> None:
    from zfcuda.files.tensors import save_tensors

    # Copies: tensors that share memory, or are parts of others, cannot be saved as they are.
    copies = {name: value.detach().clone().contiguous() for name, value in tensors.items()}
    try:
        with whole(out) as [draft]:
            save_tensors(copies, draft, facts)
    except OSError as error:
        raise ValueError(f"{out}: cannot be written ({error.strerror or error})") from None
    except Exception as error:
        if type(error).__module__.startswith("safetensors"):  # an error of its own, even for a full disk
            raise ValueError(f"{out}: cannot be written ({error})") from None
        raise
