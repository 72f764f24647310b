"""Every multiply-add and every parameter once, whatever module holds it: the totals against torch's own counter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import parametrizations
from torch.utils.flop_counter import FlopCounterMode

from tests.models.test_networks import on_meta
from zfcuda.models import NAMES, Row, summary
from zfcuda.models.architectures.local import LocallyConnected2d

SIZE = (3, 12, 10)


class Code(nn.Module):
    """A 3x3 convolution "conv", and then a function of this module and its map."""

    def __init__(self, function: Callable[[Any, Tensor], Any], **modules: nn.Module) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.function = function
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x: Tensor) -> Any:
        return self.function(self, self.conv(x))


class OwnConvolution(nn.Module):
    """It computes itself, with filters of its own, those of a child that never runs, and a norm that does."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(5, 8, 3, 3))
        self.child, self.norm = nn.Linear(5, 4), nn.BatchNorm2d(5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(F.conv2d(x, self.weight))
        return F.linear(x.mean((2, 3)), self.child.weight, self.child.bias)


class LowRank(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Parameter(torch.randn(2, 8)), nn.Parameter(torch.randn(6, 2))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.up @ self.down


def low_rank() -> nn.Module:
    linear = nn.Linear(8, 6)
    nn.utils.parametrize.register_parametrization(linear, "weight", LowRank())
    return linear


def tokens(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2)


def catching(self: Any, x: Tensor) -> Tensor:
    try:
        return self.wrong(x)
    except RuntimeError:
        return self.last(x)


def after(*modules: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3), *modules)


_shared = nn.Conv2d(8, 8, 3, padding=1)
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "grouped": lambda: after(nn.Conv2d(8, 16, 3, 2, 1, 2, groups=4, padding_mode="reflect")),
    "transposed": lambda: after(nn.ConvTranspose2d(8, 6, 3, 2, groups=2)),
    "1d": lambda: after(nn.Flatten(2), nn.Conv1d(8, 4, 3), nn.ConvTranspose1d(4, 2, 3, 2)),
    "3d": lambda: after(nn.Unflatten(1, (2, 4)), nn.Conv3d(2, 4, (2, 3, 3)), nn.ConvTranspose3d(4, 2, 2)),
    "locally connected": lambda: after(LocallyConnected2d(8, 4, (10, 8), 3)),
    "weight norm": lambda: after(parametrizations.weight_norm(nn.Conv2d(8, 8, 3))),
    "old weight norm": lambda: after(nn.utils.weight_norm(nn.Conv2d(8, 8, 3))),
    "spectral norm": lambda: after(parametrizations.spectral_norm(nn.Conv2d(8, 8, 3))),
    "old spectral norm": lambda: after(nn.utils.spectral_norm(nn.Conv2d(8, 8, 3))),
    "orthogonal": lambda: Code(lambda s, x: s.fc(x.mean((2, 3))), fc=parametrizations.orthogonal(nn.Linear(8, 8))),
    "low rank": lambda: Code(lambda s, x: s.fc(x.mean((2, 3))), fc=low_rank()),
    "own convolution": lambda: after(OwnConvolution()),
    "functions alone": lambda: Code(lambda s, x: torch.einsum("nchw,ndhw->ncd", x, x) @ x.flatten(2)),
    "channels last": lambda: Code(lambda s, x: s.fc(x.permute(0, 2, 3, 1)), fc=nn.Linear(8, 3)),
    "attention": lambda: Code(
        lambda s, x: s.attention(*[tokens(x)] * 3), attention=nn.MultiheadAttention(8, 2, batch_first=True)
    ),
    "attention without weights": lambda: Code(
        lambda s, x: s.attention(*[tokens(x)] * 3, need_weights=False)[0],
        attention=nn.MultiheadAttention(8, 2, batch_first=True, kdim=8, vdim=8),
    ),
    "transformer": lambda: Code(
        lambda s, x: s.encoder(tokens(x)),
        encoder=nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2),
    ),
    "dot product attention": lambda: Code(lambda s, x: F.scaled_dot_product_attention(*[tokens(x)[:, None]] * 3)),
    "lstm": lambda: Code(lambda s, x: s.rnn(tokens(x)), rnn=nn.LSTM(8, 5, 2, batch_first=True, bidirectional=True)),
    "projected lstm": lambda: Code(lambda s, x: s.rnn(tokens(x))[0], rnn=nn.LSTM(8, 6, proj_size=3)),
    "gru": lambda: Code(lambda s, x: s.rnn(tokens(x))[0], rnn=nn.GRU(8, 5, bias=False)),
    "cell": lambda: Code(lambda s, x: s.cell(x.mean((2, 3))), cell=nn.LSTMCell(8, 5)),
    "twice": lambda: Code(lambda s, x: s.conv2(s.conv2(x)) + s.conv3(x), conv2=_shared, conv3=_shared),
    "indices": lambda: Code(lambda s, x: s.last(s.pool(x)[0]), pool=nn.MaxPool2d(2, return_indices=True), last=_shared),
    "an error on the way": lambda: Code(
        catching, wrong=nn.Sequential(_shared, nn.Linear(3, 3)), last=nn.Conv2d(8, 2, 1)
    ),
    "lazy": lambda: after(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(3)),
    "shapes decide": lambda: Code(lambda s, x: s.last(x) if x.shape[2] > 3 else x, last=nn.Conv2d(8, 2, 1)),
    "scripted": lambda: after(torch.jit.script(nn.Conv2d(8, 4, 3))),
    "scripted as a whole": lambda: torch.jit.script(after(nn.ReLU(), nn.Conv2d(8, 4, 3))),
    "itself a layer": lambda: nn.Conv2d(3, 8, 3),
}


def by_torch(model: nn.Module, size: tuple[int, int, int]) -> int:
    """Multiply-adds by torch's counter, which does not look into fused layers: they run step by step."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        slow = torch.backends.mkldnn.flags(enabled=False), sdpa_kernel(SDPBackend.MATH)
        with torch.no_grad(), slow[0], slow[1], FlopCounterMode(display=False) as counter:
            like = next(model.eval().parameters())
            model(torch.zeros(1, *size, device=like.device))
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return int(counter.get_total_flops()) // 2


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("name", NETWORKS)
def test_totals_are_those_of_torch(name: str) -> None:
    model = NETWORKS[name]()
    table = summary(model, SIZE)
    assert table.multiply_adds == by_torch(model, SIZE) > 0
    assert table.parameters == sum(p.numel() for p in model.parameters())
    assert table.other_parameters == (12 if name == "an error on the way" else 0)
    assert model.training is False and not any(m._forward_hooks or m._forward_pre_hooks for m in plain_modules(model))


def plain_modules(model: nn.Module) -> list[nn.Module]:
    hooked = {"weight", "weight_v"}  # what torch's older normalisations hook themselves onto
    return [m for m in model.modules() if not hooked & vars(m).keys()]


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name != "googlenet"]
)  # it has numbers of its own on the CPU
def test_totals_of_the_networks_by_name(name: str) -> None:
    model, size = on_meta(name), (1, 32, 32) if name == "lenet5" else (3, 224, 224)
    assert summary(model, size).multiply_adds == by_torch(model, size)


def rows_of(model: nn.Module) -> dict[str, Row]:
    return {row.name: row for row in summary(model, SIZE)}


def test_rows_of_layers_that_hold_others() -> None:
    rows = rows_of(NETWORKS["attention"]())
    attention = rows["attention"]
    assert list(rows) == ["conv", "attention"] and attention.kind == "MultiheadAttention"
    assert attention.output_shape == (80, 8) and attention.parameters == 4 * 8 * 9
    assert attention.multiply_adds == 80 * (4 * 8 * 8 + 2 * 80 * 8)
    assert attention.activation_bytes == attention.own_bytes == 4 * (80 * 8 + 80 * 80)  # and its weights
    rows = rows_of(NETWORKS["own convolution"]())
    assert [(row.name, row.parameters) for row in rows.values()] == [("0", 224), ("1.norm", 10), ("1", 360 + 24)]
    assert rows["1"].multiply_adds == 5 * 8 * 6 * 8 * 9 + 5 * 4
    assert [row.name for row in summary(NETWORKS["functions alone"](), SIZE)] == ["conv", ""]


@pytest.mark.parametrize("name", ["weight norm", "spectral norm"])
def test_a_parametrized_layer_is_the_layer(name: str) -> None:
    plain, model = summary(after(nn.Conv2d(8, 8, 3)), SIZE), summary(NETWORKS[name](), SIZE)
    for row, other in zip(plain, model, strict=True):
        assert (row.name, row.kind, row.output_shape, row.multiply_adds) == (
            other.name,
            other.kind,
            other.output_shape,
            other.multiply_adds,
        )
        assert row.receptive_field == other.receptive_field
    assert model[1].parameters == plain[1].parameters + (8 if name == "weight norm" else 0)


def test_a_layer_that_returns_several_tensors() -> None:
    rows = rows_of(NETWORKS["lstm"]())
    lstm = rows["rnn"]
    assert lstm.output_shape == (80, 10) and lstm.receptive_field is None
    assert lstm.activation_bytes == 4 * (80 * 10 + 2 * 4 * 5)
    assert rows_of(NETWORKS["indices"]())["pool"].activation_bytes == (4 + 8) * 8 * 5 * 4
    # Where the batch is not the first dimension, the shape is given whole.
    assert rows_of(Code(lambda s, x: s.rnn(x.flatten(2).permute(2, 0, 1)), rnn=nn.GRU(8, 5)))["rnn"].output_shape == (
        80,
        1,
        5,
    )


def test_a_container_s_output_is_not_counted_twice() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Conv2d(8, 8, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(F.conv2d(x, self.inner.weight))

    row = rows_of(after(Scaled()))["1"]
    assert row.own_bytes == 0 and row.activation_bytes == 4 * 8 * 10 * 8


def test_products_with_a_vector_count() -> None:
    model = Code(lambda s, x: tokens(x) @ s.conv.bias)
    assert rows_of(model)[""].multiply_adds == 80 * 8


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_is_not_known_is_said_to_be_unknown() -> None:
    model = Code(lambda s, x: s.last(x.mean((2, 3)), x.mean((2, 3))), last=nn.Bilinear(8, 8, 2))
    table = summary(model, SIZE)
    assert table[-1].multiply_adds is None and table.multiply_adds is None and table[0].multiply_adds == 80 * 8 * 27
    lines = str(table).splitlines()
    assert lines[4].split()[-7] == "?" and lines[-4].split()[-1] == "?"
    mixed = summary(after(nn.Flatten(2), nn.GRU(80, 5)), SIZE)
    assert mixed[-1].receptive_field is None and str(mixed).splitlines()[5].split()[-2:] == ["?", "?"]


def test_a_custom_operator_is_not_known() -> None:
    @torch.library.custom_op("zfcuda_tests::double", mutates_args=())
    def double(x: Tensor) -> Tensor:
        return x * 2

    assert rows_of(Code(lambda s, x: double(x)))[""].multiply_adds is None


def test_a_model_without_memory_has_a_table() -> None:
    """On the device "meta" nothing has an address, and yet nothing lies in the memory of another."""
    real, without = (summary(after(nn.ReLU(), nn.Conv2d(8, 4, 3)).to(device), SIZE) for device in ("cpu", "meta"))
    assert list(real) == list(without)
