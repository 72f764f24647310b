"""`python -m benchmarks [operators|occlusion|deconvnet|attribution|training|synthesis|live|many|all] [--device D]
[--dtype T ...] [--quick] [--json F] [--plot DIR]`.

All takes some two hours on a CPU, most of it the brute force that occlusion maps are compared with, and what
torch.compile compiles.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import attribution, deconvnet, live, many, occlusion, operators, plot, synthesis, training
from benchmarks.device import device_name, short_name
from benchmarks.environment import environment
from benchmarks.failures import Failures
from benchmarks.record import SECTIONS, Record, RecordError
from benchmarks.zoo_maps import command

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}


def main(arguments: Sequence[str] | None = None) -> None:
    known_networks = occlusion.TITLES | live.TITLES | many.TITLES
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", nargs="?", default="all", choices=[*SECTIONS, "all"])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", type=torch.device)
    parser.add_argument("--dtype", nargs="+", default=["float32"], choices=DTYPES)
    parser.add_argument(
        "--networks",
        nargs="+",
        metavar="NAME",
        help=f"of occlusion, deconvnet, attribution, live, many: {', '.join(known_networks)}; "
        "of occlusion also zoo: all of torchvision's classification networks and EfficientNet-Lite0, or some by name",
    )
    parser.add_argument(
        "--quick", action="store_true", help="small inputs, few repeats: shows that it runs, not how fast"
    )
    parser.add_argument(
        "--json", type=Path, help="write the numbers here, as they come; other sections and dtypes there stay"
    )
    parser.add_argument("--plot", type=Path, metavar="DIR", help="draw the occlusion maps' times into this folder")
    command.add_options(parser)
    chosen = parser.parse_args(arguments)
    known = occlusion.TITLES if chosen.what == "occlusion" else known_networks
    of_zoo = [name for name in chosen.networks or [] if name not in known]
    if of_zoo and (chosen.what != "occlusion" or len(of_zoo) < len(chosen.networks)):
        said = ", ".join(known)
        parser.error(f"--networks: expected of {said}, or with occlusion networks of the zoo alone, got {of_zoo}")
    device: torch.device = chosen.device
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error(f"--device: {device} was asked for, torch sees no CUDA device")
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    try:
        record = Record(environment(device), None if of_zoo else chosen.json)
    except RecordError as error:
        parser.error(f"--json: {error}")

    print(device_name(device))
    if of_zoo:
        command.run(parser, chosen, of_zoo, [DTYPES[name] for name in chosen.dtype])
        return
    dtypes = [DTYPES[name] for name in chosen.dtype]
    failures = Failures()
    for section in SECTIONS if chosen.what == "all" else [chosen.what]:
        for rows in _runs(section, device, dtypes, chosen.quick, chosen.networks):
            with failures.noted(section):
                for row in rows:
                    record.add(section, row)
    if chosen.plot is not None and "occlusion" in record.results:
        chosen.plot.mkdir(parents=True, exist_ok=True)
        path = chosen.plot / f"occlusion_{short_name(device)}.png"
        plot.draw(record.results).save(path)
        print(f"written: {path}")
    if chosen.json is not None:
        print(f"written: {chosen.json}")
    failures.end()


def _runs(
    section: str, device: torch.device, dtypes: Sequence[torch.dtype], quick: bool, networks: list[str] | None
) -> list[Iterator[dict[str, Any]]]:
    """What yields the rows of a section, one after another."""
    if section == "operators":
        return [operators.run(device, dtypes, quick)]
    if section == "occlusion":
        return [occlusion.run(device, dtype, quick, networks) for dtype in dtypes]
    if section == "deconvnet":
        return [deconvnet.run(device, dtype, quick, networks) for dtype in dtypes]
    if section == "attribution":
        return [attribution.run(device, dtype, quick, networks) for dtype in dtypes]
    if section == "synthesis":
        return [synthesis.run(device, dtype, quick) for dtype in dtypes]
    if section == "live":
        return [live.run(device, dtype, quick, networks) for dtype in dtypes]
    if section == "many":
        return [many.run(device, dtype, quick, networks) for dtype in dtypes]
    return [training.run(device, dtype, quick) for dtype in dtypes]


if __name__ == "__main__":
    main()
