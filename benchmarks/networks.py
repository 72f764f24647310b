"""What works on which network: ``python -m benchmarks.networks`` tries everything and writes docs/networks.md.

Each network of zfcuda.models gets random weights and a drawn picture. What does not hold raises, so the table is
written whole or not at all.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

import zfcuda
from benchmarks.zoo import randomise
from zfcuda import cli, report
from zfcuda.backward.deconvnet import strongest
from zfcuda.data import HELD_OUT_SEED, Parts, Preprocess
from zfcuda.models.architectures import registry
from zfcuda.models.checkpoints.load import load
from zfcuda.models.checkpoints.plain_torchvision import torchvision_models
from zfcuda.network import receptive_field
from zfcuda.report.layers import conv_layers

ROOT = Path(__file__).resolve().parent.parent
KEYS = ROOT / "tests" / "models" / "torchvision_keys.json"


# ---------------------------------------------------------------- one network, with a picture


@dataclass(frozen=True)
class Case:
    """A network with random weights, in eval mode, and a picture for it.

    Attributes:
        image: [1,C,H,W], what preprocess makes of a drawn picture.
        logits: [classes], the network's answer to it.
    """

    name: str
    network: nn.Module
    classes: Sequence[str]
    picture: Image.Image
    preprocess: Callable[[Image.Image], Tensor]
    image: Tensor
    logits: Tensor


def case(name: str, *, num_classes: int | None = None, size: int | None = None) -> Case:
    """A network ready to be tried.

    Args:
        name: one of zfcuda.models.NAMES.
        num_classes: None: as many as it has by default.
        size: side of its picture, for a network that takes any; None: its own.
    """
    with torch.device("meta"):  # no weights that are thrown away
        network = registry.build(name, num_classes=num_classes)
    randomise(network)
    preprocess = registry.entry(name).preprocess if size is None else Preprocess(size, size, interpolation="bilinear")
    picture = Parts(seed=HELD_OUT_SEED)[0].image
    image = preprocess(picture)
    with torch.inference_mode():
        logits = network(image)[0]
    classes: Any = network.classes
    return Case(name, network, classes or (), picture, preprocess, image, logits)


# ---------------------------------------------------------------- abilities: each returns what came out, or raises


class FailedError(AssertionError):
    """A network that cannot do what it should."""


def keys(network: nn.Module) -> dict[str, object]:
    """Number of a network's keys and parameters, and the digest of all its "key shape" lines in order."""
    return described(network.state_dict())


def described(state: Mapping[str, Tensor]) -> dict[str, object]:
    lines = [f"{key} {list(value.shape)}" for key, value in state.items()]
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    return {
        "keys": len(lines),
        "parameters": sum(value.numel() for key, value in state.items() if not key.endswith(statistics)),
        "sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
    }


def without_ignored(network: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A published file's tensors but for those that the network says it has no use for."""
    ignored: tuple[str, ...] = getattr(network, "ignored_keys", ())
    return {key: value for key, value in state.items() if not key.startswith(ignored)}


def of_torchvision(models: ModuleType, name: str) -> nn.Module:
    """torchvision's network as it is when it loads its published weights; parameters on the device "meta"."""
    settings = {"aux_logits": True, "transform_input": True, "init_weights": False} if name == "googlenet" else {}
    with torch.device("meta"):
        network: nn.Module = getattr(models, name)(**settings)
    return network


def check_keys(name: str, models: ModuleType | None) -> str:
    """Checks that keys and shapes are torchvision's: those listed in tests/, and its own where it is installed."""
    listed = json.loads(KEYS.read_text(encoding="utf-8"))
    if name not in listed:
        return "not in torchvision"
    with torch.device("meta"):
        network = registry.build(name)
    ours = keys(network)
    if ours != listed[name]:
        raise FailedError(f"{name}: its keys and shapes {ours} are not those listed for torchvision {listed[name]}")
    if models is not None:
        theirs = described(without_ignored(network, of_torchvision(models, name).state_dict()))
        if ours != theirs:
            raise FailedError(f"{name}: its keys and shapes {ours} are not torchvision's {theirs}")
    return f"yes, all {ours['keys']}"


def check_file(name: str, models: ModuleType | None, folder: Path) -> str:
    """Checks that a file of torchvision's weights, as torchvision saves it, gives torchvision's logits here."""
    if models is None or not hasattr(models, name):
        return "-"
    theirs = of_torchvision(models, name)
    randomise(theirs)
    file = folder / f"{name}.pth"
    torch.save(theirs.state_dict(), file)
    ours: Any = load(name, weights=file)
    file.unlink()
    image = ours.preprocess(Parts(seed=HELD_OUT_SEED)[0].image)
    with torch.inference_mode():
        expected, logits = theirs(image), ours(image)
    worst = float((logits - expected).abs().max() / expected.abs().max())
    if not worst <= 1e-5:  # NaN too
        raise FailedError(f"{name}: a logit is {worst:.3g} of the largest off from torchvision's")
    return f"yes, {worst:.1g} of the largest off"


def check_projection(c: Case) -> str:
    """Checks that the strongest units of a middle and of the last convolution project to their fields alone."""
    layers, _ = conv_layers(c.network, c.image)
    for layer in (layers[len(layers) // 2], layers[-1]):
        signal = zfcuda.project(c.network, c.image, layer.output)[0]
        unit = strongest(c.network, c.image, layer.output, 1)[0]
        assert unit.position is not None
        field = receptive_field(c.network, layer.output, tuple(c.image.shape[1:]))
        if field is None:
            raise FailedError(f"{c.name}: it is not known what the units of {layer.output} see")
        top, left, bottom, right = field.rectangle(*unit.position)
        outside = signal.clone()
        outside[:, top:bottom, left:right] = 0
        if not signal.isfinite().all() or not signal.any() or outside.any():
            raise FailedError(f"{c.name}: the projection of {layer.output} is empty, or outside its receptive field")
    return f"yes, from {layers[-1].output}"


def check_occlusion(c: Case) -> str:
    """Checks the incremental map against brute force, window by window, the last row cut off -> the worst of it."""
    side = c.image.shape[-1]
    window = side // 4 - 1
    stride = ((side - window + 1) // 2, side - window)

    def occluded(method: str) -> zfcuda.OcclusionMap:
        return zfcuda.occlusion_map(c.network, c.image, window=window, stride=stride, method=method)

    ours, theirs = occluded("incremental"), occluded("batched")
    if ours.method != "incremental" or ours.logits.shape[:2] != (3, 2):
        raise FailedError(f"{c.name}: method {ours.method}, {list(ours.logits.shape[:2])} windows")
    expected = theirs.logits
    tolerance = 1e-4 * expected.std() + 1e-5 * expected.abs().max()
    if not (expected - theirs.base_logits).abs().amax(-1).min() > 10 * tolerance:
        raise FailedError(f"{c.name}: a window changes nothing, so nothing is compared")
    worst = float((ours.logits - expected).abs().max() / tolerance)
    if not worst <= 1:  # NaN too
        raise FailedError(f"{c.name}: a logit is {worst:.3g} times the tolerance off")
    return f"yes, {worst:.2g} of the tolerance"


def check_page(c: Case, folder: Path) -> str:
    """Checks that a network's page is written as `zfcuda explain` writes it -> what is on it."""
    window, stride = _few_windows(c)
    subject = report.Subject(c.network, c.preprocess, c.classes, registry.entry(c.name).title)
    with report.Folder(folder) as opened:
        prepared = report.prepare(subject, c.picture, "picture", window=window, stride=stride)
        opened.write([report.explain(prepared, top=1)])
    return _on_page(c, folder)


def check_command(c: Case, folder: Path) -> str:
    """Checks that `zfcuda explain` itself works, with the network by name and its weights from a file."""
    window, stride = _few_windows(c)
    weights, picture, page = folder / "weights.safetensors", folder / "picture.png", folder / "page"
    save_file(c.network.state_dict(), weights)
    c.picture.save(picture)
    options = {"model": c.name, "weights": weights, "window": window, "stride": stride, "top": 1, "out": page}
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        code = cli.main(["explain", str(picture), *(str(x) for k, v in options.items() for x in (f"--{k}", v))])
    weights.unlink()
    if code:
        raise FailedError(f"{c.name}: zfcuda explain ended with {code}: {said.getvalue()}")
    return _on_page(c, page)


def _few_windows(c: Case) -> tuple[int, int]:
    """(window, stride): four windows, in the corners."""
    side = c.image.shape[-1]
    return side // 4, side - side // 4


def _on_page(c: Case, folder: Path) -> str:
    text, numbers = ((folder / name).read_text("utf-8") for name in ("index.html", "numbers.json"))
    everything = json.loads(numbers)
    (shown,) = everything["pictures"]
    best = int(c.logits.argmax())
    if not all(layer["name"] in text for layer in shown["layers"]) or shown["target"]["index"] != best:
        raise FailedError(f"{c.name}: the page lacks a layer, or is about class {shown['target']}, not {best}")
    return f"yes, {len(shown['layers'])} layers, {len(everything['files'])} pictures"


def check_summary(c: Case) -> tuple[str, str]:
    """Checks that the table follows the network to its end and leaves out no parameter -> its totals."""
    table = zfcuda.models.summary(c.network, tuple(c.image.shape[1:]))
    held = sum(p.numel() for p in c.network.parameters())
    if table.multiply_adds is None:
        raise FailedError(f"{c.name}: the multiply-adds of a layer are not known")
    if table.parameters != held or table[-1].output_shape != tuple(c.logits.shape):
        raise FailedError(f"{c.name}: the table has {table.parameters} parameters of {held}, ends {table[-1]}")
    return f"{table.parameters:,}", f"{table.multiply_adds / 1e6:,.1f} M"


# ---------------------------------------------------------------- the page of all


COLUMNS = (
    "network",
    "what it is",
    "input",
    "parameters",
    "multiply-adds",
    "keys and shapes as torchvision's",
    "its `.pth` gives its logits",
    "`project`",
    "incremental `occlusion_map`, worst logit",
    "`zfcuda explain`",
)


def row(name: str, models: ModuleType | None, folder: Path) -> list[str]:
    """Tries one network -> what came out, a cell per column."""
    c = case(name)
    known = registry.entry(name)
    size = " x ".join(map(str, known.input_size))
    cells = [
        f"`{name}`",
        known.title,
        size,
        *check_summary(c),
        check_keys(name, models),
        check_file(name, models, folder),
    ]
    return [*cells, check_projection(c), check_occlusion(c), check_command(c, folder)]


def document(rows: list[list[str]], with_torchvision: bool) -> str:
    """docs/networks.md."""
    against = (
        "the lists in tests/models/torchvision_keys.json and torchvision itself"
        if with_torchvision
        else "the lists in tests/models/torchvision_keys.json"
    )
    table = [f"| {' | '.join(cells)} |" for cells in (list(COLUMNS), ["---"] * len(COLUMNS), *rows)]
    return f"""# Networks

`zfcuda.models.NAMES` lists them. Every cell was written by `python -m benchmarks.networks` after it was tried there,
with random weights and a drawn picture; what does not hold stops the command.

{chr(10).join(table)}

- Keys and shapes were held against {against}.
  torchvision's weights, random ones, were saved by `torch.save` as its published files are, and read by
  `zfcuda.models.load`. GoogLeNet's file has two side classifiers besides, `aux1` and `aux2`, which are used in training
  alone and left out here.
- `project`: from a convolution half way and from the last one (the one named), something comes down, and nothing
  outside the unit's receptive field.
- `occlusion_map`: six windows of about a quarter of the picture's side with `method="incremental"` and with
  `method="batched"`. The tolerance is 1e-4 of the standard deviation of all logits, and 1e-5 of the largest.
- `zfcuda explain`: the command wrote its page from the network's name and a file of weights, with so many of its layers
  and so many pictures.
- `zfcuda summary` gives the table behind the totals of parameters and multiply-adds, layer by layer.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "networks.md", metavar="FILE")
    arguments = parser.parse_args()
    with torchvision_models() as models, tempfile.TemporaryDirectory() as folder:
        rows = [row(name, models, Path(folder)) for name in tqdm(registry.NAMES, unit="network")]
    arguments.out.parent.mkdir(exist_ok=True)
    arguments.out.write_text(document(rows, models is not None), encoding="utf-8")


if __name__ == "__main__":
    main()
