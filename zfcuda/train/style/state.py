"""Everything that the training of a style network changes as it goes: what a checkpoint keeps."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from zfcuda.synthesis.style_network.network import StyleNetwork
from zfcuda.synthesis.watched import Watched
from zfcuda.train.broken import Broken
from zfcuda.train.loading import Batch
from zfcuda.train.style.loss import LossNetwork
from zfcuda.train.style.options import StyleOptions


class StyleTraining:
    """A style network that learns, step by step.

    Attributes:
        step: how many steps are done.
        whole: whether all that is kept here is of one moment; not so within a step, nor after one that raised.
        sums: since the last line of the log: loss, content, style, tv, and steps. On the device, so that nobody waits.
        diverged: the first step of this start, from 1, whose loss was not finite; 0: none.
        broken: the pictures that could not be read so far, by number.
    """

    def __init__(self, network: StyleNetwork, loss: LossNetwork, options: StyleOptions) -> None:
        self.device = torch.device(options.device)
        self.network, self.loss, self.options = network.to(self.device).train(), loss, options
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=options.rate)
        self.step = 0
        self.whole = True
        self.sums = torch.zeros(5, dtype=torch.float64, device=self.device)
        self.diverged = torch.zeros((), dtype=torch.int64, device=self.device)
        self.broken: dict[int, Broken] = {}

    def learn(self, watched: Watched, batch: Batch) -> None:
        """One step. watched: the fixed network."""
        self.whole = False
        self.broken.update({each.index: each for each in batch.broken})
        if len(batch.pixels):
            self._learn(watched, batch.pixels.to(self.device, non_blocking=True).float() / 255)
        self.step += 1
        self.whole = True

    def _learn(self, watched: Watched, images: Tensor) -> None:
        options, styles = self.options, self.network.styles
        which = (torch.arange(len(images), device=self.device) + self.step * options.batch) % styles
        shares = torch.nn.functional.one_hot(which, styles).float()
        for group in self.optimizer.param_groups:
            group["lr"] = options.rate * (1 + math.cos(math.pi * self.step / options.steps)) / 2
        drawn = self.network(images.contiguous(), shares)
        losses = self.loss.losses(watched, images, drawn, which)
        weights = (options.content_weight, options.style_weight, options.tv)
        loss = torch.stack([weight * each for weight, each in zip(weights, losses, strict=True)]).sum()
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss, inputs=list(self.network.parameters()))
        self.optimizer.step()
        loss = loss.detach()
        self.diverged = torch.where(loss.isfinite() | (self.diverged > 0), self.diverged, self.step + 1)
        self.sums += torch.stack([loss, *(each.detach() for each in losses), torch.ones_like(loss)]).to(self.sums)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "step": self.step,
            "network": dict(self.network.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "sums": self.sums.tolist(),
            "broken": [[each.index, each.name, each.reason] for each in self.broken.values()],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Goes on from what a checkpoint has kept."""
        self.step = state["step"]
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.sums.copy_(torch.tensor(state["sums"], dtype=torch.float64))
        self.broken.update({each[0]: Broken(*each) for each in state["broken"]})
