"""Which reduced precisions a device computes in fast."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from zfcuda.fast_dtype import is_fast

HALVES = [torch.bfloat16, torch.float16]


@pytest.mark.parametrize("amx", [False, True])
@pytest.mark.parametrize("pairs", [False, True])
def test_an_x86_processor(amx: bool, pairs: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    answers = {"_is_avx512_bf16_supported": pairs, "_is_amx_tile_supported": amx, "_is_amx_fp16_supported": amx}
    for name, answer in answers.items():
        monkeypatch.setattr(torch.cpu, name, lambda answer=answer: answer, raising=False)
    assert is_fast(torch.bfloat16, "cpu") == (amx or pairs)
    assert is_fast(torch.float16, "cpu") == amx


def test_a_torch_that_does_not_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "AMD64")
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported", "_is_amx_fp16_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)
    assert not any(is_fast(dtype, "cpu") for dtype in HALVES)


def test_another_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert all(isinstance(is_fast(dtype, "cpu"), bool) for dtype in HALVES)


@pytest.mark.parametrize("supported", [False, True])
def test_a_gpu(supported: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(**_: Any) -> bool:
        return supported

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", answer)
    assert is_fast(torch.bfloat16, "cuda") == supported and is_fast(torch.float16, "cuda")
