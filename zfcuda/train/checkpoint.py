"""Weights on disk: safetensors in float16, with a JSON beside them that says where they come from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as serialized
from torch import nn

from zfcuda.files.drafts import whole


def save(path: Path, network: nn.Module, facts: dict[str, Any]) -> None:
    """Writes ``path`` (.safetensors) and ``path`` with .json, both complete or neither."""
    state = {name: value.detach().to(torch.float16).contiguous() for name, value in network.state_dict().items()}
    with whole(path, path.with_suffix(".json")) as [weights, beside]:
        weights.write_bytes(serialized(state, metadata={"format": "pt"}))
        beside.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
