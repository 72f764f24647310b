"""Weights on disk: safetensors in float16, with a JSON beside them that says where they come from."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as serialized
from torch import nn


def save(path: Path, network: nn.Module, facts: dict[str, Any]) -> None:
    """Writes ``path`` (.safetensors) and ``path`` with .json, each complete or not at all."""
    state = {name: value.detach().to(torch.float16).contiguous() for name, value in network.state_dict().items()}
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(serialized(state, metadata={"format": "pt"}))
    os.replace(temporary, path)
    temporary = path.with_name(path.stem + ".json.part")
    temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, path.with_suffix(".json"))
