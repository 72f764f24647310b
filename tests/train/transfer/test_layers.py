"""Which layers are compared, and what their codes are."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from zfcuda.models import zfnet
from zfcuda.train.transfer.grid import Layer, as_layer, as_pool
from zfcuda.train.transfer.layers import default_layers


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)).relu()  # type: ignore[no-any-return]


class Blocks(nn.Module):
    """Many blocks in a list, some of one size."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.blocks = nn.ModuleList([Block(4, 4, 2 if i in (3, 8) else 1) for i in range(12)])
        self.pooling = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout()
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.fc(self.dropout(self.pooling(x).flatten(1)))  # type: ignore[no-any-return]


def test_of_zfnet_the_seven_layers_of_the_paper() -> None:
    found = default_layers(zfnet(4, width=0.05), torch.zeros(1, 3, 224, 224))
    assert found == ["norm1", "norm2", "relu3", "relu4", "pool5", "relu6", "relu7"]


def test_of_many_blocks_the_last_of_each_size() -> None:
    model = Blocks().train()
    model.blocks[2].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert default_layers(model, torch.zeros(1, 3, 16, 16)) == ["blocks.2", "blocks.7", "blocks.10", "pooling"]
    assert model.training and not model.blocks[2].training and not model.stem._forward_hooks
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_network_inside_another_is_looked_into() -> None:
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5), nn.ReLU())
            self.head = Blocks()

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x)  # type: ignore[no-any-return]

    model = Outer()
    assert default_layers(model, torch.zeros(1, 3, 8, 8)) == ["net.1"]


def test_a_network_without_codes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^layers: expected names, since Sequential has no layer with weights behind"):
        default_layers(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize(
    ("shape", "pool", "grid", "numbers"),
    [
        ((256, 6, 6), "auto", None, 9216),
        ((384, 13, 13), "auto", (5, 5), 9600),
        ((96, 55, 55), "auto", (10, 10), 9600),
        ((20_000, 2, 2), "auto", (1, 1), 20_000),
        ((96, 55, 55), "none", None, 96 * 55 * 55),
        ((8, 5, 7), (2, 3), (2, 3), 48),
        ((8, 5, 7), (9, 9), None, 280),
        ((8, 1, 1), (1, 1), None, 8),
        ((4096,), (2, 2), None, 4096),
    ],
)
def test_grids(shape: tuple[int, ...], pool: object, grid: object, numbers: int) -> None:
    layer = as_layer("a", shape, pool)  # type: ignore[arg-type]
    assert layer.grid == grid and layer.numbers == numbers
    assert layer.code(torch.zeros(2, *shape)).shape == (2, numbers)


def test_a_code_is_the_mean_over_each_cell() -> None:
    maps = torch.randn(3, 2, 4, 6)
    code = Layer("a", (2, 4, 6), (2, 3)).code(maps).reshape(3, 2, 2, 3)
    torch.testing.assert_close(code[:, :, 1, 2], maps[:, :, 2:, 4:].mean((2, 3)))
    whole = Layer("a", (2, 4, 6), None).code(maps)
    assert torch.equal(whole, maps.flatten(1)) and whole.data_ptr() != maps.data_ptr()
    assert Layer("a", (2, 4, 6), (2, 3)).code(maps.half()).dtype == torch.float32


def test_the_option() -> None:
    assert [as_pool(text) for text in ("auto", "none", "2", "2x3")] == ["auto", "none", (2, 2), (2, 3)]
    for text in ("", "0", "2x", "2x3x4", "big", "-1"):
        with pytest.raises(ValueError, match=r"^pool: expected auto, none"):
            as_pool(text)
