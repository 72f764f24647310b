"""States: what comes back is what was written, bitwise, and nothing is executed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from zfcuda.files.states import digest_of, read_state, write_state

DTYPES = """float64 float32 float16 bfloat16 complex64 complex128 bool int64 int32 int16 int8 uint8 uint16 uint32 uint64
float8_e4m3fn float8_e5m2"""


def through(path: Path, state: Any) -> Any:
    assert write_state(path, state) == digest_of(path)
    return read_state(path)


def bits(value: torch.Tensor) -> torch.Tensor:
    return value.contiguous().as_strided((value.numel(),), (1,)).view(torch.uint8)


def same(one: Any, other: Any) -> bool:
    """Equal in every bit, in kind, dtype, shape and strides."""
    if isinstance(one, torch.Tensor):
        alike = (one.dtype, one.shape, one.stride()) == (other.dtype, other.shape, other.stride())
        return alike and torch.equal(bits(one), bits(other))
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return one.hex() == other.hex()
    return bool(one == other)


def test_plain_values_come_back_exactly(tmp_path: Path) -> None:
    state = {
        "numbers": [0, -1, 2**70, 0.1, -0.0, 5e-324, 1e308, math.inf, -math.inf, math.nan],
        "others": (True, False, None, "", 'ä\n"\ud800', b"", b"\x00\xff"),
        "empty": [{}, [], ()],
        "keys": {0: "int", "0": "str", None: "none", 1.5: "float", True: "bool"},
        "tensor": {"tensor": "a word that the file uses itself", "dict": [1], "bytes": "x", "tuple": []},
    }
    assert same(through(tmp_path / "a", state), state)


@pytest.mark.parametrize("name", DTYPES.split())
def test_every_dtype(tmp_path: Path, name: str) -> None:
    value = (torch.rand(2, 3, 5) * 8).to(getattr(torch, name))
    state = {"some": value, "one": value[0, 0, 0], "none": value[:0], "turned": value.permute(2, 0, 1)}
    assert same(through(tmp_path / "a", state), state)


def test_strides_stay_and_gaps_go(tmp_path: Path) -> None:
    image = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    filters = torch.randn(6, 3, 1, 1).to(memory_format=torch.channels_last)  # whose strides no format gives
    wide = torch.randn(4, 6)
    state = {"dense": [image, filters, wide.t()], "gaps": wide[:, ::2], "shared": torch.ones(1).expand(3)}
    back = through(tmp_path / "a", state)
    assert same(back["dense"], state["dense"])
    assert same([back["gaps"], back["shared"]], [wide[:, ::2].contiguous(), torch.ones(3)])


def test_shared_memory_is_written_twice(tmp_path: Path) -> None:
    whole = torch.arange(6.0)
    back = through(tmp_path / "a", {"whole": whole, "part": whole[2:4], "again": whole})
    back["part"].zero_()
    assert same(back, {"whole": whole, "part": torch.zeros(2), "again": whole})


def test_parameters_and_negated_views(tmp_path: Path) -> None:
    parameter = torch.nn.Parameter(torch.randn(2))
    turned = torch.tensor([1 + 2j, 3j]).conj()
    back = through(tmp_path / "a", [parameter, turned, turned.imag])
    assert not back[0].requires_grad
    assert same(back, [parameter.detach(), torch.tensor([1 - 2j, 0 - 3j]), torch.tensor([-2.0, -3.0])])


def test_others_can_read_the_tensors(tmp_path: Path) -> None:
    write_state(tmp_path / "a", {"model": {"fc.weight": torch.arange(3.0)}})
    [(name, value)] = load_file(tmp_path / "a").items()
    assert name.endswith("model.fc.weight") and same(value, torch.arange(3.0))


@pytest.mark.parametrize(
    "bad",
    [{1, 2}, object(), 1j, torch.ones(2).to_sparse(), torch.ones(2, device="meta")],
    ids=["set", "object", "complex", "sparse", "meta"],
)
def test_what_cannot_be_held_is_refused_by_its_place(tmp_path: Path, bad: Any) -> None:
    with pytest.raises(TypeError, match=r"^state\.a\.1: expected"):
        write_state(tmp_path / "a", {"a": [0, bad]})
    assert not (tmp_path / "a").exists()


def test_a_key_that_cannot_be_held_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"^state\.a: expected strings or numbers as keys, got tuple"):
        write_state(tmp_path / "a", {"a": {(1, 2): 3}})


def test_another_safetensors_file_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.ones(1)}, tmp_path / "a")
    with pytest.raises(ValueError, match="none of a state"):
        read_state(tmp_path / "a")
