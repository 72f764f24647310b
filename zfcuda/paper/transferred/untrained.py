"""A network as it would be without having learnt: the control that says what learning adds."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from zfcuda.faithfulness.randomization import shuffled_from_the_top


def untrained(model: nn.Module, images: Tensor, *, seed: int = 0) -> nn.Module:
    """A copy of a network in which the values of each weight have traded places at random (as in Adebayo et al. 2018).

    So every layer has weights of the size that it needs, and none of what they were learnt for. What batch norm takes
    for mean and variance is measured anew, or signals would vanish.

    Args:
        images: [N,C,H,W], as the network takes them, for those means and variances.
        seed: of the shuffling.

    Raises:
        TypeError, ValueError: the model has no parameters, or cannot be copied.
    """
    *_, (_, copy) = shuffled_from_the_top(model, seed)  # the same copy each time
    copy.eval()
    norms = [module for module in copy.modules() if isinstance(module, BatchNorm) and module.track_running_stats]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over the batches, of which there is one
        norm.train()
    if norms:
        with torch.no_grad():
            copy(images.clone())
    return copy.eval()
