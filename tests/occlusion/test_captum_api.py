"""zfcuda.Occlusion against captum.attr.Occlusion: numbers, shapes, dtypes, errors, and what neither may touch."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zfcuda
from zfcuda.occlusion import captum_api as attribution

captum = pytest.importorskip("captum.attr")


class Net(nn.Module):
    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 8, 3)
        self.head = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv1(x)).relu_()
        return self.head(self.conv2(x).relu().mean((2, 3)))


class Classes:
    """[N,..] of any rank and number -> [N,classes], not linear in any input."""

    def __init__(self, classes: int = 3) -> None:
        self.classes = classes

    def __call__(self, *inputs: Tensor) -> Tensor:
        total = torch.zeros(len(inputs[0]), self.classes)
        for i, x in enumerate(inputs):
            flat = x.reshape(len(x), -1).float()
            weight = torch.arange(1.0 + i, 1 + i + flat.shape[1] * self.classes).sin().view(-1, self.classes)
            total = total + (flat @ weight).tanh() + 0.1 * flat.square() @ weight
        return total


def same(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Both attributions of one call, compared. Returns ours."""
    expected = captum.Occlusion(function).attribute(*args, **kwargs)
    found = zfcuda.Occlusion(function).attribute(*args, **kwargs)
    assert type(found) is type(expected)
    torch.testing.assert_close(found, expected, rtol=2e-5, atol=2e-6, equal_nan=True)  # dtype and shape too
    return found


def raised(occlusion: type, function: Callable[..., Any], *args: Any, **kwargs: Any) -> BaseException:
    with pytest.raises(Exception) as error:
        occlusion(function).attribute(*args, **kwargs)
    return error.value


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of the pictures that the engine was given."""
    calls: list[tuple[int, ...]] = []

    def spy(model: nn.Module, pictures: Tensor, *args: Any, **kwargs: Any) -> Any:
        calls.append(tuple(pictures.shape))
        return real(model, pictures, *args, **kwargs)

    real = attribution.run_windows
    monkeypatch.setattr(attribution, "run_windows", spy)
    return calls


@pytest.mark.parametrize("seed", range(100))
def test_any_function_as_captum(seed: int) -> None:
    rng = random.Random(seed)
    torch.manual_seed(seed)
    batch, count = rng.choice([1, 2, 3]), rng.choice([1, 1, 2, 3])
    inputs, windows, strides, baselines = [], [], [], []
    for _ in range(count):
        size = tuple(rng.randint(1, 6) for _ in range(rng.randint(0, 4)))
        window = tuple(rng.randint(max(1, length // 2), length) for length in size)
        x = torch.randn(batch, *size) * 3
        inputs.append(rng.choice([x, x, x.double(), x.long(), x.transpose(0, -1).contiguous().transpose(0, -1)]))
        windows.append(window)
        most = min(window, default=1)
        each = tuple(
            rng.randint(1, w) if w < length else rng.randint(1, 9) for w, length in zip(window, size, strict=True)
        )
        strides.append(rng.choice([rng.randint(1, most), each]))
        baselines.append(
            rng.choice(
                [0, 1, -0.5, torch.randn(batch, *size), torch.randn(1, *size), torch.randn(size), torch.ones(())]
            )
        )
    one = count == 1 and rng.random() < 0.7
    same(
        Classes(),
        inputs[0] if one else tuple(inputs),
        windows[0] if one and windows[0] else tuple(windows),
        strides=rng.choice([None, strides[0] if one else tuple(strides)]),
        baselines=rng.choice([None, baselines[0] if one else tuple(baselines)]),
        target=rng.choice([None, 0, 2, [rng.randint(0, 2) for _ in range(batch)], torch.randint(3, (batch,))]),
        perturbations_per_eval=rng.choice([1, 2, 3, 7, 1000]),
    )


@pytest.mark.parametrize("per_call", [1, 4, 100])
@pytest.mark.parametrize(
    "target",
    [
        None,
        1,
        -1,
        True,
        (1, 2),
        (1,),
        (slice(0, 2), 1),
        [(0, 1), (2, 3), (1, 0)],
        [(0,), (2,), (1,)],
        torch.tensor(2),
        torch.tensor([1]),
    ],
    ids=str,
)
def test_targets_of_outputs_with_more_dimensions(target: Any, per_call: int) -> None:
    classes = Classes(12)
    same(
        lambda x: classes(x).view(-1, 3, 4),
        torch.randn(3, 5, 4),
        (2, 3),
        2,
        target=target,
        perturbations_per_eval=per_call,
    )


def test_target_may_be_a_callable() -> None:
    x, function = torch.randn(2, 4, 5), Classes()
    expected = captum.Occlusion(lambda x: function(x)[:, 0] - function(x)[:, 2]).attribute(x, (2, 2))
    margin = zfcuda.Occlusion(function).attribute(x, (2, 2), target=lambda z: z[:, 0] - z[:, 2])
    torch.testing.assert_close(margin, expected)
    # A model of several outputs: the callable chooses.
    found = zfcuda.Occlusion(lambda x: {"logits": function(x)}).attribute(
        x, (2, 2), target=lambda out: out["logits"][:, 0] - out["logits"][:, 2], perturbations_per_eval=3
    )
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("per_call", [1, 5])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.uint8, torch.bool])
@pytest.mark.parametrize("baseline", [None, 0, 2, -1, 0.5, True, "float32", "float64", "int64"], ids=str)
def test_dtypes_promote_as_captums(dtype: torch.dtype, baseline: Any, per_call: int) -> None:
    x = (torch.randn(2, 3, 4) * 4).abs().to(dtype)
    if isinstance(baseline, str):
        baseline = torch.ones(3, 4, dtype=getattr(torch, baseline))
    seen: list[torch.dtype] = []

    def function(x: Tensor) -> Tensor:
        if type(x) is Tensor:
            seen.append(x.dtype)
        return Classes()(x)

    assert same(function, x, (2, 2), 2, baseline, 1, None, per_call).dtype == torch.float32
    calls = len(seen) // 2
    assert seen[:calls] == seen[calls:]


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64, torch.int64, torch.int32])
def test_dtypes_of_answers(dtype: torch.dtype) -> None:
    same(lambda x: (x * 10).sum(1).to(dtype), torch.randn(3, 8), (2,), 2)


@pytest.mark.parametrize("per_call", [1, 4])
def test_additional_arguments(per_call: int) -> None:
    def function(x: Tensor, scale: Tensor, once: Tensor, name: str, nothing: None) -> Tensor:
        assert name == "it" and nothing is None and len(scale) == len(x) and once.dim() == 0
        return Classes()(x * scale + once)

    arguments = (torch.rand(2, 1, 1), torch.tensor(0.3), "it", None)
    same(function, torch.randn(2, 3, 5), (2, 2), 2, None, 1, arguments, per_call)
    same(lambda x, scale: Classes()(x) * scale, torch.randn(2, 7), (3,), 2, 0.1, [0, 2], torch.rand(2, 1), per_call)
    same(lambda x, flag: Classes()(x) * (2 if flag else 1), torch.randn(2, 7), (3,), 2, 0.1, 1, True, per_call)


def test_functions_that_aggregate() -> None:
    x, y = torch.randn(3, 4, 4), torch.randn(3, 2)
    same(lambda x: x.square().sum(), x, (2, 2))
    same(lambda x: x.square().sum().item(), x, (2, 2), 2)
    same(lambda x: int(x.sum() * 10), x, (2, 2), 2)
    same(lambda x, y: torch.stack([x.sum(), y.prod(), x.max()]), (x, y), ((2, 3), (1,)), (2, 1), (0.5, 2))
    same(lambda x: x.sum(0, keepdim=True).flatten(1), x, (2, 2), target=3)
    same(lambda: torch.tensor([[1.0, 2.0]] * 3), x, (2, 2), target=1)  # a function without arguments
    same(lambda x: x, x, (2, 2), 2)  # 48 outputs, and they are the batch itself
    same(lambda x: x[:0].flatten(1).sum(1), torch.empty(0, 4, 4), (2, 2))
    same(lambda x, y: Classes()(x), (x, torch.empty(3, 0)), ((2, 2), (0,)), (1, 1), None, 1)
    assert zfcuda.Occlusion(torch.sum).attribute(x, (4, 4)).shape == (1, 4, 4)  # it has no signature


@pytest.mark.parametrize(
    ("inputs", "windows", "kwargs"),
    [
        (None, (2, 2), {}),
        ([0], (2, 2), {}),
        ((0, "x"), ((2, 2), (2,)), {}),
        (0, (5, 2), {}),
        (0, (2, 2, 2), {}),
        (0, (2,), {}),
        (0, (), {}),
        (0, 2, {}),
        (0, None, {}),
        (0, [2, 2], {}),
        (0, (2, 2.5), {}),
        (0, (2.0, 2), {}),
        (0, (-1, 2), {}),
        (0, (0, 2), {}),
        (0, ((2, 2), (2, 2)), {}),
        ((0, 0), (2, 2), {}),
        ((0, 0), ((2, 2), (2,)), {}),
        ((0, 1), ((2, 2), (2, 2)), {}),
        (0, (2, 2), {"strides": 3}),
        (0, (2, 2), {"strides": (1, 3)}),
        (0, (4, 2), {"strides": (9, 3)}),
        (0, (2, 2), {"strides": (1, 1, 1)}),
        (0, (2, 2), {"strides": [1, 1]}),
        (0, (2, 2), {"strides": 1.0}),
        (0, (2, 2), {"strides": (1, 1.5)}),
        ((0, 0), ((2, 2), (2, 2)), {"strides": 1}),
        ((0, 0), ((2, 2), (2, 2)), {"strides": (1, (1,))}),
        (0, (2, 2), {"baselines": [0]}),
        (0, (2, 2), {"baselines": "0"}),
        (0, (2, 2), {"baselines": torch.zeros(3, 3)}),
        (0, (2, 2), {"baselines": torch.zeros(4, 4, 4)}),
        (0, (2, 2), {"baselines": torch.zeros(2, 2, 4, 4)}),
        ((0, 0), ((2, 2), (2, 2)), {"baselines": 0}),
        ((0, 0), ((2, 2), (2, 2)), {"baselines": (0,)}),
        (0, (2, 2), {"target": 3}),
        (0, (2, 2), {"target": "1"}),
        (0, (2, 2), {"target": 1.0}),
        (0, (2, 2), {"target": (1, 1)}),
        (0, (2, 2), {"target": [1]}),
        (0, (2, 2), {"target": [1, 5]}),
        (0, (2, 2), {"target": ["1", "1"]}),
        (0, (2, 2), {"target": [(1, 1), (1, 1)]}),
        (0, (2, 2), {"target": torch.tensor([1, 1, 1])}),
        (0, (2, 2), {"target": torch.tensor([[1, 1]])}),
        (0, (2, 2), {"target": torch.tensor([1, 3])}),
        (0, (2, 2), {"target": torch.tensor(1.0)}),
        (0, (2, 2), {"perturbations_per_eval": 0}),
        (0, (2, 2), {"perturbations_per_eval": 2.0}),
        (0, (2, 2), {"additional_forward_args": (1, 2)}),
    ],
    ids=str,
)
def test_errors_are_captums(inputs: Any, windows: Any, kwargs: dict[str, Any]) -> None:
    tensors = (torch.randn(2, 4, 4), torch.randn(2, 4))

    def given(value: Any) -> Any:
        if isinstance(value, tuple | list):
            return type(value)(given(v) for v in value)
        return tensors[value] if isinstance(value, int) else value

    def function(x: Tensor, y: Tensor | None = None) -> Tensor:
        return Classes()(x)

    kwargs = {"target": 1} | kwargs
    expected = raised(captum.Occlusion, function, given(inputs), windows, **kwargs)
    found = raised(zfcuda.Occlusion, function, given(inputs), windows, **kwargs)
    assert type(found) is type(expected), f"{found!r}, Captum: {expected!r}"


@pytest.mark.parametrize(
    ("function", "kwargs"),
    [
        (lambda x: x.sum(), {"target": 0}),
        (lambda x: x.sum(), {"perturbations_per_eval": 2}),
        (lambda x: x.sum().item(), {"perturbations_per_eval": 2}),
        (lambda x: x.flatten(1).sum(0), {"perturbations_per_eval": 2}),
        (lambda x: x.flatten(1).sum(1), {"target": 0}),
        (lambda x: x.flatten(1).sum(1), {"target": [0, 1]}),
        (lambda x: x.sum().item(), {"target": 0}),
        (lambda x: (x, x), {}),
        (lambda x: (x, x), {"target": 0}),
        (lambda x: None, {}),
        (lambda x: x.flatten(1) > 0, {}),
        (lambda x: 1 / 0, {}),
        (lambda x, y: x, {}),
        (5, {}),
        (nn.Linear(3, 3), {}),
        (nn.Linear(3, 3).eval(), {}),
    ],
)
def test_errors_of_functions_are_captums(function: Any, kwargs: dict[str, Any]) -> None:
    x = torch.randn(2, 3, 4, 4)
    expected = raised(captum.Occlusion, function, x, (3, 2, 2), **kwargs)
    found = raised(zfcuda.Occlusion, function, x, (3, 2, 2), **kwargs)
    assert type(found) is type(expected), f"{found!r}, Captum: {expected!r}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("inputs", "picture"),
        ("sliding_window_shapes", (9, 2)),
        ("strides", (1, 3)),
        ("strides", 0),
        ("baselines", "grey"),
        ("target", 2.5),
        ("perturbations_per_eval", -3),
    ],
)
def test_errors_name_the_argument_and_its_value(name: str, value: Any) -> None:
    arguments = {"inputs": torch.randn(2, 4, 4), "sliding_window_shapes": (2, 2), "target": 1} | {name: value}
    message = str(raised(zfcuda.Occlusion, Classes(), **arguments))
    assert message.startswith(f"{name}: ")
    assert (type(value).__name__ if name == "inputs" else repr(value)) in message


def test_the_rest_of_the_face() -> None:
    ours, theirs = zfcuda.Occlusion(Classes()), captum.Occlusion(Classes())
    assert {n for n in dir(theirs) if not n.startswith("_")} <= set(dir(ours))
    for name in ("multiplies_by_inputs", "use_weights"):
        assert getattr(ours, name) is getattr(theirs, name)
    assert ours.get_name() == theirs.get_name() == "Occlusion"
    assert ours.has_convergence_delta() is theirs.has_convergence_delta() is False
    assert isinstance(ours.forward_func, Classes)
    with pytest.raises(NotImplementedError, match="attribute_future"):
        ours.attribute_future()
    parameters = [inspect.signature(o.attribute).parameters for o in (ours, theirs)]
    assert list(parameters[0]) == list(parameters[1])
    assert [p.default for p in parameters[0].values()] == [p.default for p in parameters[1].values()]
    tunnel = captum.NoiseTunnel(zfcuda.Occlusion(Classes()))
    x = torch.randn(2, 4, 4)
    smooth = tunnel.attribute(x, nt_samples=2, stdevs=0.0, sliding_window_shapes=(2, 2), target=1)
    torch.testing.assert_close(smooth, theirs.attribute(x, (2, 2), target=1))


@pytest.mark.parametrize("per_call", [1, 4, 7])
def test_progress(per_call: int, capsys: pytest.CaptureFixture[str]) -> None:
    occlusion = zfcuda.Occlusion(Classes())
    occlusion.attribute(torch.randn(2, 4, 4), (2, 2), target=1, perturbations_per_eval=per_call, show_progress=True)
    written = capsys.readouterr()
    assert "Occlusion attribution: 100%" in written.err and not written.out
    calls = 1 + -(-9 // per_call)
    assert f"{calls}/{calls}" in written.err
    occlusion.attribute(torch.randn(2, 4, 4), (2, 2), target=1)
    assert not capsys.readouterr().err


def test_progress_of_the_engine(capsys: pytest.CaptureFixture[str], engine: list[Any]) -> None:
    zfcuda.Occlusion(Net().eval()).attribute(torch.randn(1, 3, 12, 12), (3, 4, 4), 4, target=1, show_progress=True)
    assert "Occlusion attribution: 100%" in capsys.readouterr().err and engine


@pytest.mark.parametrize("wrapper", ["", "compile", "parallel"])
@pytest.mark.parametrize("target", [None, 2, [0, 3], torch.tensor([1, 2]), (1,)], ids=str)
@pytest.mark.parametrize("baseline", [None, 0.3, "picture", "channel"])
def test_engine_is_captum(
    wrapper: str, target: Any, baseline: Any, device: torch.device, engine: list[tuple[int, ...]]
) -> None:
    net = Net().to(device).eval()
    images = torch.randn(2, 3, 19, 14, device=device)
    if isinstance(target, Tensor):
        target = target.to(device)
    if isinstance(baseline, str):
        baseline = torch.randn((2, 3, 19, 14) if baseline == "picture" else (3, 1, 1), device=device)
    compiled = {"compile": lambda m: torch.compile(m, backend="eager"), "parallel": nn.DataParallel}.get(wrapper)
    arguments: Any = (images, (3, 6, 5), (1, 4, 3), baseline, target)
    found = zfcuda.Occlusion(compiled(net) if compiled else net).attribute(*arguments)
    assert engine == [(2, 3, 19, 14)]
    expected = captum.Occlusion(net).attribute(*arguments)
    generic = zfcuda.Occlusion(lambda x: net(x)).attribute(*arguments, perturbations_per_eval=5)
    assert len(engine) == 1
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(generic, expected, rtol=1e-4, atol=1e-6)


def test_engine_with_strides_beyond_a_window_that_covers() -> None:
    net = Net().eval()
    same(net, torch.randn(1, 3, 12, 9), (3, 12, 4), (5, 20, 3), target=1)
    assert zfcuda.Occlusion(net).attribute((torch.randn(1, 3, 12, 9),), ((3, 4, 4),), target=1)[0].shape == (
        1,
        3,
        12,
        9,
    )


def test_engine_takes_callable_targets(engine: list[Any]) -> None:
    net, x = Net().eval(), torch.randn(2, 3, 12, 12)
    found = zfcuda.Occlusion(net).attribute(x, (3, 4, 4), (3, 2, 2), target=lambda z: z[:, 0] - z[:, 2])
    assert len(engine) == 1
    expected = captum.Occlusion(lambda x: net(x)[:, 0] - net(x)[:, 2]).attribute(x, (3, 4, 4), (3, 2, 2))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    with pytest.raises(IndexError):
        zfcuda.Occlusion(net).attribute(x, (3, 4, 4), target=4)
    with pytest.raises(AssertionError, match="target"):
        zfcuda.Occlusion(net).attribute(x, (3, 4, 4), target=(1, 1))
    assert len(engine) == 1  # refused before any window


class Batched(nn.Module):
    """Its answer to a picture depends on the others."""

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean((2, 3))
        return means - means.mean(0) + means.square()


class InPlace(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.clamp_(-1).mean((2, 3))


def _channels(_: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    return output * 2


def _hooked(net: Net) -> Net:
    net.conv1.register_forward_hook(_channels)
    return net


def _train(net: Net) -> Net:
    net.norm.train()
    return net


def _statistics(net: Net) -> Net:
    net.norm = nn.BatchNorm2d(6, track_running_stats=False).eval()
    return net


@pytest.mark.parametrize(
    ("model", "change"),
    [
        (_hooked, {}),
        (_train, {}),
        (_statistics, {}),
        (lambda net: Batched().eval(), {}),
        (lambda net: InPlace().eval(), {}),
        (lambda net: nn.Sequential(net, nn.Flatten(0)).eval(), {"target": None}),  # one output of [N * classes]
        (lambda net: nn.Conv2d(3, 4, 3).eval(), {"target": (1, 2, 2)}),
        (lambda net: net.double(), {"inputs": torch.randn(2, 3, 12, 12, dtype=torch.float64)}),
        (lambda net: net, {"sliding_window_shapes": (1, 4, 4), "strides": (1, 4, 4)}),
        (lambda net: net, {"sliding_window_shapes": (2, 4, 4), "strides": (2, 4, 4)}),
    ],
)
def test_what_the_engine_would_do_otherwise_runs_as_it_is(
    model: Callable[[Net], nn.Module], change: dict[str, Any]
) -> None:
    def attributed(occlusion: type) -> Tensor:
        torch.manual_seed(1)
        changed = model(Net().eval())
        inputs = torch.randn(2, 3, 12, 12).mul(3)
        usual = {"inputs": inputs, "sliding_window_shapes": (3, 4, 4), "strides": (3, 4, 4), "target": 1}
        return occlusion(changed).attribute(**(usual | change))

    torch.testing.assert_close(attributed(zfcuda.Occlusion), attributed(captum.Occlusion), rtol=1e-4, atol=1e-6)


def test_a_model_that_the_engine_refuses_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (NotImplementedError, ValueError, RuntimeError):

        def refuse(*args: Any, error: type[Exception] = error, **kwargs: Any) -> Any:
            raise error("model")

        monkeypatch.setattr(attribution, "run_windows", refuse)
        same(Net().eval(), torch.randn(1, 3, 12, 12), (3, 4, 4), (3, 3, 3), target=1)


@pytest.mark.parametrize("generic", [False, True])
def test_leaves_everything_alone(generic: bool) -> None:
    net = Net().eval()
    state = {k: v.clone() for k, v in net.state_dict().items()}
    x = torch.randn(1, 3, 12, 12, requires_grad=True)
    baseline = torch.randn(1, 3, 12, 12, requires_grad=True)
    before = x.detach().clone(), baseline.detach().clone()
    function: Any = (lambda x: net(x)) if generic else net
    found = zfcuda.Occlusion(function).attribute(x, (3, 4, 4), 3, baseline, 1, perturbations_per_eval=3)
    assert torch.equal(x, before[0]) and torch.equal(baseline, before[1])
    assert x.requires_grad and x.grad is None and baseline.grad is None and not found.requires_grad
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in net.parameters())
    assert not net.training and not any(m._forward_hooks for m in net.modules())
    (found * x).sum().backward()  # no inference tensor comes out
    with torch.inference_mode():
        inside = zfcuda.Occlusion(function).attribute(x.detach() * 1, (3, 4, 4), 3, baseline, 1)
    with torch.no_grad():
        torch.testing.assert_close(inside.clone(), found)
    assert torch.is_grad_enabled()


def test_training_mode_stays_and_is_what_runs() -> None:
    net = Net()
    x = torch.randn(3, 3, 12, 12)
    found = zfcuda.Occlusion(net).attribute(x, (3, 4, 4), 4, target=1)
    assert all(m.training for m in net.modules()) and net.norm.num_batches_tracked == 1 + 9
    torch.testing.assert_close(found, captum.Occlusion(net).attribute(x, (3, 4, 4), 4, target=1))


@pytest.mark.parametrize("per_call", [1, 3, 50])
def test_functions_that_work_in_place(per_call: int) -> None:
    x = torch.randn(2, 4, 5)
    before = x.clone()

    def function(x: Tensor) -> Tensor:
        x.mul_(2).sub_(1).unsqueeze_(0)
        return x[0].flatten(1).square()[:, ::3]

    found = zfcuda.Occlusion(function).attribute(x, (2, 2), 2, 0.5, perturbations_per_eval=per_call)
    assert torch.equal(x, before)
    expected = captum.Occlusion(lambda x: function(x.clone())).attribute(x, (2, 2), 2, 0.5)
    torch.testing.assert_close(found, expected)
    with torch.inference_mode():
        inside = zfcuda.Occlusion(function).attribute(x, (2, 2), 2, 0.5, perturbations_per_eval=per_call)
    torch.testing.assert_close(inside.clone(), expected)


def test_calls_are_captums() -> None:
    """The same batches in the same order, but for one call with stand-ins, which shows whether batches are safe."""
    seen: list[Tensor] = []

    def function(x: Tensor, y: Tensor) -> Tensor:
        if type(x) is Tensor:
            seen.extend((x.clone(), y.clone()))
        return x.flatten(1).sum(1)

    same(function, (torch.randn(2, 3, 4), torch.randn(2, 5)), ((2, 3), (2,)), (1, 2), (0.5, -2), None, None, 4)
    half = len(seen) // 2
    torch.testing.assert_close(seen[half:], seen[:half])


def test_memory_format_stays() -> None:
    formats = []

    def function(x: Tensor) -> Tensor:
        formats.append(x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous())
        return x.mean((2, 3))

    x = torch.randn(2, 3, 6, 6).to(memory_format=torch.channels_last)
    same(function, x, (3, 2, 2), 2, None, 1, None, 4)
    assert all(formats[len(formats) // 2 :])


def test_zero_stays_zero_and_what_is_not_finite_stays_in_its_windows() -> None:
    # Of 6 values the last counts, and 0 is not allowed as the first.
    x = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 6.1]])
    found = zfcuda.Occlusion(lambda x: x[:, 5] + x[:, 0].log()).attribute(x, (2,), 1)
    assert found[0, 0] == torch.inf and found[0, 1] == torch.inf
    assert found[0, 2:4].tolist() == [0, 0]
    torch.testing.assert_close(found[0, 4:], torch.tensor([3.05, 6.1]))
    # A broken pixel under the window is replaced.
    x = torch.tensor([[torch.nan, 2.0, 3.0]])
    found = zfcuda.Occlusion(lambda x: x.nan_to_num(9).sum(1)).attribute(x, (1,))
    assert found.tolist() == [[9, 2, 3]]


def test_on_paper() -> None:
    # Windows of 2 at 0, 2 and 4 over 1..5; the last is cut off. Their sums: 3, 7, 5.
    x = torch.arange(1.0, 6.0)[None]
    found = zfcuda.Occlusion(lambda x: x.sum(1)).attribute(x, (2,), 2)
    assert found.tolist() == [[3, 3, 7, 7, 5]]
    overlapping = zfcuda.Occlusion(lambda x: x.sum(1)).attribute(x, (2,))
    assert overlapping.tolist() == [[3, 4, 6, 8, 9]]
