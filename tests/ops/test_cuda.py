"""What only a GPU can show: streams, devices, graphs, no waiting, torch.compile, autocast, tensors past 2^31 elements.

That the operators' numbers are right on CUDA is tested where their numbers are tested (the fixture `device`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zfcuda
from tests.harness.fake_gpu import fake_gpu
from tests.ops import test_operators as operators
from tests.ops.tensors import near, same
from tests.ops.test_operators import BATCHED, DIFFERENTIABLE, OPERATORS
from zfcuda import ops
from zfcuda.ops import patches as patch_ops
from zfcuda.ops import reference

CUDA = torch.device("cuda")


gpu = pytest.mark.cuda  # a test that needs one


def samples(name: str, dtype: torch.dtype = torch.float32, device: torch.device = CUDA) -> tuple[Any, ...]:
    return operators.samples(device, dtype)[name]


def call(name: str, args: tuple[Any, ...]) -> list[Tensor]:
    result = getattr(torch.ops.zfcuda, name)(*args)
    return list(result) if isinstance(result, tuple) else [result]


def on(device: torch.device, args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(x.to(device) if isinstance(x, Tensor) else x for x in args)


def all_same(a: list[Tensor], b: list[Tensor]) -> None:
    for x, y in zip(a, b, strict=True):
        same(x.cpu(), y.cpu())


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)


# ---------------------------------------------------------------- streams, devices, graphs


@gpu
@pytest.mark.parametrize("name", OPERATORS)
def test_runs_on_the_current_stream(name: str) -> None:
    """An operator runs after what is queued there, which comes late: elsewhere it would see zeros."""
    args = samples(name)
    expected = call(name, args)
    late = tuple(torch.zeros_like(x) if isinstance(x, Tensor) else x for x in args)
    side = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(side):
        torch.cuda._sleep(50_000_000)
        for x, value in zip(late, args, strict=True):
            if isinstance(x, Tensor):
                x.copy_(value)
        result = call(name, late)
        side.synchronize()
    all_same(result, expected)


@gpu
def test_waits_for_no_other_stream() -> None:
    side = torch.cuda.Stream()
    args = {name: samples(name) for name in OPERATORS}
    torch.cuda.synchronize()
    with torch.cuda.stream(side):
        for name in OPERATORS:
            call(name, args[name])  # loads the kernels and fills the stream's pool of memory, which may wait
    torch.cuda.synchronize()
    torch.cuda._sleep(4_000_000_000)
    busy, done = torch.cuda.Event(), torch.cuda.Event()
    busy.record()
    with torch.cuda.stream(side):
        results = [call(name, args[name]) for name in OPERATORS]
        done.record()
    done.synchronize()
    assert not busy.query() and len(results) == len(OPERATORS)
    torch.cuda.synchronize()


@gpu
@pytest.mark.parametrize("name", OPERATORS)
def test_runs_on_the_tensors_device(name: str) -> None:
    """An operator runs on its input's device, not on the current one."""
    if torch.cuda.device_count() < 2:
        pytest.skip("one GPU only")
    first, second = torch.device("cuda:0"), torch.device("cuda:1")
    args = samples(name, device=first)
    expected = call(name, args)
    for current, device in ((0, second), (1, first), (1, second)):
        with torch.cuda.device(current):
            result = call(name, on(device, args))
            assert torch.cuda.current_device() == current and all(x.device == device for x in result)
        torch.cuda.synchronize(device)
        all_same(result, expected)


@gpu
@pytest.mark.parametrize("name", OPERATORS)
def test_is_captured_in_a_graph(name: str) -> None:
    args = samples(name)
    call(name, args)
    graph = torch.cuda.CUDAGraph()
    torch.cuda.synchronize()
    with torch.cuda.graph(graph):
        result = call(name, args)
    for _again in range(2):
        # Other numbers at the same addresses.
        fresh = samples(name)
        for x, value in zip(args, fresh, strict=True):
            if isinstance(x, Tensor):
                x.copy_(value)
        for x in result:
            x.zero_()
        graph.replay()
        torch.cuda.synchronize()
        all_same(result, call(name, fresh))


@gpu
@pytest.mark.parametrize("name", OPERATORS)
def test_does_not_wait_for_the_gpu(name: str) -> None:
    args = samples(name)
    call(name, args)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        call(name, args)
        if name in DIFFERENTIABLE:
            x = args[0].clone().requires_grad_()
            output = call(name, (x, *args[1:]))[0]
            output.backward(torch.ones_like(output))
    finally:
        torch.cuda.set_sync_debug_mode("default")


@gpu
@pytest.mark.parametrize("name", OPERATORS)
def test_is_deterministic(name: str, deterministic: None) -> None:
    """Fresh memory is full of NaN here, as torch fills it when it has to be deterministic."""
    for dtype in (torch.float32, torch.bfloat16):
        args = samples(name, dtype)
        first = call(name, args)
        for _again in range(3):
            all_same(call(name, args), first)
        if name in DIFFERENTIABLE:
            gradients = []
            for _again in range(2):
                x = args[0].clone().requires_grad_()
                output = call(name, (x, *args[1:]))[0]
                output.backward(torch.ones_like(output))
                gradients.append(x.grad)
            same(*gradients)


@pytest.fixture
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("format", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("name", OPERATORS)
def test_shapes_on_a_gpu_that_is_not_there(name: str, format: torch.memory_format) -> None:
    """What torch.compile sees of an operator on CUDA: the CPU's shapes and formats, and no value is asked for."""
    args = tuple(
        x.contiguous(memory_format=format) if isinstance(x, Tensor) and x.dim() == 4 else x
        for x in samples(name, torch.float16, torch.device("cpu"))
    )
    expected = call(name, args)
    with fake_gpu() as on_gpu:
        result = call(name, tuple(map(on_gpu, args)))
        assert all(x.device.type == "cuda" for x in result)
        for x, y in zip(result, expected, strict=True):
            assert (x.shape, x.stride(), x.dtype) == (y.shape, y.stride(), y.dtype)


# ---------------------------------------------------------------- compiled, in mixed precision


def more(name: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Repeats the arguments for more images, or more occluders."""
    if name in BATCHED:
        return tuple(torch.cat((x, x, x)) if isinstance(x, Tensor) and x.dim() in (2, 4) else x for x in args)
    return args


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", OPERATORS)
def test_compiles_whole(name: str, dtype: torch.dtype, device: torch.device) -> None:
    """Inductor compiles it on CUDA; the CPU shows that the test is right."""
    if device.type == "cpu" and dtype != torch.float32:
        pytest.skip("nothing else than in float32")
    args = samples(name, dtype, device)
    places = [i for i, x in enumerate(args) if isinstance(x, Tensor)]

    def run(*tensors: Tensor) -> list[Tensor]:
        given = list(args)
        for i, x in zip(places, tensors, strict=True):
            # Not a copy: the operator reads what the compiler's own kernel wrote.
            given[i] = -x if x.is_floating_point() else x
        return [y * 2 if y.is_floating_point() else y for y in call(name, tuple(given))]

    torch._dynamo.reset()
    compiled = torch.compile(
        run, fullgraph=True, dynamic=True, backend="inductor" if device.type == "cuda" else "aot_eager"
    )
    for given in (args, more(name, args)):
        tensors = [given[i] for i in places]
        for a, b in zip(compiled(*tensors), run(*tensors), strict=True):
            # The compiler may choose another memory format, in which sums have another order.
            (near if a.is_floating_point() else same)(a, b)


def stack() -> nn.Module:
    """Every operator with a gradient, between layers that autocast runs in half precision."""

    class Stack(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 8, 3, padding=1)
            self.last = nn.Linear(8, 5)

        def forward(self, x: Tensor) -> Tensor:
            x, _ = ops.relu_max_pool2d_lrn(self.first(x), 3, 2, 1, size=5, alpha=0.1, k=2.0)
            x = ops.local_response_norm(self.second(x), 3, alpha=0.1)
            pooled, switches = ops.max_pool2d_with_switches(x, 2, relu=True)
            x = ops.max_unpool2d(pooled, switches, 2, output_size=x.shape[2:])
            return self.last(x.mean((2, 3)))

    return Stack()


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", OPERATORS)
def test_autocast_leaves_the_dtype_as_it_is(name: str, half: torch.dtype, device: torch.device) -> None:
    """An operator runs in the precision of what it is given: after a convolution, in half."""
    for dtype in (torch.float32, half):
        args = samples(name, dtype, device)
        expected = call(name, args)
        with torch.autocast(device.type, half):
            result = call(name, args)
        assert result[0].dtype == dtype
        all_same(result, expected)


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=str)
def test_trains_under_autocast(half: torch.dtype, device: torch.device) -> None:
    model, x = stack().to(device), torch.randn(4, 3, 17, 19, device=device)

    def gradients(enabled: bool) -> list[Tensor]:
        model.zero_grad()
        with torch.autocast(device.type, half, enabled=enabled):
            loss = model(x).float().square().mean()
        (loss * 64).backward()
        return [p.grad / 64 for p in model.parameters() if p.grad is not None]

    expected, got = gradients(False), gradients(True)
    assert len(got) == len(list(model.parameters()))
    for a, b in zip(got, expected, strict=True):
        assert a.dtype == torch.float32 and bool(a.isfinite().all())
        # A rounding may choose another winner, so as a whole.
        assert float((a - b).norm()) < 0.1 * float(b.norm())


# ---------------------------------------------------------------- past 2^31 elements

PICTURES = 2**26 + 2**12  # of 8 x 2 x 2: 2^31 elements, and some more


def part(x: Tensor) -> Tensor:
    """Cuts out both ends, and what lies around element 2^31."""
    return torch.cat((x[:64], x[2**26 - 64 : 2**26 + 64], x[-64:])) if len(x) > 256 else x


@gpu
@pytest.mark.parametrize("format", [torch.contiguous_format, torch.channels_last], ids=str)
def test_past_two_to_the_31(format: torch.memory_format) -> None:
    if torch.cuda.mem_get_info()[0] < 40 * 2**30:
        pytest.skip("needs 40 GiB of GPU memory")
    window, settings = ([2, 2], [2, 2], [0, 0]), (3, 0.3, 0.75, 2.0)

    def check(name: str, args: tuple[Any, ...], compare: Callable[..., None] = same) -> None:
        got = call(name, args)
        assert max(x.numel() for x in [*got, *(a for a in args if isinstance(a, Tensor))]) > 2**31
        expected = getattr(reference, name)(*(part(a) if isinstance(a, Tensor) else a for a in args))
        for x, y in zip(got, expected if isinstance(expected, tuple) else [expected], strict=True):
            (compare if x.is_floating_point() else same)(part(x), y)

    def nearly(a: Tensor, b: Tensor) -> None:
        near(a, b, roundings=10)

    large = torch.randn(PICTURES, 8, 2, 2, dtype=torch.float16, device=CUDA).contiguous(memory_format=format)
    small = torch.randn(PICTURES, 8, 1, 1, dtype=torch.float16, device=CUDA).contiguous(memory_format=format)
    switches = torch.randint(0, 6, small.shape, dtype=torch.uint8, device=CUDA).contiguous(memory_format=format)
    check("max_pool2d_with_switches", (large, *window, False, False))
    check("max_unpool2d", (small, switches, *window, [2, 2]))
    check("gather_by_switch", (large, switches, *window))
    check("local_response_norm", (large, *settings), near)
    check("local_response_norm_backward", (large, large, *settings), nearly)
    check("relu_max_pool2d_lrn", (large, *window, False, *settings, True), near)
    del large, small, switches
    image = torch.randn(8, 2, 2, dtype=torch.float16, device=CUDA)
    image = image[None].contiguous(memory_format=format)[0]
    fill = torch.zeros((), dtype=torch.float16, device=CUDA)
    origins = torch.randint(-1, 3, (PICTURES, 2), device=CUDA)
    got = torch.ops.zfcuda.occlude(image, fill, origins, [1, 2])
    assert got.numel() > 2**31
    same(part(got), reference.occlude(image, fill, part(origins), [1, 2]))


@gpu
def test_patches_of_a_map_past_two_to_the_31() -> None:
    if torch.cuda.mem_get_info()[0] < 40 * 2**30:
        pytest.skip("needs 40 GiB of GPU memory")
    height, width, channels = 16_400, 16_400, 8
    base = torch.randn(1, height, width, channels, dtype=torch.float16, device=CUDA).permute(0, 3, 1, 2)
    assert base.numel() > 2**31
    patches = torch.randn(6, channels, dtype=torch.float16, device=CUDA)
    # All of the map; the patch lies in its last corner.
    have = torch.tensor([[height - 3, width - 4, height - 1, width - 1, 0]], device=CUDA)
    want = torch.tensor([[0, 0, height, width, 0]], device=CUDA)
    output = patch_ops.gather_patches(base, patches, have, want, height * width).view(height, width, channels)
    corner = base[0, :, -64:, -64:].permute(1, 2, 0).clone()
    corner[-3:-1, -4:-1] = patches.view(2, 3, channels)
    same(output[-64:, -64:], corner)
    same(output[:64], base[0, :, :64].permute(1, 2, 0))
    del output
    # The corner alone is the same map to whoever looks at the corner alone.
    y, x = height - 64, width - 64
    shift = torch.tensor([y, x, y, x, 0], device=CUDA)
    want = torch.tensor([[height - 9, width - 12, height, width, 0]], device=CUDA)
    alone = base[:, :, -64:, -64:].contiguous(memory_format=torch.channels_last)
    for name in ("unfold_patches", "pool_patches"):
        run = getattr(patch_ops, name)
        got = run(base, patches, have, want, 108, kernel_size=3, padding=1)
        same(got, run(alone, patches, have - shift, want - shift, 108, kernel_size=3, padding=1))


# ---------------------------------------------------------------- whole networks, against the CPU


def other_numbers(model: nn.Module) -> nn.Module:
    """Gives the model other parameters, of a size at which every layer matters."""
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.kaiming_normal_(parameter)
    return model


@gpu
def test_training_gradients_are_those_of_the_cpu() -> None:
    """The comparison is in float64, where no rounding chooses another winner."""
    model = other_numbers(zfcuda.models.zfnet(10, width=0.1)).double().train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    x, labels = torch.randn(2, 3, 224, 224, dtype=torch.float64), torch.tensor([3, 7])
    there = copy.deepcopy(model).to(CUDA)
    losses = [nn.functional.cross_entropy(m(x.to(d)), labels.to(d)) for m, d in ((model, "cpu"), (there, CUDA))]
    for loss in losses:
        loss.backward()
    torch.testing.assert_close(losses[1].cpu(), losses[0], rtol=1e-10, atol=1e-10)
    for (name, a), b in zip(there.named_parameters(), model.parameters(), strict=True):
        assert a.grad is not None and b.grad is not None and float(b.grad.abs().max()) > 0, name
        torch.testing.assert_close(a.grad.cpu(), b.grad, rtol=1e-8, atol=1e-8 * float(b.grad.abs().max()))


@gpu
@pytest.mark.parametrize("method", ["incremental", "batched"])
def test_occlusion_map_is_that_of_the_cpu(method: str, exact: None) -> None:
    model, image = zfcuda.models.load_demo(), torch.randn(3, 224, 224)
    settings: dict[str, Any] = {"window": 48, "stride": 40, "fill": 0.2, "method": method, "layer": "conv3"}
    expected = zfcuda.occlusion_map(model, image, **settings)
    got = zfcuda.occlusion_map(copy.deepcopy(model).to(CUDA), image.to(CUDA), **settings)
    assert (
        got.method == expected.method == method
        and got.logits.device.type == CUDA.type
        and got.target == expected.target
    )
    spread = float(expected.logits.std())
    torch.testing.assert_close(got.logits.cpu(), expected.logits, rtol=1e-4, atol=1e-4 * spread)
    torch.testing.assert_close(got.probability.cpu(), expected.probability, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(got.activity.cpu(), expected.activity, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(got.heatmap().cpu(), expected.heatmap(), rtol=1e-3, atol=1e-3 * spread)


@gpu
@pytest.mark.parametrize("position", [None, "all"])
@pytest.mark.parametrize("layer", ["conv1", "conv3", "conv5"])
def test_projection_is_that_of_the_cpu(layer: str, position: str | None) -> None:
    """The comparison is in float64, where no rounding sets another switch."""
    model, image = zfcuda.models.load_demo().double(), torch.randn(1, 3, 224, 224, dtype=torch.float64)
    expected = zfcuda.project(model, image, layer, position=position, top=2)
    got = zfcuda.project(copy.deepcopy(model).to(CUDA), image.to(CUDA), layer, position=position, top=2)
    assert got.device.type == CUDA.type and float(expected.abs().max()) > 0
    torch.testing.assert_close(got.cpu(), expected, rtol=1e-8, atol=1e-8 * float(expected.abs().max()))
