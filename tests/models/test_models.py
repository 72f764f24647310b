"""ZFNet against the paper's figures, and the table of a network."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from zfcuda import models

# Fig. 3: maps and their size after each layer of the paper's network.
SHAPES = {
    "conv1": (96, 110, 110),
    "pool1": (96, 55, 55),
    "conv2": (256, 26, 26),
    "pool2": (256, 13, 13),
    "conv3": (384, 13, 13),
    "conv4": (384, 13, 13),
    "conv5": (256, 13, 13),
    "pool5": (256, 6, 6),
    "fc6": (4096,),
    "fc7": (4096,),
    "fc8": (1000,),
}


def test_zfnet_has_the_papers_shapes() -> None:
    table = models.summary(models.zfnet(), (3, 224, 224))
    shapes = {row.name: row.output_shape for row in table}
    assert {name: shapes[name] for name in SHAPES} == SHAPES
    assert [row.name for row in table][:5] == ["conv1", "relu1", "pool1", "norm1", "conv2"]
    by_name = {row.name: row for row in table}
    assert table.multiply_adds == 1_168_032_896
    assert by_name["conv1"].parameters == 96 * 3 * 49 + 96
    assert table.parameters == sum(p.numel() for p in models.zfnet().parameters())
    assert by_name["conv1"].receptive_field == (7, 2)
    assert by_name["pool1"].receptive_field == (11, 4)
    assert by_name["conv5"].receptive_field == (139, 16)
    assert by_name["pool1"].activation_bytes == 96 * 55 * 55 * 4
    assert "1,168.0 M" in str(table)


def test_zfnet_variants() -> None:
    maps = [m.out_channels for m in models.zfnet(variant="wide") if isinstance(m, nn.Conv2d)]
    assert maps == [96, 256, 512, 1024, 512]
    quarter = models.zfnet(7, width=0.25)
    assert [m.out_channels for m in quarter if isinstance(m, nn.Conv2d)] == [24, 64, 96, 96, 64]
    assert quarter.fc6.out_features == 1024 and quarter.fc8.out_features == 7


def test_zfnet_starts_as_the_paper_says() -> None:
    net = models.zfnet()
    for layer in net:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            assert abs(layer.weight.std().item() - 0.01) < 2e-4
            assert (layer.bias == 0).all()
    assert net.norm1.size == 5 and net.norm1.k == 2 and net.norm1.beta == 0.75 and net.norm1.alpha == 5e-4
    assert net.drop6.p == net.drop7.p == 0.5


@pytest.mark.parametrize("channels_last", [False, True])
def test_fused_stages_change_nothing(
    channels_last: bool, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)  # which would multiply the last bit's difference
    net = models.zfnet(10, width=0.125).eval().to(device)
    for p in net.parameters():
        if p.dim() > 1:
            nn.init.kaiming_normal_(p)
    x = torch.randn(2, 3, 224, 224, device=device)
    if channels_last:
        net, x = net.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    plain = nn.Sequential(*net)
    torch.testing.assert_close(net(x), plain(x), rtol=1e-4, atol=1e-4)
    net(x).square().sum().backward()
    fused = net.conv1.weight.grad.clone()
    net.zero_grad()
    plain(x).square().sum().backward()
    torch.testing.assert_close(fused, net.conv1.weight.grad, rtol=1e-3, atol=1e-4 * fused.abs().max().item())


def test_hooks_inside_a_stage_are_called() -> None:
    net, seen = models.zfnet(3, width=0.05).eval(), []
    net.pool1.register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    net(torch.zeros(1, 3, 224, 224))
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variant": "tall"}, "variant: .*'tall'"),
        ({"width": 0}, "width: .*0"),
        ({"width": float("nan")}, "width: .*nan"),
        ({"num_classes": 0}, "num_classes: .*0"),
    ],
)
def test_zfnet_refuses(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        models.zfnet(**arguments)


def test_summary_of_any_network() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2)
            self.b = nn.Conv2d(6, 6, (1, 3))
            self.up = nn.ConvTranspose2d(6, 2, 2, stride=2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.up(F.relu(self.b(self.b(self.a(x)))))

    net = Net().train()
    table = models.summary(net, (4, 16, 20))
    assert net.training and len(table) == 4
    assert [row.name for row in table] == ["a", "b", "b", "up"]
    assert table[0].output_shape == (6, 8, 10) and table[0].multiply_adds == 6 * 8 * 10 * 2 * 9
    assert table[1].multiply_adds == 6 * 8 * 8 * 6 * 3
    assert table[3].multiply_adds == 6 * 8 * 6 * 2 * 4
    assert table[0].receptive_field == (3, 2)
    assert not any(m._forward_hooks for m in net.modules())


@pytest.mark.parametrize("size", [(3, 224), (3, 0, 224), (3, 8, 8), (1, 224, 224)])
def test_summary_refuses(size: tuple) -> None:
    with pytest.raises(ValueError, match="input_size: "):
        models.summary(models.zfnet(2, width=0.05), size)
