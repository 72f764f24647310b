"""Everything that a run changes as it goes: what a checkpoint keeps, so that nothing is lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from zfcuda.ranks import Ranks
from zfcuda.train.broken import Broken
from zfcuda.train.chance import step_seed
from zfcuda.train.close_up_network import Forward, without_last_pooling
from zfcuda.train.evaluate import autocast
from zfcuda.train.generators import generator_states, restore_generators, seed_generators
from zfcuda.train.loading import Batch
from zfcuda.train.network import frozen
from zfcuda.train.optimiser import average, optimiser, renormalise, schedule
from zfcuda.train.options import Options
from zfcuda.train.teacher import Teacher
from zfcuda.train.views import View
from zfcuda.train.views.close_ups import CLOSE_UP, CloseUps


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
        ranks: Ranks | None = None,
        teacher: Teacher | None = None,
        unused: bool = False,
    ) -> None:
        """unused: whether something that may learn has no part in the answer, as `dry_run` returns it."""
        self.device = torch.device(options.device)
        self.network = network.to(self.device)
        self.view, self.options, self.classes, self.precision = view, options, classes, precision
        self.epoch_steps, self.ranks, self.teacher = epoch_steps, ranks or Ranks(), teacher
        self.frozen = list(frozen(network, options.freeze_below))
        self.optimizer = optimiser(network, options)
        self.schedule = schedule(self.optimizer, options, steps)
        self.average = average(network, options.ema) if options.ema else None
        self.step = 0
        self.diverged = torch.zeros((), dtype=torch.int64, device=self.device)
        self.whole = True
        self.sums = torch.zeros(4, dtype=torch.float64, device=self.device)
        self.broken: dict[int, Broken] = {}
        close = without_last_pooling(network) if isinstance(view, CloseUps) and view.epochs else None
        self.forward: nn.Module = Forward(network, close)
        if self.ranks.count > 1:
            self.forward = DistributedDataParallel(
                self.forward,
                device_ids=[self.device] if self.device.type == "cuda" else None,
                find_unused_parameters=unused,
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

    def learn(self, batch: Batch, keys: Sequence[tuple[int, int]], pictures: int | None = None) -> None:
        """One step.

        Args:
            batch: this process's part of it.
            keys: as of :meth:`Order.keys`, of the pictures of the batch and the broken ones.
            pictures: how many whole ones all processes have together; None: this one is alone.
        """
        self.whole = False
        seed_generators(step_seed(self.options.seed, self.step, self.ranks.rank))
        self.broken.update({each.index: each for each in batch.broken})
        pictures = len(batch.labels) if pictures is None else pictures
        if pictures:
            self._learn(batch, keys, pictures)
        else:  # without gradients nothing is changed; the schedule goes on
            self.optimizer.zero_grad(set_to_none=True)
            self.optimizer.step()
        if isinstance(self.schedule, torch.optim.lr_scheduler.LambdaLR):
            self.schedule.step()
        self.step += 1
        self.whole = True

    def _learn(self, batch: Batch, keys: Sequence[tuple[int, int]], pictures: int) -> None:
        self.forward.train()
        for layer in self.frozen:
            layer.eval()
        pixels, crops, labels = (
            each.to(self.device, non_blocking=True) for each in (batch.pixels, batch.crops, batch.labels)
        )
        close = isinstance(self.view, CloseUps) and self.epoch < self.view.epochs
        some = len(labels) > 0
        # Where all pictures of a process are broken, it has nothing to say, but the others wait for it.
        images = self.view.images(pixels, crops) if some else self._nothing(close)
        with autocast(self.device, self.precision):
            logits = self.forward(images, close)
        logits = logits.float()
        answers = None
        if self.teacher is not None and some:
            broken = {each.index for each in batch.broken}
            answers = self.teacher.answers(pixels, [key for key in keys if key[1] not in broken])
        loss = self._loss(logits, answers, labels).sum() if some else logits.sum() * 0
        self.optimizer.zero_grad(set_to_none=True)
        # The gradients of the processes are averaged, and each has its own number of whole pictures.
        torch.autograd.backward(loss * self.ranks.count / pictures)
        if self.options.clip:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.options.clip)
        self.optimizer.step()
        if self.options.filter_rms:
            renormalise(self.network, self.options.filter_rms)
        if self.average is not None:
            self.average.update_parameters(self.network)
        if some:
            self._count(loss.detach(), logits.detach(), labels)

    def _nothing(self, close: bool) -> Tensor:
        """Images for a pass that changes nothing: batch norms do not learn from them either."""
        for layer in self.network.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.eval()
        sides = (CLOSE_UP, CLOSE_UP) if close else self.view.preprocess.sides
        images = torch.zeros(2, len(self.view.preprocess.mean), *sides, device=self.device)
        return images.contiguous(memory_format=torch.channels_last)

    def alike(self) -> None:
        """Gives the network of every process the first one's buffers: each has its own statistics of batch norms."""
        if self.ranks.count > 1:
            for buffer in [*self.network.buffers(), *(() if self.average is None else self.average.module.buffers())]:
                torch.distributed.broadcast(buffer, 0)

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
        """What a checkpoint keeps, of all processes: each makes the call. Any number of them may go on from it."""
        return {
            "step": self.step,
            "network": dict(self.network.state_dict()),
            "average": None if self.average is None else dict(self.average.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "sums": self.total(),
            "teacher": None if self.teacher is None else self.teacher.kept,
            "broken": [[each.index, each.name, each.reason] for each in self.all_broken()],
            "random": self.ranks.gathered(generator_states()),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Goes on from what a checkpoint has kept."""
        self.step = state["step"]
        self.network.load_state_dict(state["network"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.sums.copy_(torch.tensor(state["sums"], dtype=torch.float64))
        if not self.ranks.first:  # they are added up
            self.sums.zero_()
        self.broken.clear()
        self.broken.update({each[0]: Broken(*each) for each in state["broken"]})
        if self.teacher is not None and state["teacher"] is not None:
            self.teacher.kept = state["teacher"]
        restore_generators(state["random"][self.ranks.rank % len(state["random"])])

    def total(self) -> list[float]:
        """The sums of all processes; each makes the call."""
        return self.ranks.summed(self.sums.tolist())

    def all_broken(self) -> list[Broken]:
        """The pictures that no process could read so far; each makes the call."""
        found = {each.index: each for part in self.ranks.gathered(list(self.broken.values())) for each in part}
        return [found[index] for index in sorted(found)]
