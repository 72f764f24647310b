"""What is linear, up to a constant, is undone by its transpose: every method gives autograd's gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import zfcuda
from tests.backward.test_rules import EXACT, assert_exact, gradients
from tests.harness.random_networks import Code
from zfcuda.backward.rules import Rules
from zfcuda.backward.walk import walk_back
from zfcuda.network import Network, export, trace
from zfcuda.network.intact import restoring

# Of x [1,6,9,11], with self.c [6,1,1], self.m [6,9,11] and self.w [6,6].
TEXTS: dict[str, list[str]] = {
    "padding": [
        "F.pad(x, (1, 2, 0, 3))",
        "F.pad(x, (-1, 2, -2, 0))",
        "F.pad(input=x, pad=(1, 1), value=0.3)",
        "F.pad(x, (0, 0, 0, 0, 1, 2))",
        "F.pad(x, (2, 1, 3, 0), mode='reflect')",
        "F.pad(x, (2, 1, 3, 0), 'replicate')",
        "F.pad(x, (2, 1, 3, 0), 'circular')",
    ],
    "permutations": [
        "x.view(x.size(0), 2, 3, 9, 11).transpose(1, 2).reshape(x.size(0), -1, 9, 11)",
        "F.channel_shuffle(x, 2)",
        "x.permute(0, 2, 3, 1)",
        "torch.transpose(x, 2, 3)",
        "x.swapaxes(1, 2)",
        "x.movedim(1, -1)",
        "x.mT",
        "x.permute(1, 0, 2, 3).flatten(1).t()[None]",
        "x.flatten(2).transpose(1, 2).unflatten(1, (9, 11)).permute(0, 3, 1, 2)",
        "torch.roll(x, (1, 2), (2, 3))",
        "x.flip(3)",
        "torch.rot90(x, 1, (2, 3))",
        "F.pixel_shuffle(x[:, :4], 2)",
        "F.pixel_unshuffle(x[:, :, :8, :8], 2)",
    ],
    "pieces": [
        "x[:, 1:4, ::2, :-1]",
        "x[:, 2]",
        "x[:, [3, 0, 0]]",
        "x[:, :, torch.tensor([2, 5])]",
        "x.select(1, 2).unsqueeze(1)",
        "x.narrow(2, 1, 4)",
        "x[:, None, ...].squeeze(1)",
        "torch.cat(x.chunk(2, 1)[::-1], 1)",
        "x.split([1, 2, 3], 1)[-1]",
        "torch.stack([x.unbind(1)[4], x.unbind(1)[0]], 1)",
        "x.tensor_split(4, 2)[1]",
        "torch.index_select(x, 1, torch.tensor([5, 1, 5]))",
        "x.masked_fill(self.m > 0.5, 0.0)",
    ],
    "merges": [
        "torch.stack([x, x * 2], 2).flatten(1, 2)",
        "torch.cat([x, 2 * x], 0).sum(0, keepdim=True)",
        "torch.cat([x, torch.zeros_like(x)], 1)",
        "torch.cat([x, x.new_zeros(1, 2, 9, 11)], 1)",
        "x + x.mean((0, 2, 3))[:, None, None]",
        "torch.sub(x, x.flip(2), alpha=0.3)",
        "torch.add(x, x.flip(2), alpha=0.3)",
    ],
    "scaling and shift": [
        "x * 2",
        "0.5 * x",
        "x * self.c",
        "self.c * x",
        "x / self.c",
        "torch.div(x, 2.0)",
        "x - self.m",
        "1 - x",
        "torch.rsub(x, 1)",
        "-x",
        "(x - self.m) / self.c",
        "x * (self.c + 0.1).rsqrt().view(1, -1, 1, 1) + self.m",
        "x @ self.m[0].T",
        "torch.einsum('bchw,kc->bkhw', x, self.w)",
        "F.linear(x.permute(0, 2, 3, 1), self.w, self.c.flatten()).permute(0, 3, 1, 2)",
    ],
    "casts": [
        "x.float().double()",
        "x.to(torch.float32).to(self.c)",
        "x.float().type_as(x)",
        "torch.eye(11).to(x) + x.type(torch.float32).double().mean(2, keepdim=True)",
        "torch.cat([x.float(), x], 1)",
        "x.float() + x",
    ],
    "sums": [
        "x.sum((2, 3))",
        "torch.sum(x, dim=1, keepdim=True)",
        "x + x.mean()",
        "x + x.mean(0, keepdim=True)",
        "x.mean((2, 3), dtype=torch.float64)",
        "x.cumsum(2)",
        "x.mean(1, keepdim=True).expand_as(x)",
        "x.mean((2, 3), keepdim=True).expand(-1, -1, 4, 5)",
        "x.repeat(1, 2, 1, 1)",
        "x.unfold(2, 3, 2).sum(-1)",
        "F.unfold(x, 3)",
    ],
    "resizing": [
        "F.interpolate(x, scale_factor=2)",
        "F.interpolate(x, size=(13, 7), mode='bilinear', align_corners=True)",
        "F.interpolate(x, size=(13, 17), mode='bicubic')",
        "F.interpolate(x, size=(4, 5), mode='bilinear', antialias=True)",
        "F.interpolate(x, (4, 5), mode='area')",
        "F.interpolate(x, (14, 5), mode='nearest-exact')",
        "F.interpolate(F.avg_pool2d(x, 2), size=x.shape[2:]) + x",
        "F.avg_pool1d(x.flatten(2), 3)",
        "F.adaptive_avg_pool1d(x.flatten(2), 7)",
        "F.adaptive_avg_pool2d(x[0], 3)[None]",
        "F.avg_pool2d(x[0], 3)[None]",
        "F.conv_transpose2d(x, self.m[:, None, :3, :3], stride=2)",
    ],
}
IN_PLACE = {
    "operators": "x = x + 1; x *= 2; x -= self.m; x /= self.c; return x",
    "a piece": "x = x.clone(); x[:, :2] = x[:, 3:5] * 2; x[:, 5, 0] = 1.0; return x",
    "methods": "return x.clone().mul_(3).sub_(self.m).div_(2).neg_()",
}
MODULES: dict[str, Any] = {
    "zero padding": lambda: nn.ZeroPad2d((1, 0, 2, 1)),
    "constant padding": lambda: nn.ConstantPad2d(2, 1.5),
    "reflection": lambda: nn.ReflectionPad2d((1, 2, 0, 3)),
    "replication": lambda: nn.ReplicationPad2d(2),
    "circular": lambda: nn.CircularPad2d((3, 1, 0, 2)),
    **{
        f"convolution, {mode}": lambda mode=mode: nn.Conv2d(6, 4, (3, 5), 2, (1, 2), padding_mode=mode)
        for mode in ("reflect", "replicate", "circular")
    },
    "convolution, same": lambda: nn.Conv2d(6, 4, 4, padding="same", padding_mode="reflect", dilation=(1, 2)),
    "transposed convolution": lambda: nn.ConvTranspose2d(6, 3, 3, 2, 1),
    "one dimension": lambda: nn.Sequential(nn.Flatten(2), nn.Conv1d(6, 2, 3), nn.AvgPool1d(3)),
    "shuffle": lambda: nn.ChannelShuffle(3),
    "pixel shuffle": lambda: nn.Sequential(nn.Conv2d(6, 8, 1), nn.PixelShuffle(2)),
    "upsampling": lambda: nn.Upsample(scale_factor=2, mode="bilinear"),
}


def after_a_convolution(step: nn.Module, device: torch.device) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 6, 3), step, nn.Flatten()).to(device, torch.float64).eval()
    return model, torch.randn(1, 3, 11, 13, dtype=torch.float64, device=device)


def code(text: str) -> nn.Module:
    parts = {"c": torch.rand(6, 1, 1) + 0.5, "m": torch.rand(6, 9, 11), "w": torch.rand(6, 6)}
    return Code(text, **parts)


def check(model: nn.Module, image: Tensor, network: Network | None = None, tolerance: float = 1e-10) -> None:
    """Holds every method's way back against autograd's, in inference mode too."""
    with torch.no_grad():
        seeds = torch.randn(3, *model(image.clone()).shape[1:], dtype=image.dtype, device=image.device)
    expected = gradients(nn.Sequential(Code("return 1 * x"), model), image, seeds)
    followed = trace(model, image) if network is None else network
    found = [walk_back(followed, image, "", lambda _: seeds, rules) for rules in (EXACT, Rules(), Rules("guided"))]
    with torch.inference_mode():
        found.append(walk_back(followed, image, "", lambda _: seeds, EXACT))
    assert expected.abs().max() > 0
    for signal in found:
        assert signal.dtype == image.dtype
        assert (signal - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.mark.parametrize("text", [text for texts in TEXTS.values() for text in texts])
def test_every_step(text: str, device: torch.device) -> None:
    on_device = text.replace("torch.tensor([5, 1, 5])", "torch.tensor([5, 1, 5], device=x.device)")
    model, image = after_a_convolution(code(f"return {on_device}"), device)
    check(model, image, tolerance=1e-6 if text in TEXTS["casts"] else 1e-10)


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place(name: str, device: torch.device) -> None:
    check(*after_a_convolution(code(IN_PLACE[name]), device))


@pytest.mark.parametrize("name", MODULES)
def test_modules(name: str, device: torch.device) -> None:
    check(*after_a_convolution(MODULES[name](), device))


def test_several_results_of_one_step(device: torch.device) -> None:
    text = "a, b, d = x.split([1, 2, 3], 1); return torch.cat([d - a, b * 2 + a], 1) / self.c[1:]"
    check(*after_a_convolution(code(text), device))


# One step's result is the next one's input here; each is the form in which torch.export keeps it.
EXPORTED = {
    "padding": "F.pad(F.pad(F.pad(x, (1, -2, 0, 3)), (2, 1, 1, 0), mode='reflect'), (1, 1, 0, 0), 'replicate')",
    "permutations": "F.channel_shuffle(x, 2).permute(0, 3, 1, 2).mT.roll(1, 2).flip(3).unflatten(1, (1, 11))[:, 0]",
    "pieces": "torch.stack([y * i for i, y in enumerate(x.chunk(3, 1), 1)] + [x[:, [0, 5]]], 1)[:, :, 1:, 2]",
    "scaling": "torch.sub(1, (self.c * x / 2 - self.m) @ self.m[0].T, alpha=0.5).neg().float().to(x)",
    "sums": "x.sum(1, keepdim=True) + x.mean((2, 3))[..., None, None] + x.new_zeros(x.shape)",
    "resizing": "F.interpolate(F.interpolate(x, None, 2), size=(7, 8), mode='bilinear')[..., :4].repeat(1, 2, 1, 1)",
}


@pytest.mark.parametrize("name", EXPORTED)
def test_steps_as_torch_export_keeps_them(name: str) -> None:
    model, image = after_a_convolution(code(f"return {EXPORTED[name]}"), torch.device("cpu"))
    with torch.no_grad(), restoring(model):
        network = export.network(model, image)
    check(model, image, network, tolerance=1e-6 if "float" in EXPORTED[name] else 1e-10)


def test_writes_as_torch_export_keeps_them() -> None:
    model, image = after_a_convolution(code(IN_PLACE["a piece"]), torch.device("cpu"))
    with torch.no_grad(), restoring(model):
        network = export.network(model, image)
    check(model, image, network)


# ---------------------------------------------------------------- the picture's end of a model


class Normalised(nn.Module):
    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean[:, None, None]) / self.std[:, None, None]  # type: ignore[index]


def test_a_normalisation_is_the_same_batch_norm(device: torch.device) -> None:
    torch.manual_seed(0)
    mean, std = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.3, 0.25])
    norm = nn.BatchNorm2d(3, eps=1e-12, affine=False)
    norm.running_mean, norm.running_var = mean.clone(), std**2
    rest = [nn.Conv2d(3, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 4, 3)]
    models = [nn.Sequential(first, *rest).to(device).eval() for first in (norm, Normalised(mean, std))]
    image = torch.rand(3, 32, 32, device=device)
    expected, found = (zfcuda.project(model, image, "4", top=2) for model in models)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_model_made_in_inference_mode() -> None:
    with torch.inference_mode():
        model, image = after_a_convolution(nn.ConvTranspose2d(6, 3, 3, 2, 1), torch.device("cpu"))
    usual = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ConvTranspose2d(6, 3, 3, 2, 1), nn.Flatten()).double()
    usual.load_state_dict({key: value.clone() for key, value in model.state_dict().items()})
    with torch.no_grad():
        seeds = torch.randn(2, *usual(image).shape[1:], dtype=torch.float64)
    assert_exact(walk_back(model, image, "", lambda _: seeds, EXACT), gradients(usual, image.clone(), seeds))


def test_nothing_of_the_model_takes_part(device: torch.device) -> None:
    model, image = after_a_convolution(code("return F.pad(x * self.c, (1, 1))"), device)
    model.requires_grad_(True)
    zfcuda.project(model, image, "1")
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert not F.mse_loss(image, image).requires_grad
