"""Random networks by the incremental method against brute force.

ZFCUDA_EXAMPLES=2000 makes a long run of them.
"""

from __future__ import annotations

import copy
import os
from typing import Any

import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

import zfcuda
from tests.harness.random_networks import Case, cases, steep_cases
from tests.occlusion.incremental.definition import METHOD, brute_force, check, deviation

EXAMPLES = int(os.environ.get("ZFCUDA_EXAMPLES", "0"))  # 0: the same few at each run

RANDOM = {
    "deadline": None,
    "derandomize": EXAMPLES == 0,
    # The fixtures are the same for all examples, and large networks are what is wanted.
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
}


def examine(case: Case, device: torch.device, **more: Any) -> zfcuda.OcclusionMap:
    model, image = case.model.to(device), case.image.to(device)
    fill = case.fill.to(device) if isinstance(case.fill, Tensor) else case.fill
    how = {"window": case.window, "stride": case.stride, "fill": fill, "layer": case.layer}
    return check(model, image, **{"together": 32} | how | more)


@settings(max_examples=EXAMPLES or 60, **RANDOM)
@given(case=cases(), budget=st.sampled_from([None, None, None, "least", 1 << 23]))
def test_random_networks(device: torch.device, case: Case, budget: Any) -> None:
    examine(case, device, memory_budget=budget)


@settings(max_examples=max(20, EXAMPLES // 3), **RANDOM)
@given(case=cases(foreign=True))
def test_random_networks_with_steps_that_are_not_local(device: torch.device, case: Case) -> None:
    examine(case, device)


@settings(max_examples=max(10, EXAMPLES // 6), **RANDOM)
@given(case=cases())
def test_random_networks_by_the_method_that_is_chosen(device: torch.device, case: Case) -> None:
    examine(case, device, method="auto")


@settings(max_examples=max(20, EXAMPLES // 3), **RANDOM)
@given(case=cases(coupled=True), method=st.sampled_from(["auto", "batched"]))
def test_random_networks_whose_images_influence_one_another(device: torch.device, case: Case, method: str) -> None:
    """Each window is answered as if it were alone, by a method that says why."""
    found = examine(case, device, method=method, together=1)
    assert found.method == "batched" and any(word in found.reason for word in ("one at a time", "by itself"))


@settings(max_examples=max(40, EXAMPLES // 3), **RANDOM)
@given(case=steep_cases())
def test_random_networks_of_steep_steps(case: Case) -> None:
    """What is not finite is so at the same windows and in the same way; the rest is exact."""
    how = (case.window, case.stride, case.fill)
    expected = brute_force(case.model, case.image, *how)[0]
    with torch.no_grad():
        assume(case.model(case.image[None].clone()).isfinite().all())
    size = {"window": case.window, "stride": case.stride, "fill": case.fill, "method": METHOD}
    try:
        found = zfcuda.occlusion_map(case.model, case.image, **size)
    except RuntimeError as error:  # it may be refused, but not because it was wrong
        assert "incremental" in str(error) and "not the model's own" not in str(error)
        found = zfcuda.occlusion_map(case.model, case.image, **{**size, "method": "auto"})
    odd = ~expected.isfinite()
    torch.testing.assert_close(found.logits[odd].double(), expected[odd].double(), equal_nan=True)
    if odd.all():
        return
    error = deviation(found.logits[~odd], expected[~odd])
    if error > 1 and expected.dtype == torch.float32:  # see check
        precise = brute_force(copy.deepcopy(case.model).double(), case.image.double(), *map(_double, how))[0].float()
        error /= 1 + 4 * deviation(expected[~odd].float(), precise[~odd])
    assert error <= 1, f"{error:.3g} times what is allowed; {found.reason}"


def _double(value: Any) -> Any:
    return value.double() if isinstance(value, Tensor) else value
