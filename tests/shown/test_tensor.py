"""A tensor that shows itself is one like any other: in files, copies, processes, compilers and transforms."""

from __future__ import annotations

import copy
import gc
import io
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn
from torch.utils.data import DataLoader

import zfcuda
from zfcuda.shown import Display, ShownTensor, plain, shown


def how(values: Tensor) -> Display:
    return Display("a tensor", [("shape", str(list(values.shape)))])


def a_tensor(*shape: int) -> Tensor:
    return shown(torch.randn(*(shape or (4, 3, 8, 8))), how)


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)).eval()


def test_it_is_a_tensor_in_the_same_memory_with_the_same_text() -> None:
    values = torch.randn(2, 3)
    made = shown(values, how)
    assert isinstance(made, Tensor) and isinstance(made, ShownTensor)
    assert made.data_ptr() == values.data_ptr() and plain(made).data_ptr() == values.data_ptr()
    assert (repr(made), str(made), f"{made}") == (repr(values), str(values), f"{values}")
    assert f"{shown(torch.tensor(0.5), how):.3f}" == "0.500"
    assert "[2, 3]" in made._repr_html_() and plain(values) is values


OPERATIONS: dict[str, Callable[[Tensor], Any]] = {
    "+": lambda x: x + 1,
    "row": lambda x: x[0],
    "slice": lambda x: x[:2],
    "mask": lambda x: x[x > 0],
    "iteration": lambda x: next(iter(x)),
    "clone": lambda x: x.clone(),
    "double": lambda x: x.double(),
    "view": lambda x: x.view(-1),
    "stack": lambda x: torch.stack([x, x]),
    "like": lambda x: torch.zeros_like(x),
    "data": lambda x: x.data,
    "layer": lambda x: nn.Conv2d(3, 2, 3)(x),
    "script": lambda x: torch.jit.script(nn.Conv2d(3, 2, 3))(x),
    "operator": lambda x: zfcuda.ops.max_pool2d_with_switches(x, 2)[0],
    "vmap": lambda x: torch.func.vmap(lambda y: y.sum())(x),
    "grad": lambda x: torch.func.grad(lambda y: y.square().sum())(x),
    "jvp": lambda x: torch.func.jvp(lambda y: y.square(), (x,), (x,))[1],
    "export": lambda x: torch.export.export(nn.Conv2d(3, 2, 3), (x,)).module()(x),
    "compile": lambda x: torch.compile(lambda y: (y * 2).sum(), fullgraph=True, backend="eager")(x),
    "loader": lambda x: next(iter(DataLoader(x, batch_size=2))),  # type: ignore[arg-type]
    "collated": lambda x: next(iter(DataLoader([shown(y, how) for y in x], batch_size=2))),  # type: ignore[arg-type]
    "dlpack": lambda x: torch.from_dlpack(x),
    "pickle": lambda x: pickle.loads(pickle.dumps(x)),
    "copy": copy.copy,
    "deepcopy": lambda x: copy.deepcopy([x])[0],
    "safetensors": lambda x: load_tensors(save_tensors({"x": x}))["x"],
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_comes_of_it_is_a_plain_tensor_of_the_same_numbers(name: str) -> None:
    values = a_tensor()
    torch.manual_seed(0)
    found = OPERATIONS[name](values)
    torch.manual_seed(0)
    expected = OPERATIONS[name](plain(values).clone())
    assert type(found) is Tensor
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_a_file_of_torch_has_a_plain_tensor_that_needs_no_trust() -> None:
    file = io.BytesIO()
    values = a_tensor()
    torch.save({"map": values, "same": values}, file)
    file.seek(0)
    back = torch.load(file, weights_only=True)
    assert type(back["map"]) is Tensor and torch.equal(back["map"], values)
    assert back["map"].data_ptr() == back["same"].data_ptr()


def test_comparisons_and_numpy() -> None:
    values = a_tensor()
    torch.testing.assert_close(values, plain(values).clone())
    assert torch.equal(values, values + 0) and torch.allclose(values, values)
    assert np.shares_memory(values.numpy(), plain(values).numpy()) and np.asarray(values).shape == (4, 3, 8, 8)
    assert torch.utils._pytree.tree_map(lambda x: x + 1, {"a": values})["a"].shape == values.shape


def test_another_process_gets_and_gives_it() -> None:
    batches = list(DataLoader([a_tensor(3) for _ in range(4)], batch_size=2, num_workers=1))  # type: ignore[arg-type]
    assert [type(batch) for batch in batches] == [Tensor, Tensor]
    [alone] = DataLoader([a_tensor(3)], batch_size=None, num_workers=1)  # type: ignore[arg-type]
    assert type(alone) is Tensor


def test_it_keeps_its_history_and_can_be_learned() -> None:
    weight = torch.ones(3, requires_grad=True)
    shown(weight * 2, how).sum().backward()
    assert weight.grad is not None and weight.grad.tolist() == [2, 2, 2]
    assert "ShownTensor" not in str(type(weight.grad))
    leaf = a_tensor(3).requires_grad_()
    torch.optim.Adam([leaf]).zero_grad()
    (leaf * 3).sum().backward()
    torch.optim.Adam([leaf], lr=1).step()
    assert leaf.grad is not None and leaf.is_leaf
    assert "<pre>" not in leaf._repr_html_()  # type: ignore[attr-defined]


def test_it_becomes_a_parameter() -> None:
    module = nn.Module()
    module.image = nn.Parameter(a_tensor(2, 3))
    module.other = nn.Buffer(a_tensor(2))
    assert isinstance(module.image, nn.Parameter) and [name for name, _ in module.named_parameters()] == ["image"]
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module)), module.double()):
        assert isinstance(twin.image, nn.Parameter) and twin.image.requires_grad
        assert torch.equal(twin.image.float(), module.image.float())
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    assert {type(value) for value in torch.load(file).values()} == {Tensor}


def test_stand_ins_stay_as_they_are() -> None:
    from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

    with FakeTensorMode():
        assert type(shown(torch.ones(3), how)) is FakeTensor
    assert not isinstance(torch.func.vmap(lambda x: shown(x * 2, how))(torch.ones(3, 2)), ShownTensor)


def test_inference_mode() -> None:
    with torch.inference_mode():
        made = shown(torch.ones(3) * 2, how)
        assert "[3]" in made._repr_html_()  # type: ignore[attr-defined]
    assert made.is_inference() and type(made + 1) is Tensor
    assert "[3]" in made._repr_html_()  # type: ignore[attr-defined]


METHODS: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "gradient": lambda model, x: zfcuda.gradient(model, x),
    "gradient of a layer": lambda model, x: zfcuda.gradient(model, x, layer="0"),
    "saliency": lambda model, x: zfcuda.saliency(model, x),
    "guided": lambda model, x: zfcuda.guided_backprop(model, x),
    "guided from a layer": lambda model, x: zfcuda.guided_backprop(model, x, layer="0"),
    "grad_cam": lambda model, x: zfcuda.grad_cam(model, x),
    "integrated": lambda model, x: zfcuda.integrated_gradients(model, x, steps=30),
    "smooth": lambda model, x: zfcuda.smooth_grad(model, x, samples=2),
    "project": lambda model, x: zfcuda.project(model, x[:1], "0", top=3),
    "projector": lambda model, x: zfcuda.Projector(model, x[:1], "0")(x[:1]),
    "maximize": lambda model, x: zfcuda.maximize(model, "0:1", size=16, steps=2),
    "deep_dream": lambda model, x: zfcuda.deep_dream(model, x[:1], "0", octaves=1, steps=1),
    "activations": lambda model, x: zfcuda.activations(model, x, "0")["0"],
    "filters": lambda model, x: zfcuda.filters(model),
    "transfer_style": lambda model, x: zfcuda.transfer_style(
        model, x[:1], x[1:2], steps=1, content_layer="0", style_layers=["0"]
    ),
}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_gives_one_takes_one_and_keeps_neither_model_nor_image(name: str) -> None:
    model, images = network(), torch.rand(2, 3, 16, 16)
    found = METHODS[name](model, images)
    assert type(found) is ShownTensor and not found.requires_grad
    page = found._repr_html_()
    assert "<img" in page and "<pre>" not in page
    again = METHODS[name](model, shown(images.clone(), how))
    torch.testing.assert_close(again, found, rtol=0, atol=0)
    held = [weakref.ref(model), weakref.ref(model[0]), weakref.ref(images.untyped_storage())]
    del model, images, again
    gc.collect()
    assert [reference() for reference in held] == [None] * 3


def test_methods_are_shown_in_inference_mode_too() -> None:
    with torch.inference_mode():
        model, images = network(), torch.rand(1, 3, 16, 16)
        assert "<img" in zfcuda.grad_cam(model, images)._repr_html_()  # type: ignore[attr-defined]
