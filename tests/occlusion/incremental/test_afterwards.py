"""The model after a map: its new weights count, and it is as it was."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zfcuda
from tests.harness.random_networks import randomise
from tests.occlusion.incremental.definition import METHOD, check, prepared
from tests.occlusion.incremental.networks import ByShape, Plain


def test_new_weights_give_new_answers(image: Tensor) -> None:
    model = prepared(Plain().to(image.device), image)
    answers = [check(model, image).logits]

    def again() -> None:
        answers.append(check(model, image).logits)
        assert not torch.allclose(answers[-1], answers[-2], rtol=1e-3)

    with torch.no_grad():
        model.conv1.weight.mul_(-1)
    again()
    model.conv2.bias.data += 1.5  # which torch does not count as a change
    again()
    model.head.weight = nn.Parameter(model.head.weight.detach() * 2)
    again()
    model.norm.running_mean += 2
    again()
    model.norm.running_var.data.fill_(0.1)
    again()
    model.load_state_dict({name: value * 0.7 for name, value in model.state_dict().items()})
    again()
    model.norm.eps = 0.5
    again()
    model.conv2 = nn.Conv2d(6, 8, 1, device=image.device)
    again()
    model.relu = nn.Tanh()
    again()
    model.conv1.stride = (3, 3)
    again()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
    model(image[None]).square().sum().backward()
    optimiser.step()
    again()
    check(model, image.flip(2))


def test_autograd_works_afterwards(layered: nn.Module, image: Tensor) -> None:
    for model in (layered, prepared(ByShape().to(image.device), image)):
        results = [zfcuda.occlusion_map(model, image, window=6, stride=5, method=METHOD)]
        with torch.inference_mode():
            results.append(zfcuda.occlusion_map(model, image, window=6, stride=5, method=METHOD))
        with torch.no_grad():
            results.append(zfcuda.occlusion_map(model, image, window=6, stride=5, method=METHOD))
        assert not any(t.is_inference() for t in [*model.parameters(), *model.buffers()])
        picture = image[None].clone().requires_grad_()
        model.train()
        model(picture).sum().backward()
        model.eval()
        assert picture.grad is not None and all(p.grad is not None for p in model.parameters())
        for result in results[::2]:
            tensors = [value for value in vars(result).values() if isinstance(value, Tensor)]
            assert len(tensors) >= 7 and not any(t.is_inference() or t.requires_grad for t in tensors)
            weight = torch.ones_like(result.logits, requires_grad=True)
            (result.logits * weight).sum().backward()
            torch.testing.assert_close(weight.grad, result.logits)
        check(model, image)


def test_a_model_made_for_inference_alone(image: Tensor) -> None:
    with torch.inference_mode():
        model = randomise(Plain().to(image.device), 3)
        picture = image.clone()
    check(model, picture)


def test_leaves_the_model_as_it_was(layered: nn.Module, image: Tensor) -> None:
    model = layered.train()
    model.norm.eval()  # frozen by its owner
    model.stem.weight.requires_grad_(False)
    model(image[None].repeat(2, 1, 1, 1)).sum().backward()
    hook = model.mix.register_forward_hook(lambda *_: None)
    model.body.register_full_backward_hook(lambda *_: None)

    def looks() -> list[Any]:
        state: list[Any] = [torch.get_rng_state().tolist(), torch.is_grad_enabled(), torch.get_num_threads()]
        state += [torch.backends.mkldnn.enabled, torch.backends.cudnn.enabled, torch.backends.cudnn.benchmark]
        for name, module in model.named_modules():
            state += [name, module.training, sorted(vars(module)), "forward" in vars(module)]
            state += [list(module._forward_hooks), list(module._forward_pre_hooks), list(module._backward_hooks)]
            for key, tensor in [*module._parameters.items(), *module._buffers.items()]:
                if tensor is not None:
                    gradient = None if tensor.grad is None else tensor.grad.tolist()
                    state += [key, id(tensor), tensor._version, tensor.data_ptr(), tensor.requires_grad]
                    state += [tensor.tolist(), gradient, id(tensor.grad), tensor.stride()]
        return state

    picture = image.clone()
    for method in ("auto", METHOD):
        if method != "auto":
            hook.remove()  # which the engine need not take
        before = looks()
        check_free = {"window": 6, "stride": 5, "method": method}
        zfcuda.occlusion_map(model, image, **check_free, layer="body.0")
        assert looks() == before and torch.equal(image, picture)
        with pytest.raises(ZeroDivisionError):
            zfcuda.occlusion_map(model, image, **check_free, target=lambda z: z[:, 0] / (1 // 0))
        assert looks() == before
    check(model, image)


def test_an_interrupted_run_leaves_the_model_as_it_was(net: nn.Module, image: Tensor) -> None:
    calls = 0

    def interrupt(z: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise KeyboardInterrupt
        return z[:, 0]

    net.train()
    with pytest.raises(KeyboardInterrupt):
        for _ in range(2):
            zfcuda.occlusion_map(net, image, window=6, stride=5, method=METHOD, target=interrupt)
    assert all(module.training for module in net.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
