"""The log-odds of a class, from a network's outputs and not from rounded probabilities."""

from __future__ import annotations

import torch
from torch import Tensor


def log_odds(logits: Tensor, index: int, how: str) -> Tensor:
    """log(p / (1 - p)) of one class for outputs [..,classes]: float32 [..].

    No digits are lost where p is near 0 or 1, and NaN stays NaN.

    Args:
        logits: float [..,classes], the network's outputs.
        index: the class.
        how: how the outputs become probabilities. "softmax": the logit less the logarithm of the sum of the others'
            exponentials. "sigmoid": the logit itself. "none": log p - log1p(-p), where p is kept between the smallest
            normal float32 and the largest below 1, so that the log-odds of 0 are -87.3 and those of 1 are 16.6.
    """
    if how == "sigmoid":
        return logits[..., index].float()
    exact = logits if logits.device.type == "mps" else logits.double()  # Apple's GPUs have no float64
    own = exact[..., index]
    if how == "softmax" and exact.shape[-1] > 1:
        chosen = torch.arange(exact.shape[-1], device=exact.device) == index
        return (own - exact.masked_fill(chosen, -torch.inf).logsumexp(-1)).float()
    if how == "softmax":  # of a single class: always 1
        own = torch.where(own.isnan(), own, 1.0)
    single = torch.finfo(torch.float32)
    own = own.clamp(single.tiny, 1 - single.eps / 2)
    return (own.log() - (-own).log1p()).float()
