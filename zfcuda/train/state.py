"""Everything that a run changes as it goes: what a checkpoint keeps, so that nothing is lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zfcuda.train.broken import Broken
from zfcuda.train.chance import step_seed
from zfcuda.train.closely import without_last_pooling
from zfcuda.train.evaluate import autocast
from zfcuda.train.generators import generator_states, restore_generators, seed_generators
from zfcuda.train.loading import Batch
from zfcuda.train.network import frozen
from zfcuda.train.optimiser import average, optimiser, renormalise, schedule
from zfcuda.train.options import Options
from zfcuda.train.teacher import Teacher
from zfcuda.train.views import View
from zfcuda.train.views.close_ups import CloseUps


class Training:
    """A network that learns, step by step.

    Attributes:
        network: what learns. average: its moving average; None where there is none.
        step: how many steps are done.
        diverged: the first step of this start, from 1, whose loss was not finite; 0: none. On the device, so that
            nobody waits for it.
        whole: whether all that is kept here is of one moment; not so within a step, nor after one that raised.
        sums: of the epoch so far: loss, pictures classified rightly, among the five most probable, pictures.
        broken: the pictures that could not be read so far, by number.
    """

    def __init__(
        self,
        network: nn.Module,
        view: View,
        options: Options,
        *,
        steps: int,
        epoch_steps: int,
        classes: int,
        precision: torch.dtype,
        rank: int = 0,
        ranks: int = 1,
        teacher: Teacher | None = None,
    ) -> None:
        self.device = torch.device(options.device)
        self.network = network.to(self.device)
        self.view, self.options, self.classes, self.precision = view, options, classes, precision
        self.epoch_steps, self.rank, self.ranks, self.teacher = epoch_steps, rank, ranks, teacher
        self.frozen = list(frozen(network, options.freeze_below))
        self.optimizer = optimiser(network, options)
        self.schedule = schedule(self.optimizer, options, steps)
        self.average = average(network, options.ema) if options.ema else None
        self.step = 0
        self.diverged = torch.zeros((), dtype=torch.int64, device=self.device)
        self.whole = True
        self.sums = torch.zeros(4, dtype=torch.float64, device=self.device)
        self.broken: dict[int, Broken] = {}
        self.close = without_last_pooling(network) if isinstance(view, CloseUps) and view.epochs else None
        self.forward: nn.Module = network
        if ranks > 1:
            self.forward = nn.parallel.DistributedDataParallel(
                network, device_ids=[self.device] if self.device.type == "cuda" else None
            )

    @property
    def epoch(self) -> int:
        """The epoch that the next step is of."""
        return self.step // self.epoch_steps

    @property
    def kept(self) -> nn.Module:
        """The network that is validated and written."""
        return self.network if self.average is None else self.average.module

    @property
    def rate(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])

    def learn(self, batch: Batch, keys: Sequence[tuple[int, int]]) -> None:
        """One step. keys: as of :meth:`Order.keys`, of the pictures of the batch and the broken ones."""
        self.whole = False
        seed_generators(step_seed(self.options.seed, self.step, self.rank))
        self.forward.train()
        for layer in self.frozen:
            layer.eval()
        self.broken.update({each.index: each for each in batch.broken})
        pixels, crops, labels = (
            each.to(self.device, non_blocking=True) for each in (batch.pixels, batch.crops, batch.labels)
        )
        count = torch.tensor(float(len(labels)), device=self.device)
        if self.ranks > 1:
            torch.distributed.all_reduce(count)  # a broken picture makes a process's share smaller
        if not len(labels):  # all of them are broken
            if not count:
                self._pass()
                return
            # The other processes wait for gradients: those of a grey image that counts nothing.
            self.forward.eval()
            pixels = torch.zeros((1, 3, *self.view.preprocess.sides), dtype=torch.uint8, device=self.device)
            crops = torch.zeros(1, dtype=torch.int64, device=self.device)
        images = self.view.images(pixels, crops)
        close = self.close is not None and isinstance(self.view, CloseUps) and self.epoch < self.view.epochs
        with autocast(self.device, self.precision):
            logits = (self.close if close else self.forward)(images)  # type: ignore[misc]
        logits = logits.float()
        # The gradients of the processes are averaged: the sum of each over the pictures of all is scaled for that.
        answers = None
        if self.teacher is not None and len(labels):
            broken = {each.index for each in batch.broken}
            answers = self.teacher.answers(pixels, [key for key in keys if key[1] not in broken])
        losses = self._loss(logits, answers, labels) if len(labels) else 0 * logits
        loss = losses.sum() * self.ranks / count
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        if self.options.clip:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.options.clip)
        self.optimizer.step()
        if self.options.filter_rms:
            renormalise(self.network, self.options.filter_rms)
        if self.average is not None:
            self.average.update_parameters(self.network)
        self._count(loss.detach() * count / self.ranks, logits.detach()[: len(labels)], labels)
        self._pass()

    def _pass(self) -> None:
        """A step is done."""
        if isinstance(self.schedule, torch.optim.lr_scheduler.LambdaLR):
            self.schedule.step()
        self.step += 1
        self.whole = True

    def _loss(self, logits: Tensor, answers: Tensor | None, labels: Tensor) -> Tensor:
        share = self.options.distill if answers is not None else 0.0
        loss = torch.zeros(len(labels), device=self.device)
        if share < 1:
            smooth = self.options.label_smoothing or 0.0
            loss = loss + (1 - share) * F.cross_entropy(logits, labels, reduction="none", label_smoothing=smooth)
        if answers is not None and share:
            loss = loss + share * Teacher.loss(logits, answers, self.options.temperature)
        return loss

    def _count(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        best = logits.topk(min(5, self.classes), 1).indices == labels[:, None]
        self.diverged = torch.where(loss.isfinite() | (self.diverged > 0), self.diverged, self.step + 1)
        self.sums += torch.stack([loss, best[:, 0].sum(), best.sum(), torch.tensor(len(labels))]).to(self.sums)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "step": self.step,
            "network": dict(self.network.state_dict()),
            "average": None if self.average is None else dict(self.average.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "sums": self.sums,
            "teacher": None if self.teacher is None else self.teacher.kept,
            "broken": [[each.index, each.name, each.reason] for each in self.broken.values()],
            "random": generator_states(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Goes on from what a checkpoint has kept."""
        self.step = state["step"]
        self.network.load_state_dict(state["network"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.sums.copy_(state["sums"])
        self.broken.clear()
        self.broken.update({each[0]: Broken(*each) for each in state["broken"]})
        if self.teacher is not None and state["teacher"] is not None:
            self.teacher.kept = state["teacher"]
        restore_generators(state["random"])
