"""A locally connected layer: a convolution whose filters are different ones at every position."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zfcuda.network.kinds import pair

Size = int | tuple[int, int]


class LocallyConnected2d(nn.Module):
    """Windows as in nn.Conv2d, weights of its own at each position: for images whose parts are always in one place
    (centred faces, say). It takes maps of one size alone, and has Ho * Wo times a convolution's parameters.

    Args:
        in_channels, out_channels: C and O.
        input_size: (H, W) of the maps that it will see.
        kernel_size, stride, padding: int or (rows, columns), as in nn.Conv2d.
        bias: whether every output has a bias of its own.

    Attributes:
        weight: [Ho,Wo,O,C,kh,kw]; bias: [O,Ho,Wo] or None. Drawn from a normal distribution of variance
            2 / (C * kh * kw) (He et al. 2015, eq. 10), biases 0.
        output_size: (Ho, Wo), each floor((L + 2 * padding - kernel) / stride) + 1.

    Raises:
        ValueError: naming the argument: not positive (padding: negative), or a window larger than the padded map.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        input_size: Size,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.input_size, self.kernel_size = pair(input_size), pair(kernel_size)
        self.stride, self.padding = pair(stride), pair(padding)
        for name, least in (
            ("in_channels", 1),
            ("out_channels", 1),
            ("input_size", 1),
            ("kernel_size", 1),
            ("stride", 1),
            ("padding", 0),
        ):
            if min(pair(getattr(self, name))) < least:
                raise ValueError(f"{name}: expected at least {least}, got {getattr(self, name)}")
        rooms = [n + 2 * p - k for n, p, k in zip(self.input_size, self.padding, self.kernel_size, strict=True)]
        if min(rooms) < 0:
            raise ValueError(
                f"kernel_size: expected at most a map of {self.input_size} padded by {self.padding}, "
                f"got {self.kernel_size}"
            )
        self.output_size = (rooms[0] // self.stride[0] + 1, rooms[1] // self.stride[1] + 1)
        self.weight = nn.Parameter(torch.empty(*self.output_size, out_channels, in_channels, *self.kernel_size))
        self.bias = nn.Parameter(torch.empty(out_channels, *self.output_size)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the weights anew."""
        nn.init.normal_(self.weight, std=(2 / self.weight[0, 0, 0].numel()) ** 0.5)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """[N,C,H,W] -> [N,O,Ho,Wo].

        Raises:
            ValueError: the maps are not those that the layer was made for.
        """
        traced = isinstance(input, torch.fx.Proxy)  # a stand-in, which has no shape to look at
        if not traced and tuple(input.shape[1:]) != (self.in_channels, *self.input_size):
            made_for = (self.in_channels, *self.input_size)
            raise ValueError(f"input: expected maps {made_for} without the batch, got {tuple(input.shape[1:])}")
        windows = F.unfold(input, self.kernel_size, padding=self.padding, stride=self.stride)  # [N,C*kh*kw,Ho*Wo]
        output = torch.einsum("nkp,pok->nop", windows, self.weight.flatten(0, 1).flatten(2))
        output = output.unflatten(2, self.output_size)
        return output if self.bias is None else output + self.bias

    def extra_repr(self) -> str:
        shape = f"{self.in_channels}, {self.out_channels}, input_size={self.input_size}"
        return f"{shape}, kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"
