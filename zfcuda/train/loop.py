"""The training loop: draw, look closely, look at the whole, measure."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from zfcuda.data import HELD_OUT_SEED, Parts, Preprocess
from zfcuda.models import ZFNet, zfnet
from zfcuda.train.batches import batches
from zfcuda.train.config import Config
from zfcuda.train.pool import Pool, draw_pool

_WARM_UP = 50  # steps, at the start of either stage
_CLIP = 2.0  # norm of the gradient


@dataclass(frozen=True)
class Report:
    """Where a run stands after an epoch on whole pictures.

    Attributes:
        epoch, epochs: how many are done, of how many.
        loss: mean over the epoch.
        accuracy: share of held-out pictures classified rightly.
        control_accuracy: the same with the defining part left out; NaN before the last epoch.
    """

    epoch: int
    epochs: int
    loss: float
    accuracy: float
    control_accuracy: float


def train(
    config: Config, *, checkpoint: Callable[[ZFNet, Report], None] | None = None, progress: bool = True
) -> tuple[ZFNet, Report]:
    """Trains a ZFNet on Parts.

    Args:
        checkpoint: called after every epoch on whole pictures.
        progress: shows bars with the time left.

    Returns:
        the network in eval mode and the last report.
    """
    started = time.perf_counter()
    torch.manual_seed(config.seed)
    dice = np.random.default_rng(config.seed)
    preprocess = Preprocess.parts()

    def drawn(count: int, seed: int, title: str, part: bool = True) -> Pool:
        return draw_pool(count, seed, part=part, workers=config.workers, title=title if progress else None)

    pool = drawn(config.pictures, config.seed, "drawing pictures")
    held_out = drawn(config.held_out, HELD_OUT_SEED, "drawing held-out pictures")
    network = initialized(len(Parts.classes), config.width)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for layer in network:
        if isinstance(layer, nn.Dropout):
            layer.p = config.dropout
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.rate, betas=(0.9, 0.98), weight_decay=0.01)

    def epoch(model: nn.Module, rates: Callable[[float], float], number: int, of: int, close_up: bool) -> float:
        model.train()
        steps = config.pictures // config.batch
        total = 0.0
        title = f"{'close-ups' if close_up else 'whole pictures'}, epoch {number + 1} of {of}"
        with tqdm(total=steps, desc=title, unit="step", disable=not progress) as bar:
            for step, (images, labels) in enumerate(batches(pool, preprocess, config.batch, dice, close_up=close_up)):
                at = number * steps + step
                for group in optimizer.param_groups:
                    group["lr"] = config.rate * rates(at / (of * steps)) * min(1.0, (at + 1) / _WARM_UP)
                loss = F.cross_entropy(model(images), labels)
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                nn.utils.clip_grad_norm_(model.parameters(), _CLIP)
                optimizer.step()
                total += loss.item()
                bar.set_postfix(loss=f"{total / (step + 1):.3f}")
                bar.update()
        return total / steps

    close = without_pool5(network)
    for k in range(config.close_ups):
        epoch(close, lambda _: 1.0, k, config.close_ups, close_up=True)
    report = Report(0, config.epochs, math.nan, math.nan, math.nan)
    for k in range(config.epochs):
        loss = epoch(network, lambda t: 0.5 + 0.5 * math.cos(math.pi * t), k, config.epochs, close_up=False)
        control = math.nan
        if k + 1 == config.epochs:
            blank = drawn(config.held_out, HELD_OUT_SEED, "drawing the control", part=False)
            control = accuracy(network, blank, preprocess)
        report = Report(k + 1, config.epochs, loss, accuracy(network, held_out, preprocess), control)
        if progress:
            minutes = (time.perf_counter() - started) / 60
            tqdm.write(f"epoch {k + 1}: loss {loss:.3f}, held-out accuracy {report.accuracy:.2%}, {minutes:.1f} min")
        if checkpoint is not None:
            checkpoint(network, report)
    network.eval()
    return network, report


def initialized(num_classes: int, width: float) -> ZFNet:
    """A ZFNet with He's initial weights: the paper's standard deviation of 0.01 does not start on few pictures.

    conv1 keeps it: what its filters learn on few pictures would drown in larger initial noise.
    """
    network = zfnet(num_classes, width=width)
    for layer in network:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            # fc8: all classes alike at first
            deviation = 0.01 if layer in (network.conv1, network.fc8) else math.sqrt(2 / layer.weight[0].numel())
            nn.init.normal_(layer.weight, std=deviation)
    return network


def without_pool5(network: ZFNet) -> ZFNet:
    """A network of all layers but pool5: it reads images of 112 pixels, whose conv5 map is 6 x 6 already."""
    return ZFNet(OrderedDict((name, layer) for name, layer in network.named_children() if name != "pool5"))


def accuracy(network: nn.Module, pool: Pool, preprocess: Preprocess) -> float:
    """Share of the pool's pictures classified rightly, in eval mode."""
    network.eval()
    right = 0
    with torch.no_grad():
        for start in range(0, len(pool.labels), 100):
            span = slice(start, start + 100)
            images = preprocess.normalized(pool.pixels[span].permute(0, 3, 1, 2))
            right += int((network(images).argmax(1) == pool.labels[span]).sum())
    return right / len(pool.labels)
