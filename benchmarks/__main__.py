"""`python -m benchmarks [operators] [--device D] [--dtype T ...] [--quick] [--json F]`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from benchmarks import operators
from benchmarks.device import device_name
from benchmarks.environment import environment
from benchmarks.measure import copy_bandwidth

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", nargs="?", default="operators", choices=["operators"])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", type=torch.device)
    parser.add_argument("--dtype", nargs="+", default=["float32"], choices=DTYPES)
    parser.add_argument(
        "--quick", action="store_true", help="small inputs, few repeats: shows that it runs, not how fast"
    )
    parser.add_argument("--json", type=Path, help="write the numbers here")
    arguments = parser.parse_args()
    device: torch.device = arguments.device
    results: dict[str, Any] = {"environment": environment(device)}
    bandwidth = copy_bandwidth(device)
    results["copy_gigabytes_per_second"] = round(bandwidth / 1e9, 1)
    print(f"{device_name(device)}: a large copy moves {bandwidth / 1e9:.1f} GB/s, read plus written")
    results["operators"] = [
        row for name in arguments.dtype for row in operators.run(device, DTYPES[name], bandwidth, arguments.quick)
    ]
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
        print(f"written: {arguments.json}")


if __name__ == "__main__":
    main()
