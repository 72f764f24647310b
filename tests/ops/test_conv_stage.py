"""The way back through a convolution that is rectified and pooled, against that through its parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.ops.tensors import same
from zfcuda.models.architectures.stages import FusedSequential
from zfcuda.ops import conv_stage, reference

LAST = torch.channels_last
# channels, outputs, (H, W), kernel, stride, padding, pool (kernel, stride, padding, ceil_mode)
CASES: dict[str, tuple[Any, ...]] = {
    "conv1 of ZFNet": (3, 12, (34, 31), 7, 2, 1, (3, 2, 1, False)),
    "conv2 of ZFNet": (48, 20, (17, 15), 5, 2, 0, (3, 2, 1, False)),
    "conv5 of ZFNet": (96, 9, (13, 13), 3, 1, 1, (3, 2, 0, False)),
    "conv1 of AlexNet": (3, 5, (51, 47), 11, 4, 2, (3, 2, 0, False)),
    "one channel": (1, 1, (9, 8), 3, 1, 1, (2, 2, 0, False)),
    "sides of their own": (5, 7, (14, 19), (2, 4), (1, 3), (2, 1), ((3, 2), (2, 3), (1, 0), True)),
    "a filter of one pixel": (17, 33, (8, 9), 1, 1, 0, (2, 2, 0, True)),
    "rows that nothing reads": (6, 4, (16, 17), 3, 4, 0, (2, 2, 0, False)),
    "more padding than filter": (2, 3, (6, 6), 3, 1, 4, (3, 3, 1, False)),
    "many vectors": (70, 3, (9, 9), 5, 1, 2, (5, 3, 2, False)),
}


@pytest.fixture(params=CASES, ids=lambda name: name.replace(" ", "_"))
def case(request: pytest.FixtureRequest) -> Any:
    return CASES[request.param]


def arguments(case: Any, images: int = 3) -> list[Any]:
    """Those of conv_backward_by_switch."""
    channels, outputs, size, kernel, stride, padding, pool = case
    torch.manual_seed(0)
    x = torch.randn(images, channels, *size).contiguous(memory_format=LAST)
    weight = torch.randn(outputs, channels, *both(kernel)).div(both(kernel)[0])
    map = F.conv2d(x, weight, None, stride, padding)
    pooled, switches = reference.max_pool2d_with_switches(map, *map_pair(pool), True)
    grad = torch.randn(pooled.shape).contiguous(memory_format=LAST)
    return [grad, switches, pooled, x, weight, both(stride), both(padding), *map_pair(pool)[:3], True]


def both(value: Any) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)


def map_pair(pool: Any) -> list[Any]:
    return [*map(both, pool[:3]), pool[3]]


def backward(*args: Any) -> tuple[Tensor, Tensor, Tensor]:
    return torch.ops.zfcuda.conv_backward_by_switch(*args)


def test_conv_backward_is_that_of_the_parts(case: Any) -> None:
    args = arguments(case)
    found = backward(*args)
    wide = [x.double() if isinstance(x, Tensor) and x.is_floating_point() else x for x in args]
    expected = reference.conv_backward_by_switch(*wide)
    magnitudes = reference.conv_backward_by_switch(
        *[
            x.abs() if isinstance(x, Tensor) and x.is_floating_point() and i in (0, 3, 4) else x
            for i, x in enumerate(wide)
        ]
    )
    assert found[0].is_contiguous(memory_format=LAST)
    for own, right, size in zip(found, expected, magnitudes, strict=True):
        assert own.shape == right.shape and own.dtype == torch.float32
        assert ((own - right).abs() <= 16 * torch.finfo(torch.float32).eps * size).all()


def test_conv_backward_without_what_is_not_wanted(case: Any) -> None:
    args = arguments(case)
    _, weight, bias = backward(*args)
    nothing, *others = backward(*args[:-1], False)
    assert nothing.numel() == 0
    same(others[0], weight)
    same(others[1], bias)


def test_conv_backward_takes_any_strides_and_repeats(case: Any) -> None:
    args = arguments(case)
    expected = backward(*args)
    other = [x.contiguous() if isinstance(x, Tensor) else x for x in args]
    other[3] = other[3].repeat_interleave(2, 3)[..., ::2]
    for _ in range(3):
        for own, right in zip(backward(*other), expected, strict=True):
            same(own, right)


def test_conv_backward_with_corrupted_switches(case: Any) -> None:
    """One beyond its window or the map adds nothing, and nothing outside is read or written."""
    args = arguments(case)
    args[1] = torch.randint(0, 256, args[1].shape, dtype=torch.uint8).contiguous(memory_format=LAST)
    found, expected = backward(*args), reference.conv_backward_by_switch(*args)
    for own, right in zip(found, expected, strict=True):
        torch.testing.assert_close(own, right, rtol=1e-4, atol=1e-4)


def test_conv_backward_keeps_what_is_not_finite_in_its_patch() -> None:
    args = arguments(CASES["conv1 of ZFNet"])
    clean = backward(*args)
    args[0][1, 4, 2, 3] = float("inf")
    found = backward(*args)
    assert not found[0][1].isfinite().all() and found[0][1].isfinite().sum() >= found[0][1].numel() - 7 * 7 * 3
    same(found[0][[0, 2]], clean[0][[0, 2]])
    channels = [c for c in range(12) if c != 4]
    same(found[1][channels], clean[1][channels])
    assert not found[2][4].isfinite() and found[2][channels].isfinite().all()


def test_a_gate_of_nan_passes_and_one_of_zero_does_not() -> None:
    args = arguments(CASES["one channel"], images=1)
    args[2] = torch.zeros_like(args[2])
    assert not any(x.any() for x in backward(*args))
    args[2][0, 0, 1, 2] = float("nan")
    for own, right in zip(backward(*args), reference.conv_backward_by_switch(*args), strict=True):
        torch.testing.assert_close(own, right, rtol=1e-5, atol=1e-6)
    assert backward(*args)[1].any()


def test_conv_backward_of_no_images() -> None:
    args = arguments(CASES["conv2 of ZFNet"])
    by_input, by_weight, by_bias = backward(
        *[x[:0] if isinstance(x, Tensor) and i < 4 else x for i, x in enumerate(args)]
    )
    assert by_input.shape == (0, 48, 17, 15) and not by_weight.any() and not by_bias.any()


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({3: torch.zeros(3, 3, 34, 31, dtype=torch.float64)}, "input: expected float32, got Double"),
        ({3: torch.zeros(3, 3, 34, 31, dtype=torch.bfloat16)}, "input: expected float32, got BFloat16"),
        ({4: torch.zeros(12, 3, 7, 7, dtype=torch.float16)}, "weight: expected float32 on cpu, got Half"),
        ({4: torch.zeros(12, 4, 7, 7)}, r"weight: expected \[O,3,kh,kw\]"),
        ({0: torch.zeros(3, 12, 5, 5)}, "switches: expected grad's shape"),
        ({4: torch.zeros(12, 3, 77, 7)}, "too small for weight"),
        ({5: [0, 1]}, "stride: expected at least 1"),
        ({5: [1, 1]}, "pool_kernel_size"),
        ({2: torch.zeros(1)}, "gate: expected switches's shape"),
    ],
)
def test_conv_backward_refuses(changed: dict[int, Any], says: str) -> None:
    args = arguments(CASES["conv1 of ZFNet"])
    for place, value in changed.items():
        args[place] = value
    with pytest.raises(RuntimeError, match=says):
        backward(*args)


def test_conv_backward_opcheck() -> None:
    tests = ("test_schema", "test_faketensor")
    for wanted in (True, False):
        args = tuple(arguments(CASES["sides of their own"]))[:-1]
        torch.library.opcheck(torch.ops.zfcuda.conv_backward_by_switch.default, (*args, wanted), test_utils=tests)


# ---------------------------------------------------------------- in a network


def network(case: Any, norm: bool, inplace: bool = False) -> FusedSequential:
    channels, outputs, _, kernel, stride, padding, pool = case
    torch.manual_seed(1)
    layers: list[nn.Module] = [
        nn.Conv2d(channels, outputs, kernel, stride, padding),
        nn.ReLU(inplace),
        nn.MaxPool2d(*pool[:3], ceil_mode=pool[3]),
    ]
    layers += [nn.LocalResponseNorm(5, 0.3, 0.75, 2.0)] if norm else []
    return FusedSequential(*layers).to(memory_format=LAST)  # type: ignore[call-overload]


def learned(model: nn.Module, x: Tensor) -> list[Tensor]:
    """The output, and the gradients of the image and of the parameters."""
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    output = model(x)
    torch.manual_seed(2)
    output.backward(torch.randn(output.shape).to(output))
    gradients = [p.grad for p in model.parameters()]
    model.zero_grad()
    return [output.detach(), x.grad, *gradients]  # type: ignore[list-item]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """As many elements as stages went the new way."""
    calls: list[int] = []
    true: Callable[..., Tensor] = conv_stage.conv2d_stage

    def stage(*args: Any) -> Tensor:
        calls.append(1)
        return true(*args)

    monkeypatch.setattr(conv_stage, "conv2d_stage", stage)
    return calls


@pytest.mark.parametrize("norm", [True, False])
def test_a_trained_stage_is_torchs(case: Any, norm: bool, counted: list[int]) -> None:
    x = arguments(case)[3]
    model = network(case, norm, inplace=norm).train()
    found = learned(model, x)
    assert counted or x.shape[1] == 1  # whose memory format is both
    expected = learned(nn.Sequential(*model), x)  # torch's own layers
    for own, right in zip(found, expected, strict=True):
        off = (own - right).norm() / right.norm()
        assert off < 3e-6, off
        assert own.shape == right.shape and own.dtype == torch.float32


def test_what_does_not_go_this_way(counted: list[int]) -> None:
    case = CASES["conv2 of ZFNet"]
    x = arguments(case)[3]
    model = network(case, True)
    model.eval()(x)
    model.train()
    with torch.no_grad():
        model(x)
    model(x.contiguous())
    model(x[:0])
    handle = model[0].register_forward_hook(lambda *_: None)
    model(x)
    handle.remove()
    model[0].weight.requires_grad_(False)
    model(x.requires_grad_())
    model[0].weight.requires_grad_(True)
    model.double()(x.double())
    model.float()
    with torch.autocast("cpu", torch.bfloat16):
        model(x)
    model.bfloat16()(x.bfloat16())
    model.float()
    everywhere = nn.modules.module.register_module_forward_hook(lambda *_: None)
    model(x)
    everywhere.remove()
    model[1].forward = lambda x: x.relu()
    model(x)
    del model[1].forward
    model(x[0])
    torch.func.vjp(model, x)
    torch.func.jvp(model, (x,), (x,))
    model[2].stride = 1  # more winners than it is worth
    model(x)
    assert not counted
    model[2].stride = 2
    model(x)
    assert counted


def test_a_second_derivative_through_a_trained_stage(counted: list[int]) -> None:
    case = CASES["rows that nothing reads"]
    x = arguments(case)[3]
    model = network(case, True).train()

    def penalty(layers: nn.Module) -> list[Tensor]:
        image = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(layers(image).square().sum(), image, create_graph=True)
        return list(torch.autograd.grad(gradient.square().sum(), [image, *layers.parameters()]))

    for own, right in zip(penalty(model), penalty(nn.Sequential(*model)), strict=True):
        torch.testing.assert_close(own, right, rtol=1e-4, atol=1e-5)
    assert counted


def test_a_trained_stage_compiles(counted: list[int]) -> None:
    case = CASES["rows that nothing reads"]
    model, x = network(case, True).train(), arguments(case)[3]
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    for own, right in zip(learned(compiled, x), learned(nn.Sequential(*model), x), strict=True):
        torch.testing.assert_close(own, right, rtol=1e-4, atol=1e-5)
    assert not counted
    torch._dynamo.reset()


def test_special_windows_pass_their_gradient_on_as_torchs(counted: list[int]) -> None:
    """Of equals the first wins, of NaN the last; a window without anything positive passes nothing on."""
    case = (3, 4, (9, 9), 1, 1, 0, (3, 2, 1, True))  # filters of one pixel: the image's gradient shows each winner
    torch.manual_seed(0)
    x = torch.randn(2, 3, 9, 9).round().contiguous(memory_format=LAST)
    x[0, 1, 2:4, 3:6] = float("nan")
    x[1, :, 4:] = -0.0
    model = network(case, norm=False).train()
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(4, 3)[..., None, None])
        model[0].bias.copy_(torch.tensor([0.0, 0.0, -0.5, float("nan")]))
        model[0].weight[3] = 1.0
    found, expected = learned(model, x), learned(nn.Sequential(*model), x)
    assert counted
    same(found[0], expected[0])
    torch.testing.assert_close(found[1], expected[1])
    torch.testing.assert_close(found[3], expected[3])


def test_a_layer_behind_may_write_into_the_output(counted: list[int]) -> None:
    case = CASES["conv5 of ZFNet"]
    model, x = network(case, False).train(), arguments(case)[3]
    model.append(nn.Dropout(1e-9, inplace=True)).append(nn.LeakyReLU(0.5, inplace=True))
    for own, right in zip(learned(model, x), learned(nn.Sequential(*model), x), strict=True):
        torch.testing.assert_close(own, right, rtol=1e-4, atol=1e-5)
    assert counted


def test_a_second_derivative_where_one_layer_runs_twice(counted: list[int]) -> None:
    """The input of its second run depends on its weight, and is not differentiated twice."""
    case = (4, 4, (15, 15), 3, 1, 1, (2, 2, 0, False))
    model, x = network(case, False).train(), torch.randn(2, 4, 15, 15).contiguous(memory_format=LAST)

    def penalty(layers: nn.Module) -> list[Tensor]:
        own = list(layers.parameters())
        gradients = torch.autograd.grad(layers(layers(x)).square().sum(), own, create_graph=True)
        return [*gradients, *torch.autograd.grad(sum(g.square().sum() for g in gradients), own)]

    for found, right in zip(penalty(model), penalty(nn.Sequential(*model)), strict=True):
        torch.testing.assert_close(found, right, rtol=1e-4, atol=1e-5)
    assert len(counted) == 2


def test_gradients_in_a_batch(counted: list[int]) -> None:
    case = CASES["rows that nothing reads"]
    model, x = network(case, True).train(), arguments(case)[3]

    def gradients(layers: nn.Module) -> tuple[Tensor, ...]:
        output = layers(x)
        several = torch.stack([torch.ones_like(output), output.detach().cos()])
        return torch.autograd.grad(output, list(layers.parameters()), several, is_grads_batched=True)

    for own, right in zip(gradients(model), gradients(nn.Sequential(*model)), strict=True):
        torch.testing.assert_close(own, right, rtol=1e-4, atol=1e-5)
    assert counted


def test_the_number_of_threads_changes_roundings_alone() -> None:
    args, threads = arguments(CASES["conv2 of ZFNet"], images=4), torch.get_num_threads()
    try:
        found = []
        for count in (1, 3, 3):
            torch.set_num_threads(count)
            found.append(backward(*args))
    finally:
        torch.set_num_threads(threads)
    alone, shared, again = found
    for own, right in zip(shared, again, strict=True):
        same(own, right)
    same(shared[0], alone[0])  # an image is one thread's
    torch.testing.assert_close(shared[1], alone[1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(shared[2], alone[2], rtol=1e-6, atol=1e-6)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_trained_stage_is_traced_by_its_layers(counted: list[int]) -> None:
    case = CASES["rows that nothing reads"]
    model, x = network(case, False).train(), arguments(case)[3]
    traced = torch.jit.trace(model, x, check_trace=False)  # type: ignore[no-untyped-call]
    assert not counted
    for own, right in zip(learned(traced, x), learned(nn.Sequential(*model), x), strict=True):
        torch.testing.assert_close(own, right)
