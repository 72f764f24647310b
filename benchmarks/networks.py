"""What works on which network: ``python -m benchmarks.networks`` tries everything and writes docs/networks.md.

Each network gets random weights and a drawn picture, and a process of its own. Here are the trials of zfcuda.models,
where all has to hold; benchmarks.survey has those of torchvision's and timm's networks, where each ability is a column.

What came is kept in a file, and ``--resume`` goes on with it. ``--only ours``, ``torchvision``, ``timm`` or a name
(``timm/dla34``), repeated for several, tries these alone.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

import zfcuda
from benchmarks.survey import document, pages, running, subjects, trial
from benchmarks.zoo import randomise
from zfcuda import cli
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
        name: one of zfcuda.models.NAMES, or of those of Table 3.
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
    return f"yes, {pages.written(c.network, c.preprocess, c.picture, int(c.logits.argmax()), folder)}"


def check_command(c: Case, folder: Path) -> str:
    """Checks that `zfcuda explain` itself works, with the network by name and its weights from a file."""
    window, stride = pages.few_windows(c.image)
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
    return f"yes, {pages.found(page, int(c.logits.argmax()))}"


def check_summary(c: Case) -> tuple[str, str]:
    """Checks that the table follows the network to its end and leaves out no parameter -> its totals."""
    table = zfcuda.models.summary(c.network, tuple(c.image.shape[1:]))
    held = sum(p.numel() for p in c.network.parameters())
    if table.multiply_adds is None:
        raise FailedError(f"{c.name}: the multiply-adds of a layer are not known")
    if table.parameters != held or table[-1].output_shape != tuple(c.logits.shape):
        raise FailedError(f"{c.name}: the table has {table.parameters} parameters of {held}, ends {table[-1]}")
    return f"{table.parameters:,}", f"{table.multiply_adds / 1e6:,.1f} M"


# ---------------------------------------------------------------- all of them


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


def row(name: str, models: ModuleType | None, folder: Path) -> Iterator[str]:
    """Tries one network -> what came out, a cell per column."""
    c = case(name)
    known = registry.entry(name)
    yield f"`{name}`"
    yield known.title
    yield " x ".join(map(str, known.input_size))
    yield from check_summary(c)
    yield check_keys(name, models)
    yield check_file(name, models, folder)
    yield check_projection(c)
    yield check_occlusion(c)
    yield check_command(c, folder)


def attempt(owner: str, name: str) -> Iterator[tuple[str, trial.Cell]]:
    """Tries one network -> (column, cell), as they come."""
    if owner != "ours":
        yield from trial.attempt(owner, name)
        return
    with torchvision_models() as models, tempfile.TemporaryDirectory() as folder:
        for column, text in zip(COLUMNS, row(name, models, Path(folder)), strict=True):
            yield column, trial.Cell(True, text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "networks.md", metavar="FILE")
    parser.add_argument("--only", action="append", metavar="WHAT", help="then no document is written")
    parser.add_argument("--kept", type=Path, default=ROOT / "out" / "networks.json", metavar="FILE")
    parser.add_argument("--resume", action="store_true", help="leave out what is kept already")
    parser.add_argument("--jobs", type=int, default=2, help="networks at a time, a core each (default 2)")
    arguments = parser.parse_args()
    everything = {"ours": [*registry.NAMES, *registry.TABLE_3]}
    for owner in ("torchvision", "timm"):
        if subjects.available(owner):
            everything[owner] = subjects.names(owner)
        elif not arguments.only:
            parser.error(f"{owner} is not installed: pip install --no-deps torchvision timm")
    names = [f"{owner}/{name}" for owner, those in everything.items() for name in those]
    if arguments.only:
        wanted = set(arguments.only)
        chosen = [name for name in names if wanted & {name, *name.split("/")}]
        if not chosen:
            parser.error(f"--only: expected ours, torchvision, timm or one of their networks, got {arguments.only}")
    else:
        chosen = names
    kept = running.Kept(arguments.kept, resume=arguments.resume or bool(arguments.only))
    for name in chosen if arguments.only and not arguments.resume else ():
        kept.results.pop(name, None)
    running.run(attempt, chosen, kept, arguments.jobs)
    if arguments.only:
        print(document.table({name: kept.results[name] for name in chosen if not name.startswith("ours/")}))
        failed = document.failures({name: kept.results[name] for name in chosen if name.startswith("ours/")})
        print("\n".join(failed), file=sys.stderr)
        return bool(failed)
    failed = document.failures({name: kept.results[name] for name in names if name.startswith("ours/")})
    if failed:
        print("\n".join(failed), file=sys.stderr)
        return 1
    arguments.out.parent.mkdir(exist_ok=True)
    text = document.whole({name: kept.results[name] for name in names}, COLUMNS)
    arguments.out.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
