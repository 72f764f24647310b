"""Derivatives of every kind through the operators: forward mode, torch.func's transforms, one within another."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, func
from torch.autograd import forward_ad

from tests.ops.tensors import tables
from zfcuda import ops
from zfcuda.ops import grouped_patches as grouped
from zfcuda.ops import patches, pointwise, reference

NORM = (4, 0.3, 0.75, 2.0)
POOL: tuple = ([3, 3], [2, 2], [1, 1])


def cases(device: torch.device) -> dict[str, tuple[Callable[[Any], Callable[[Tensor], Tensor]], Tensor]]:
    """name -> (the function, made of the operators or of their twins; where it is differentiated)."""
    x = torch.randn(2, 3, 3, 4, dtype=torch.float64, device=device)
    pooled, switches = ops.max_pool2d_with_switches(x, *POOL)
    y, gate = torch.randn_like(pooled), torch.randn_like(pooled)
    fill = torch.randn(3, 1, 1, dtype=torch.float64, device=device)
    origins = torch.tensor([[0, 0], [1, 2], [2, 3]], device=device)

    def stage(k: Any, u: Tensor) -> Tensor:
        output, _, pooled = k.relu_max_pool2d_lrn(u, *POOL, False, *NORM, True)
        return output * 3 + pooled.sin()

    return {
        "norm": (lambda k: lambda u: k.local_response_norm(u, *NORM), x),
        "norm_backward": (lambda k: lambda u: k.local_response_norm_backward(u.sin(), u, *NORM), x),
        "norm_backward_grad": (lambda k: lambda u: k.local_response_norm_backward(u, x, *NORM), x * 2 + 1),
        "pool": (lambda k: lambda u: k.max_pool2d_with_switches(u, *POOL, False, False)[0], x),
        "pool_relu": (lambda k: lambda u: k.max_pool2d_with_switches(u, *POOL, False, True)[0], x),
        "stage": (lambda k: lambda u: k.relu_max_pool2d_lrn(u, *POOL, False, *NORM, False)[0], x),
        "stage_pooled": (lambda k: lambda u: stage(k, u), x),
        "unpool": (lambda k: lambda u: k.max_unpool2d(u, switches, *POOL, [3, 4]), y),
        "unpool_gate": (lambda k: lambda u: k.max_unpool2d(u, switches, *POOL, [3, 4], gate), y),
        "gather": (lambda k: lambda u: k.gather_by_switch(u, switches, *POOL), x),
        "gather_gate": (lambda k: lambda u: k.gather_by_switch(u, switches, *POOL, gate), x),
        "occlude": (lambda k: lambda u: k.occlude(u[0], u[1, :, :1, :1], origins, [2, 3]), x),
        "occlude_fill": (lambda k: lambda u: k.occlude(x[0], u, origins, [2, 3]), fill),
    }


def dual(f: Callable[[Tensor], Tensor], x: Tensor, tangent: Tensor) -> Tensor:
    with forward_ad.dual_level():
        change = forward_ad.unpack_dual(f(forward_ad.make_dual(x, tangent))).tangent
    assert change is not None
    return change


def derivatives(f: Callable[[Tensor], Tensor], x: Tensor) -> dict[str, Callable[[], Tensor]]:
    v, several = (3 * x + 1).sin(), torch.stack([x, 2 * x + 1])

    def score(u: Tensor) -> Tensor:
        result = f(u)
        weights = torch.arange(result[0].numel(), dtype=x.dtype, device=x.device).view_as(result[0])
        return (result.sin() * weights).sum()

    def without_grad(run: Callable[[], Tensor]) -> Tensor:
        with torch.no_grad():
            return run()

    def of_leaf(g: Callable[[Tensor], Tensor]) -> Tensor:
        leaf = x.clone().requires_grad_()
        return torch.autograd.grad(g(leaf).sin().sum(), leaf)[0]

    return {
        "dual": lambda: dual(f, x, v),
        "dual, no_grad": lambda: without_grad(lambda: dual(f, x, v)),
        "jvp": lambda: func.jvp(f, (x,), (v,))[1],
        "jvp, no_grad": lambda: without_grad(lambda: func.jvp(f, (x,), (v,))[1]),
        "vjp": lambda: func.vjp(f, x)[1](f(x).cos())[0],
        "grad": lambda: func.grad(score)(x),
        "grad, no_grad": lambda: without_grad(lambda: func.grad(score)(x)),
        "jacrev": lambda: func.jacrev(f)(x),
        "jacfwd": lambda: func.jacfwd(f)(x),
        "vmap": lambda: func.vmap(f, in_dims=-1)(several.movedim(0, -1)),
        "vmap of grad": lambda: func.vmap(func.grad(score))(several),
        "grad of vmap": lambda: func.grad(lambda u: func.vmap(f)(u).sin().sum())(several),
        "vmap of jvp": lambda: func.vmap(lambda u: func.jvp(f, (u,), (v,))[1])(several),
        "jvp of vmap": lambda: func.jvp(func.vmap(f), (several,), (several.cos(),))[1],
        "hessian": lambda: func.hessian(score)(x),
        "reverse of reverse": lambda: func.jacrev(func.jacrev(score))(x),
        "reverse of forward": lambda: func.jacrev(func.jacfwd(score))(x),
        "forward of forward": lambda: func.jacfwd(func.jacfwd(score))(x),
        "third": lambda: func.grad(lambda u: func.jvp(func.grad(score), (u,), (v,))[1].pow(2).sum())(x),
        "backward of jvp": lambda: of_leaf(lambda u: func.jvp(score, (u,), (v,))[1]),
        "backward of grad": lambda: of_leaf(func.grad(score)),
    }


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("name", list(cases(torch.device("cpu"))))
def test_every_derivative_is_the_twins(name: str, device: torch.device) -> None:
    make, x = cases(device)[name]
    expected = derivatives(make(reference), x)
    for kind, run in derivatives(make(torch.ops.zfcuda), x).items():
        torch.testing.assert_close(run(), expected[kind](), rtol=1e-9, atol=1e-9, msg=lambda m, k=kind: f"{k}: {m}")


@pytest.mark.parametrize("name", list(cases(torch.device("cpu"))))
def test_forward_mode_numerically(name: str, device: torch.device) -> None:
    make, x = cases(device)[name]
    f, leaf = make(torch.ops.zfcuda), x.clone().requires_grad_()
    assert torch.autograd.gradcheck(f, leaf, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(f, leaf, check_fwd_over_rev=True, check_rev_over_rev=True, fast_mode=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_public_functions_forwards(dtype: torch.dtype, device: torch.device) -> None:
    x = torch.randn(1, 4, 6, 6, dtype=dtype, device=device).contiguous(memory_format=torch.channels_last)
    _, switches = ops.max_pool2d_with_switches(x, 2)
    for run in (
        lambda u: ops.local_response_norm(u, 3),
        lambda u: ops.max_pool2d_with_switches(u, 2)[0],
        lambda u: ops.relu_max_pool2d_lrn(u, 2, size=3)[0],
        lambda u: ops.max_unpool2d(u[:, :, :3, :3], switches, 2, output_size=(6, 6)),
    ):
        value, tangent = func.jvp(run, (x,), (torch.ones_like(x),))
        assert tangent.dtype == dtype and tangent.stride() == value.stride()
        wide = func.jvp(run, (x.double(),), (torch.ones_like(x).double(),))[1]
        torch.testing.assert_close(tangent, wide.to(dtype), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("kind", ["jvp", "grad", "vmap of grad", "vmap"])
def test_compiled_transforms(kind: str) -> None:
    def score(u: Tensor) -> Tensor:
        return ops.relu_max_pool2d_lrn(u, 2, size=3)[0].sin().sum()

    run: Callable[[Tensor], Tensor] = {
        "jvp": lambda u: func.jvp(score, (u[0],), (u[1],))[1],
        "grad": lambda u: func.grad(score)(u[0]),
        "vmap of grad": lambda u: func.vmap(func.grad(score))(u),
        "vmap": lambda u: func.vmap(score)(u),
    }[kind]
    x = torch.randn(2, 1, 4, 6, 6)
    torch._dynamo.reset()
    torch.testing.assert_close(torch.compile(run, backend="aot_eager", fullgraph=True)(x), run(x))


def test_without_a_derivative_there_is_no_function(device: torch.device) -> None:
    x = torch.randn(1, 3, 6, 6, device=device)
    assert ops.local_response_norm(x, 3).grad_fn is None
    with torch.no_grad():
        assert ops.local_response_norm(x.clone().requires_grad_(), 3).grad_fn is None


def test_a_graph_that_is_dropped_is_freed(device: torch.device) -> None:
    x = torch.randn(1, 3, 6, 6, device=device, requires_grad=True)
    gc.disable()
    try:
        kept = [weakref.ref(ops.relu_max_pool2d_lrn(x, 2, size=3)[0]), weakref.ref(ops.local_response_norm(x, 3))]
        assert [k() for k in kept] == [None, None]
    finally:
        gc.enable()


REFUSED = [
    "gather_patches",
    "unfold_patches",
    "pool_patches",
    "pack_filters",
    "conv_patches",
    "pointwise_patches",
    "linear_rows",
    "pack_grouped_filters",
    "grouped_patches",
]


@pytest.mark.parametrize("name", REFUSED)
def test_the_engines_own_operators_refuse(name: str) -> None:
    cpu = torch.device("cpu")
    have, (want, rows) = tables(cpu, (2, 3, 4, 5))[0], tables(cpu, (1, 2, 4, 4))
    base, rest = torch.randn(1, 3, 6, 6), (torch.randn(4, 3), have, want, rows)
    weight = torch.randn(2, 3, 3, 3)
    filters, single = patches.pack_filters(weight), torch.randn(3, 1, 3, 3)
    filters_of_each = grouped.pack_grouped_filters(single, 3)
    run, x = {
        "gather_patches": (lambda u: patches.gather_patches(u, *rest), base),
        "unfold_patches": (lambda u: patches.unfold_patches(u, *rest, kernel_size=3, padding=1), base),
        "pool_patches": (lambda u: patches.pool_patches(u, *rest, kernel_size=3, padding=1), base),
        "pack_filters": (patches.pack_filters, weight),
        "conv_patches": (
            lambda u: patches.conv_patches(u, *rest, filters, channels=2, kernel_size=3, padding=1),
            base,
        ),
        "pointwise_patches": (
            lambda u: pointwise.pointwise_patches(
                [u], [rest[0]], [have], want, rows, patches.pack_filters(weight[..., :1, :1]), channels=2
            ),
            base,
        ),
        "pack_grouped_filters": (lambda u: grouped.pack_grouped_filters(u, 3), single),
        "grouped_patches": (
            lambda u: grouped.grouped_patches(
                u, *rest, filters_of_each, channels=3, groups=3, kernel_size=3, padding=1
            ),
            base,
        ),
        "linear_rows": (lambda u: patches.linear_rows(u, torch.randn(2, 5)), torch.randn(3, 5)),
    }[name]
    with pytest.raises(NotImplementedError, match=name):
        func.jvp(run, (x,), (torch.ones_like(x),))
    with pytest.raises((NotImplementedError, RuntimeError), match=f"{name}.*not implemented"):
        run(x.clone().requires_grad_()).sum().backward()
    with torch.no_grad():
        run(x.clone().requires_grad_())
