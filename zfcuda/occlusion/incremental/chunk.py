"""One batch of windows on its way through the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from zfcuda.network import Node, Ref
from zfcuda.network.graph import map_nest
from zfcuda.occlusion.incremental.change_analysis import Changes, Flattened, Local, Whole
from zfcuda.occlusion.incremental.kept import Kept
from zfcuda.occlusion.incremental.outliers import limit, within
from zfcuda.occlusion.incremental.patches import Layout, Patches, Table, gather, rectangles, same, table_bytes
from zfcuda.occlusion.incremental.regions import Intervals

T = TypeVar("T")


class Base:
    """The values of all nodes for the whole image, as the engine wants them."""

    def __init__(self, values: dict[int, Any], dtype: torch.dtype) -> None:
        self.values, self.dtype = values, dtype
        self.kept: Kept | None = None  # what was made of the model's tensors for other images
        self.outlying_fill = False  # what covers the image is an outlier in it
        self.prepared: dict[Any, Any] = {}  # what a step has made of the model's tensors and the maps
        self.unfused: set[int] = set()  # nodes whose values for the whole image were computed after all
        self.small_tiles = False  # of Winograd's algorithm: its filters take less than half the memory
        self.unread: set[int] = set()  # maps that are not held, since no step reads them
        self._blank: Tensor | None = None
        self._maps: dict[int, Tensor] = {}
        self._limits: dict[int, float] = {}

    @property
    def device(self) -> torch.device:
        return next(value.device for value in self.values.values() if isinstance(value, Tensor))

    def __getitem__(self, index: int) -> Any:
        return self.values[index]

    def __contains__(self, index: int) -> bool:
        return index in self.values

    def cast(self, index: int) -> Any:
        """A value in the dtype that the windows are run in."""
        value = self.values[index]
        return value.to(self.dtype) if isinstance(value, Tensor) and value.is_floating_point() else value

    def map(self, index: int) -> Tensor:
        """A map in the dtype that the windows are run in, [1,C,H,W] channels_last; NaN where none is held."""
        if index in self.unread:
            return self._stand_in(index)
        if index not in self._maps:
            laid_out = self.cast(index).contiguous(memory_format=torch.channels_last)
            self._maps[index] = laid_out
            if laid_out.dtype == self.values[index].dtype:
                self.values[index] = laid_out  # or both would be held
        return self._maps[index]

    def _stand_in(self, index: int) -> Tensor:
        """What the operators take for a map of which they read nothing; all share the same memory."""
        if self._blank is None:
            most = max(self.values[i].numel() for i in self.unread)
            self._blank = torch.full((most,), torch.nan, dtype=self.dtype, device=self.device)
        one, channels, height, width = self.values[index].shape
        return self._blank[: self.values[index].numel()].view(one, height, width, channels).permute(0, 3, 1, 2)

    def state_of(self, module: nn.Module) -> dict[str, Tensor]:
        """Those tensors of a module that are of another dtype than the windows, in theirs."""
        key = ("state", module)
        if key not in self.prepared:
            tensors = [*module.named_parameters(), *module.named_buffers()]
            floating = [(name, x) for name, x in tensors if x.is_floating_point() and x.dtype != self.dtype]
            self.prepared[key] = {name: x.detach().to(self.dtype) for name, x in floating}
        state: dict[str, Tensor] = self.prepared[key]
        return state

    def limit(self, index: int) -> float:
        """The magnitude from which a value of a map is an outlier; below 0 where the whole image has some."""
        if index not in self._limits:
            values = self.map(index)
            most = limit(values)
            self._limits[index] = most if within(values, most) else -1.0
        return self._limits[index]


@dataclass
class Places:
    """Where some windows change the maps; the same for every image, so that tables are made and copied once.

    windows: int64 [n], which of the grid, row by row, or of a list. columns: of the grid; None: of a list, each with
        intervals of its own.
    """

    changes: Changes
    windows: Table
    columns: int | None
    _layouts: dict[int, Layout] = field(default_factory=dict)
    _shared: dict[bytes, Layout] = field(default_factory=dict)  # the same, by their rectangles
    _made: dict[Any, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.windows)

    def intervals(self, index: int) -> tuple[Intervals, Intervals]:
        """What each window changes of a node's map: rows [n,2], columns [n,2]."""
        change = self.changes.of[index]
        assert isinstance(change, Local)
        if self.columns is None:
            return change.rows[self.windows], change.columns[self.windows]
        return change.rows[self.windows // self.columns], change.columns[self.windows % self.columns]

    def layout(self, index: int) -> Layout:
        """Patches of one size lie together, for dense layers that take them so; maps that change alike share it."""
        if index not in self._layouts:
            corners = rectangles(*self.intervals(index))
            key = blake2b(corners.tobytes(), digest_size=16).digest()
            if key not in self._shared:
                self._shared[key] = Layout.of(corners, group=True)
            self._layouts[index] = self._shared[key]
        return self._layouts[index]

    def once(self, key: Any, make: Callable[[], T]) -> T:
        """What a step makes of the places and of what the key holds alone, made at its first run.

        A chunk that was joined of several has layouts that depend on how it was cut: these belong to the key.
        """
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def memory(self) -> int:
        """The bytes of all tables made so far."""
        return table_bytes([self._shared, self._made])

    def empty(self, index: int) -> Layout:
        """The layout of as many patches as a node has, all empty."""
        return self.layout(index).empty

    def whole(self, height: int, width: int) -> Layout:
        """The layout of all positions of a map, for every window."""

        def make() -> Layout:
            corners = np.tile(np.array([0, 0, height, width], np.int64), (len(self), 1))
            return Layout.of(corners, False)

        return self.once(("whole", height, width), make)


@dataclass
class Chunk:
    """Some windows on their way.

    values: node -> Patches, or the value itself with one row per window.
    """

    base: Base
    places: Places
    values: dict[int, Any] = field(default_factory=dict)
    completed: dict[int, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.places)

    @property
    def changes(self) -> Changes:
        return self.places.changes

    def layout(self, index: int) -> Layout:
        return self.places.layout(index)

    def aligned(self, source: int, target: int) -> Patches:
        """The patches of one node over the rectangles that another changes."""
        patches = self.values[source]
        layout = self.layout(target)
        if same(patches.layout, layout):
            return patches
        return Patches(gather(self.base.map(source), patches, layout), layout)

    def whole(self, index: int) -> Tensor:
        """A node's value in full for every window, [n,...]."""
        change = self.changes.of[index]
        if isinstance(change, Flattened):
            return self.whole(change.source).flatten(1)
        if not isinstance(change, Local):
            return self.values[index]
        if index not in self.completed:
            base = self.base.map(index)
            height, width = base.shape[2:]
            patches, layout = self.values[index], self.places.whole(height, width)
            values = patches.values if same(patches.layout, layout) else gather(base, patches, layout)
            self.completed[index] = values.view(len(self), height, width, -1).permute(0, 3, 1, 2)
        return self.completed[index]

    def resolve(self, node: Node) -> dict[str, Any]:
        """The arguments of a node that runs in full."""

        def value(ref: Any) -> Any:
            if not isinstance(ref, Ref):
                return ref
            change = self.changes.of[ref.index]
            return self.base.cast(ref.index) if change is Whole.CONSTANT else self.whole(ref.index)

        return {name: map_nest(argument, value) for name, argument in node.arguments.items()}

    def compute(self, node: Node, arguments: dict[str, Any]) -> Any:
        """The value of a node; a layer that runs as a module gets its tensors in the dtype of the windows."""
        module = arguments.get("function")
        if not isinstance(module, nn.Module) or not (state := self.base.state_of(module)):
            return node.run(arguments)

        def run(*args: Any, **kwargs: Any) -> Any:
            return torch.func.functional_call(module, state, args, kwargs)

        return node.run(arguments | {"function": run})
