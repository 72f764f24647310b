"""The memory that a network is said to need, beside what torch's allocator really gave: python -m benchmarks.memory

Measured is the peak of the bytes that tensors hold at once, operators' own temporary tensors included: on a CPU from
the allocations and frees that torch.profiler records, on a GPU torch.cuda.max_memory_allocated. Before that the step
runs once unmeasured, so that momentum is there, and plans are made.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.profiler import ProfilerActivity, profile

from benchmarks import zoo
from zfcuda import models
from zfcuda.models.accounts.memory import memory_need

NETWORKS = ("zfnet", "alexnet", "vgg16", "resnet18", "resnet50")


def measured_peak(
    network: nn.Module, size: tuple[int, int, int], batch: int, device: torch.device, *, training: bool = False
) -> int:
    """Bytes at the peak of a forward (or a training step of SGD with momentum), parameters and images included.

    The network is moved to the device; training changes its weights.
    """
    network = network.to(device).train(training)
    parameters = [p for p in network.parameters() if p.requires_grad]
    pictures = torch.randn(batch, *size, device=device)
    labels = torch.zeros(batch, dtype=torch.long, device=device)
    optimiser = torch.optim.SGD(parameters, lr=1e-6, momentum=0.9)

    def step() -> None:
        if not training:
            with torch.inference_mode():
                network(pictures)
            return
        optimiser.zero_grad()
        F.cross_entropy(network(pictures), labels).backward()
        optimiser.step()

    step()
    optimiser.zero_grad()
    tensors = [*network.parameters(), *network.buffers(), pictures, *([labels] if training else [])]
    tensors += [x for state in optimiser.state.values() for x in state.values() if isinstance(x, torch.Tensor)]
    return _peak(step, device, sum(x.nbytes for x in tensors))


def _peak(step: Callable[[], None], device: torch.device, held: int) -> int:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        step()
        return torch.cuda.max_memory_allocated(device)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        step()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        record.export_chrome_trace(str(file))
        events = json.loads(file.read_text())["traceEvents"]
    changes = sorted((e["ts"], i, e["args"]["Bytes"]) for i, e in enumerate(events) if e.get("name") == "[memory]")
    now = peak = held
    for _, _, change in changes:
        now += change
        peak = max(peak, now)
    return peak


def rows(
    networks: tuple[str, ...] = NETWORKS, device: torch.device | None = None, batches: tuple[int, int] = (8, 4)
) -> list[dict[str, Any]]:
    """One row per network and kind of run; batches: the sizes for the forward and for the training step."""
    device = device or torch.device("cpu")
    table = []
    for name in networks:
        for training in (False, True):
            torch.manual_seed(0)
            network = models.zfnet() if name == "zfnet" else zoo.NETWORKS[name]()
            batch = batches[training]
            precise = nullcontext() if device.type == "cpu" else torch.backends.cudnn.flags(allow_tf32=False)
            with precise:
                predicted = memory_need(network, (3, 224, 224), training=training).bytes(batch)
                measured = measured_peak(network, (3, 224, 224), batch, device, training=training)
            table.append(
                {
                    "network": name,
                    "run": "training step" if training else "forward",
                    "batch": batch,
                    "predicted": predicted,
                    "measured": measured,
                    "off": predicted / measured - 1,
                }
            )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    options = parser.parse_args()
    print(f"{'network':10} {'run':14} {'batch':>5} {'predicted, MB':>14} {'measured, MB':>13} {'off':>7}")
    for row in rows(tuple(options.networks), torch.device(options.device)):
        sizes = f"{row['predicted'] / 1e6:14.1f} {row['measured'] / 1e6:13.1f} {row['off']:+7.1%}"
        print(f"{row['network']:10} {row['run']:14} {row['batch']:5} {sizes}")


if __name__ == "__main__":
    main()
