"""One pass of a model over numbered pictures, of any number: resumable, shared by processes, the same in the end."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from zfcuda.complaint import one_line, out_of_memory, reason
from zfcuda.data.collection import Collection, Pictures
from zfcuda.features.accumulator import Accumulator, Passed
from zfcuda.features.catching import Catching, calls_of
from zfcuda.features.loading import Batch, Skipped, block_size, first_image, loaded, placed
from zfcuda.features.state import Kept, StateFile, model_fingerprint
from zfcuda.files.signals import held
from zfcuda.inputs import checked_layer
from zfcuda.misfit import misfit
from zfcuda.network.graph import unwrap, wrapper_of
from zfcuda.ranks import Ranks

WRITE_EVERY = 5.0  # seconds between two writes of the state
WRITE_SHARE = 20  # a write takes one of so many seconds, at most


class Stream:
    """A model, pictures and layers; an image is run at once, so that what does not fit is refused early.

    Args:
        model: a CNN in any mode; it is run as in eval, without gradients, and left as it was. A wrapper of
            torch.compile or DataParallel is looked through.
        pictures: as :meth:`zfcuda.data.collection.Collection.of` takes them, or a Collection. Their images are taken to
            the model's device and to a dtype of its weights.
        layers: dotted names of submodules; the output of each, as of its last call, is what is seen.
        preprocess: as there.

    Attributes:
        model: unwrapped. layers: the names as given, each once.
        shapes: layer -> [K,h,w] or [K], of the first image. dtypes: layer -> dtype.
        size: (C, H, W) of the first image.
        device: where the images go.

    Raises:
        TypeError, ValueError: naming the argument: no picture can be read, an unknown layer, one that gives neither a
            map nor a vector of floating numbers, an image that the model does not take.
    """

    def __init__(
        self, model: nn.Module, pictures: Pictures, layers: Sequence[str] | str, *, preprocess: Any = None
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"model: expected a torch.nn.Module, got {type(model).__name__}")
        self.model = unwrap(model)
        self.layers, self._own = _names(model, layers)
        self._calls = calls_of(self.model, self._wanted)
        given = isinstance(pictures, Collection)
        self.collection = pictures if given else Collection.of(pictures, preprocess=preprocess, model=self.model)
        weights = [p for p in self.model.parameters() if p.is_floating_point()]
        self.device = weights[0].device if weights else torch.device("cpu")
        first = first_image(self.collection)
        self.size: tuple[int, ...] = tuple(first.shape)
        self._block = block_size(first)
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.dtypes: dict[str, torch.dtype] = {}
        self._sample: dict[str, list[float]] = {}  # of each layer for the first image two means: values, magnitudes
        self._try(first)

    def run(
        self, accumulator: Accumulator, *, state: str | os.PathLike[str] | None = None, progress: bool = False
    ) -> Passed:
        """Runs all pictures that are not done yet, and hands what was made of them to the accumulator.

        Pictures run in blocks that are always the same ones, whatever was done before, and whoever does it. Under
        torchrun, or where torch.distributed is initialised, the processes share the blocks, and all of them hold the
        whole answer in the end; each has to make this call.

        Args:
            state: a file, or where there will be one, that keeps what is done: it is written every few seconds, and a
                later call goes on from there. Processes on several machines need a folder that they share.
            progress: show a bar on stderr.

        Raises:
            ValueError: the state is of something else, or cannot be written; no picture could be read.
            KeyboardInterrupt: after Ctrl-C; what was done is in the state, as the message says.
        """
        ranks = Ranks()
        file = None if state is None else StateFile(state)
        kept = Kept(self._subject(accumulator, file), {}, torch.zeros(self._blocks, dtype=torch.bool))
        if file is not None and ranks.first:
            _take(file, kept, accumulator)
        kept.done = ranks.of_first(kept.done)
        rest = (~kept.done).nonzero().flatten().tolist()
        if rest:
            if not ranks.first:
                kept.done.zero_()  # what was there is counted once
            self._run(accumulator, rest[ranks.rank :: ranks.count], kept, file, ranks, progress)
        elif not ranks.first:
            kept.done.zero_()
        if ranks.count > 1:
            _merge(accumulator, kept, ranks)
        if file is not None and ranks.first and rest:
            kept.answer = accumulator.state_dict()
            file.write(kept)
            file.remove_parts()
        kept.skipped.sort(key=lambda each: each.index)
        seen = len(self.collection) - len(kept.skipped)
        if not seen:
            one = kept.skipped[0]
            raise ValueError(f"pictures: none of {len(kept.skipped)} could be used; {one.name}: {one.reason}")
        if kept.skipped and ranks.first:
            warnings.warn(_said(kept.skipped, len(self.collection)), stacklevel=3)
        return Passed(seen, kept.skipped)

    def own_name(self, layer: str) -> str:
        """What the model itself calls a layer."""
        return self._own[layer]

    # ------------------------------------------------------------ the work

    @property
    def _wanted(self) -> list[str]:
        """The layers as the model itself calls them, each once."""
        return list(dict.fromkeys(self._own.values()))

    @property
    def _blocks(self) -> int:
        return -(-len(self.collection) // self._block)

    def _range(self, block: int) -> range:
        return range(block * self._block, min(len(self.collection), (block + 1) * self._block))

    def _run(
        self,
        accumulator: Accumulator,
        blocks: Sequence[int],
        kept: Kept,
        file: StateFile | None,
        ranks: Ranks,
        progress: bool,
    ) -> None:
        """Runs blocks one after the other, and marks each as done."""
        total = sum(map(len, map(self._range, blocks)))
        whole, wrote, took = True, time.monotonic(), 0.0
        loading = loaded(self.collection, [self._range(block) for block in blocks])
        bar = tqdm(total=total, desc="pictures", unit="picture", disable=not progress or not ranks.first)
        try:
            with (
                Catching(self.model, self._wanted, self._reduced(accumulator), self._counts, self._calls) as catching,
                bar,
            ):
                alone = self._coupled(catching)
                for block, (batches, skipped) in zip(blocks, loading, strict=True):
                    found = [each for batch in batches for each in self._forward(catching, batch, alone, skipped)]
                    with held():  # a block is taken whole or not at all
                        whole = False
                        for indices, values, size in found:
                            accumulator.add(indices, values, size)
                        kept.done[block] = True
                        kept.skipped += skipped
                        whole = True
                    bar.update(len(self._range(block)))
                    if file is not None and time.monotonic() - wrote > max(WRITE_EVERY, WRITE_SHARE * took):
                        began = time.monotonic()
                        _write(file, kept, accumulator, ranks)
                        wrote = time.monotonic()
                        took = wrote - began
        except BaseException as error:
            if file is not None and whole and not isinstance(error, MemoryError):
                _write(file, kept, accumulator, ranks)
            if isinstance(error, KeyboardInterrupt):
                count = sum(len(self._range(block)) for block in kept.done.nonzero().flatten().tolist())
                where = f"are kept in {file.shown}, and the same call goes on there" if file is not None else ""
                where = where or "were done, and none is kept: a state file would have kept them"
                done = f"{count:,} of {len(self.collection):,} pictures {where}" if count else "no picture was done yet"
                error.args = (done,)
            raise
        finally:
            loading.close()

    def _reduced(self, accumulator: Accumulator) -> Any:
        given = {own: name for name, own in reversed(self._own.items())}
        return lambda own, activation, indices: accumulator.reduce(given[own], activation, indices)

    def _forward(
        self, catching: Catching, batch: Batch, alone: bool, skipped: list[Skipped]
    ) -> Iterator[tuple[Tensor, dict[str, Any], tuple[int, int]]]:
        """What was kept of the layers for a batch; pictures of another size than the first may not fit the model."""
        images = placed(batch.images, self.model)
        size = (images.shape[-2], images.shape[-1])
        step = 1 if alone else len(images)
        for begin in range(0, len(images), step):
            indices = batch.indices[begin : begin + step]
            try:
                found = catching(images[begin : begin + step], torch.tensor(indices))
            except Exception as error:
                if tuple(images.shape[1:]) == self.size or out_of_memory(error):
                    raise
                said = f"an image {list(images.shape[1:])} does not fit the model ({reason(error)})"
                skipped += [Skipped(index, self.collection.names[index], said) for index in indices]
                continue
            values = {name: found[own] for name, own in self._own.items()}
            yield torch.tensor(indices), values, size

    def _coupled(self, catching: Catching) -> bool:
        """Whether pictures have to run one by one, for they might influence one another."""
        return catching.coupling(placed(torch.zeros(1, *self.size), self.model)) is not None

    def _try(self, first: Tensor) -> None:
        """Runs the first image, and notes what the layers give."""

        def outline(layer: str, activation: Tensor, indices: Tensor) -> Tensor:
            self._sample[layer] = [float(x.float().mean()) for x in (activation, activation.float().abs())]
            return activation.new_empty(()).expand(activation.shape)

        with Catching(self.model, self._wanted, outline, None, self._calls) as catching:
            images = placed(first[None].clone(), self.model)
            try:
                found = catching(images, torch.zeros(1))
            except RuntimeError as error:
                raise misfit(error, self.model, images) or error from error
            self._counts = dict(catching.called)
        for name, own in self._own.items():
            value = found[own]
            if value.dim() not in (2, 4) or len(value) != 1:
                raise ValueError(
                    f"layer: expected one that gives a map [N,K,h,w] or a vector [N,K], got {name!r}: "
                    f"{list(value.shape)}"
                )
            if not value.is_floating_point():
                raise ValueError(f"layer: expected floating values, got {value.dtype} from {name!r}")
            self.shapes[name], self.dtypes[name] = tuple(value.shape[1:]), value.dtype

    def _subject(self, accumulator: Accumulator, file: StateFile | None) -> dict[str, Any]:
        if file is None:
            return {}
        return {
            "of": accumulator.question,
            "pictures": self.collection.fingerprint,
            "model": model_fingerprint(self.model),
            "layers": self._wanted,
            "settings": accumulator.settings,
            "block": self._block,
            "sample": [self._sample[layer] for layer in self._wanted],  # by settings, hooks, forwards
        }


def _said(skipped: Sequence[Skipped], count: int) -> str:
    """Names the pictures that were left out, the first of many."""
    named = "; ".join(f"{one_line(each.name)}: {each.reason}" for each in skipped[:3])
    return f"pictures: {len(skipped):,} of {count:,} left out: {named}{'; ...' if len(skipped) > 3 else ''}"


def _take(file: StateFile, kept: Kept, accumulator: Accumulator) -> None:
    """Takes what is in the state file and in those of other processes; of blocks that several have, once."""
    for there in file.read(kept.subject):
        if (there.done & kept.done).any() or not there.done.any():
            continue
        if kept.done.any():
            accumulator.merge(there.answer)
        else:
            accumulator.load_state_dict(there.answer)
        kept.done |= there.done
        kept.skipped += there.skipped
    if file.parts and kept.done.any():  # from now on this process has what they hold
        kept.answer = accumulator.state_dict()
        file.write(kept)
        file.remove_parts()


def _merge(accumulator: Accumulator, kept: Kept, ranks: Ranks) -> None:
    """The whole answer, from what each process has, in each of them."""
    every = ranks.gathered((accumulator.state_dict() if kept.done.any() else None, kept.done, kept.skipped))
    states = [state for state, _, _ in every if state is not None]
    for number, state in enumerate(states):
        (accumulator.merge if number else accumulator.load_state_dict)(state)
    kept.done = torch.stack([done for _, done, _ in every]).any(0)
    kept.skipped = [each for _, _, skipped in every for each in skipped]


def _write(file: StateFile, kept: Kept, accumulator: Accumulator, ranks: Ranks) -> None:
    if kept.done.any():
        kept.answer = accumulator.state_dict()
        file.write(kept, ranks.rank)


def _names(model: nn.Module, layers: Sequence[str] | str) -> tuple[list[str], dict[str, str]]:
    """The layers as given, each once, and what the model itself calls them."""
    if not isinstance(layers, Iterable):
        raise TypeError(f"layers: expected the name of a layer, or a list of names, got {layers!r}")
    given = [layers] if isinstance(layers, str) else list(layers)
    if not given:
        raise ValueError("layers: expected at least one, got none")
    own = {name: checked_layer(name, unwrap(model), wrapper_of(model)) for name in given}
    first = {known: name for name, known in reversed(own.items())}
    names = {name: known for name, known in own.items() if first[known] == name}
    return list(names), names
