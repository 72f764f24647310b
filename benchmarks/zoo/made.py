"""What the networks share: a chain of named layers, and weights drawn at random."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


class Chain(nn.Sequential):
    """Named layers one after another; `after` tells what the forward itself does to the output of one."""

    def __init__(self, layers: Mapping[str, nn.Module], after: Mapping[str, Callable[[Tensor], Tensor]]) -> None:
        super().__init__(OrderedDict(layers))
        self.after = dict(after)

    def forward(self, input: Tensor) -> Tensor:
        for name, layer in self.named_children():
            input = layer(input)
            if name in self.after:
                input = self.after[name](input)
        return input


def flat(x: Tensor) -> Tensor:
    return torch.flatten(x, 1)


def averaged(x: Tensor) -> Tensor:
    return torch.flatten(F.adaptive_avg_pool2d(x, (1, 1)), 1)


def picture(size: int = 224, seed: int = 0) -> Tensor:
    """An image [1,3,size,size]: smooth blobs and some noise, of mean 0 and standard deviation about 1."""
    random = torch.Generator().manual_seed(seed)
    blobs = F.interpolate(torch.randn(1, 3, 14, 14, generator=random), size=(size, size), mode="bilinear")
    return 1.2 * blobs + 0.5 * torch.randn(1, 3, size, size, generator=random)


def randomise(network: nn.Module, seed: int = 0, images: Tensor | None = None) -> None:
    """Gives a network its weights; layers on the device "meta" come into being on the CPU.

    Where other parameters are all the same number, as those of norms and the scales of layers are at first, each is
    given another of that size: nothing is multiplied by one, and no branch left out.

    Args:
        images: [N,3,H,W] that the statistics of the batch norms are taken of; None: one of 224 x 224.
    """
    if any(p.is_meta for p in network.parameters()):
        network.to_empty(device="cpu")
        for module in network.modules():
            if any(True for _ in module.buffers(recurse=False)):
                module.reset_parameters()  # type: ignore[operator]  # constants and statistics, undefined until now
    random = torch.Generator().manual_seed(seed)
    given: set[Tensor] = set()
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            limit = (6 / module.weight[0].numel()) ** 0.5
            nn.init.uniform_(module.weight, -limit, limit, generator=random)
            if module.bias is not None:
                nn.init.uniform_(module.bias, -0.1, 0.1, generator=random)
        elif isinstance(module, _NORMS) and module.affine:
            nn.init.uniform_(module.weight, 0.7, 1.3, generator=random)
            nn.init.uniform_(module.bias, -0.3, 0.3, generator=random)
            assert module.num_batches_tracked is not None
            module.num_batches_tracked.fill_(1)
        else:
            continue
        given.update(x for x in (module.weight, module.bias) if x is not None)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter not in given and parameter.numel() and (parameter == parameter.flatten()[0]).all():
                middle = float(parameter.flatten()[0])
                low, high = (-0.1, 0.1) if abs(middle) < 1e-2 else (0.7 * middle, 1.3 * middle)
                parameter.uniform_(low, high, generator=random)

    def measure(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Gives a norm statistics about as far from one image's as those of a data set are."""
        assert isinstance(norm, _NORMS) and norm.running_var is not None and norm.running_mean is not None
        x = inputs[0]
        if x.numel() == x.shape[1]:  # one number a channel, whose variance is not known
            mean = x.flatten()
            variance = mean.square().mean().expand_as(mean)
        else:
            variance, mean = torch.var_mean(x, [d for d in range(x.dim()) if d != 1])
            variance = variance + 0.1 * variance.mean()
        norm.running_var.copy_(variance * torch.rand(len(variance), generator=random).add_(0.6))
        norm.running_mean.copy_(mean + 0.2 * variance.sqrt() * torch.randn(len(mean), generator=random))

    hooks = [m.register_forward_pre_hook(measure) for m in network.modules() if isinstance(m, _NORMS)]
    network.eval()
    if hooks:
        with torch.inference_mode():
            network(picture(seed=seed + 1) if images is None else images)
    for hook in hooks:
        hook.remove()


def made(build: Callable[[], nn.Module]) -> nn.Module:
    """A network in eval mode, its weights drawn at random."""
    with torch.device("meta"):  # no weights that are thrown away
        network = build()
    randomise(network)
    return network
