"""`python -m benchmarks [operators|occlusion|all] [--device D] [--dtype T ...] [--quick] [--json F] [--plot DIR]`.

All takes about half an hour on a CPU, nearly all of it the brute force that occlusion maps are compared with.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from benchmarks import occlusion, operators, plot
from benchmarks.device import device_name, short_name
from benchmarks.environment import environment
from benchmarks.measure import copy_bandwidth

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", nargs="?", default="all", choices=["operators", "occlusion", "all"])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", type=torch.device)
    parser.add_argument("--dtype", nargs="+", default=["float32"], choices=DTYPES)
    parser.add_argument(
        "--networks", nargs="+", choices=list(occlusion.TITLES), help="of the occlusion maps, these alone"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small inputs, few repeats: shows that it runs, not how fast"
    )
    parser.add_argument("--json", type=Path, help="write the numbers here, as they come")
    parser.add_argument("--plot", type=Path, metavar="DIR", help="draw the occlusion maps' times into this folder")
    arguments = parser.parse_args()
    device: torch.device = arguments.device
    results: dict[str, Any] = {"environment": environment(device)}

    def keep(what: str, row: dict[str, Any]) -> None:
        results.setdefault(what, []).append(row)
        if arguments.json is not None:
            arguments.json.parent.mkdir(parents=True, exist_ok=True)
            arguments.json.write_text(json.dumps(results, indent=1) + "\n")

    print(device_name(device))
    if arguments.what != "occlusion":
        bandwidth = copy_bandwidth(device)
        results["copy_gigabytes_per_second"] = round(bandwidth / 1e9, 1)
        print(f"a large copy moves {bandwidth / 1e9:.1f} GB/s, read plus written")
        for name in arguments.dtype:
            for row in operators.run(device, DTYPES[name], bandwidth, arguments.quick):
                keep("operators", row)
    if arguments.what != "operators":
        for name in arguments.dtype:
            for row in occlusion.run(device, DTYPES[name], arguments.quick, arguments.networks):
                keep("occlusion", row)
        if arguments.plot is not None:
            arguments.plot.mkdir(parents=True, exist_ok=True)
            path = arguments.plot / f"occlusion_{short_name(device)}.png"
            plot.draw(results).save(path)
            print(f"written: {path}")
    if arguments.json is not None:
        print(f"written: {arguments.json}")


if __name__ == "__main__":
    main()
