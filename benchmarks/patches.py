"""One pass for the strongest patches beside the bare forward pass: python -m benchmarks.patches [--json FILE]

zfcuda.strongest_patches over all convolutions of a network at once, against the network's forward alone, in inference
mode, in the same batches, on the same images, which lie in memory for it. The pass gets them as a Tensor, and as JPEG
files, which it also reads, decodes and cuts. First every value, picture and place is compared with a NumPy answer from
the maps of a forward by itself; then the three take turns. The time of the pass is that of the whole call: following
the network, the proof that images do not influence one another, and the boxes are in it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import zfcuda
from benchmarks import zoo
from benchmarks.device import device_name
from benchmarks.environment import environment
from benchmarks.measure import Run, race, timed
from zfcuda.data import Parts
from zfcuda.features.strongest_patches import StrongestPatches

NETWORKS = ("zfnet", "efficientnet_lite0")
BATCH = 32
_VERIFIED = 48  # pictures of the comparison: more than one batch
_SIDE = 256  # of the pictures in files


def network_of(name: str) -> nn.Module:
    """A network with random weights and its preprocess."""
    torch.manual_seed(0)
    network = getattr(zfcuda.models, name)()
    zoo.randomise(network)
    network.preprocess = zfcuda.Preprocess(224, 256)
    return network.eval()


def convolutions(network: nn.Module) -> list[str]:
    """The names of all convolutions."""
    return [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]


def write_pictures(folder: Path, count: int) -> None:
    """Drawn pictures as JPEG files."""
    parts = Parts(seed=1, size=_SIDE)
    for index in range(count):
        parts[index].image.save(folder / f"{index:05}.jpg", quality=85)


def bare(network: nn.Module, images: Tensor) -> None:
    """The forward pass alone."""
    with torch.inference_mode():
        for batch in images.split(BATCH):
            network(batch)


def difference(network: nn.Module, images: Tensor, layers: list[str], found: dict[str, StrongestPatches]) -> str | None:
    """What is not as NumPy says of the maps that a forward in the same batches gives; None: all is."""
    maps: dict[str, list[tuple[Tensor, Tensor, int]]] = {layer: [] for layer in layers}

    def keep(layer: str, output: Tensor) -> None:
        values, places = output.detach().flatten(2).max(2)  # of equals the first
        maps[layer].append((values.float().cpu(), places.cpu(), output.shape[3]))

    hooks = [
        network.get_submodule(layer).register_forward_hook(
            lambda module, inputs, output, layer=layer: keep(layer, output)
        )
        for layer in layers
    ]
    try:
        bare(network, images)
    finally:
        for hook in hooks:
            hook.remove()
    for layer in layers:
        one = found[layer]
        largest = torch.cat([values for values, _, _ in maps[layer]]).numpy()
        places, width = torch.cat([places for _, places, _ in maps[layer]]).numpy(), maps[layer][0][2]
        order = np.argsort(-largest, axis=0, kind="stable")[: one.values.shape[1]]
        if not np.array_equal(one.indices.numpy(), order.T):
            return f"{layer}: other pictures"
        if not np.array_equal(one.values.numpy(), np.take_along_axis(largest, order, axis=0).T):
            return f"{layer}: other values"
        there = np.take_along_axis(places, order, axis=0).T
        if one.positions is None or not np.array_equal(one.positions[..., 0] * width + one.positions[..., 1], there):
            return f"{layer}: other places"
    return None


def run(names: list[str], count: int, device: torch.device, repeats: int, warmup: int) -> Iterator[dict[str, Any]]:
    """One row per network, as soon as it is measured."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_pictures(folder, count)
        for name in names:
            network = network_of(name).to(device)
            layers = convolutions(network)
            files = sorted(folder.glob("*.jpg"))
            images = torch.cat([network.preprocess(file) for file in files]).to(device)  # type: ignore[operator]
            some = images[:_VERIFIED]
            wrong = difference(network, some, layers, zfcuda.strongest_patches(network, some, layers))
            if wrong is not None:
                raise AssertionError(f"{name}: strongest_patches is wrong in {wrong}")
            sides: dict[str, Run] = {
                "bare forward": partial(bare, network, images),
                "pass, in memory": partial(zfcuda.strongest_patches, network, images, layers),
                "pass, from files": partial(zfcuda.strongest_patches, network, folder, layers),
            }
            timings = race(sides, device, repeats=repeats, warmup=warmup)
            alone = timings["bare forward"].median
            ratios = {side: round(timing.median / alone, 3) for side, timing in timings.items()}
            yield {"network": name, "pictures": count, "layers": len(layers), "ratio": ratios, **timed(timings, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.patches", description=__doc__)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--count", type=int, default=256, help="how many pictures (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", type=torch.device)
    parser.add_argument("--json", type=Path, help="write the numbers here")
    chosen = parser.parse_args()
    print(f"{device_name(chosen.device)}, {chosen.count} pictures, batches of {BATCH}")
    rows = []
    for row in run(chosen.networks, chosen.count, chosen.device, chosen.repeats, 1):
        rows.append(row)
        print(f"{row['network']}, {row['layers']} convolutions, verified")
        for side, seconds in row["seconds"].items():
            low, high = row["quartiles"][side]
            print(f"  {side:17} {seconds:8.3f} s ({low:.3f} to {high:.3f})   {row['ratio'][side]:.2f}x", flush=True)
    if chosen.json is not None:
        content = {"environment": environment(chosen.device), "patches": rows}
        chosen.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
