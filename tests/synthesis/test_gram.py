"""Gram matrices by hand, and the objective that is made of them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from zfcuda.synthesis import gram, grams, style
from zfcuda.synthesis.watched import Seen


def seen(**maps: Tensor) -> Seen:
    return Seen(torch.zeros(len(next(iter(maps.values()))), 3, 4, 4), maps)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (16, 16)])
def test_the_matrix_of_constant_maps_is_their_product(size: tuple[int, int]) -> None:
    values = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, 1.0]])
    found = gram(values[:, :, None, None].expand(2, 3, *size))
    torch.testing.assert_close(found, values[:, :, None] * values[:, None])


def test_the_matrix_is_the_mean_product_over_all_places() -> None:
    maps = torch.tensor([[[[1.0, 2.0]], [[3.0, -4.0]]]])  # [1,2,1,2]
    torch.testing.assert_close(gram(maps), torch.tensor([[[2.5, -2.5], [-2.5, 12.5]]]))


def test_a_map_that_is_shifted_or_repeated_has_the_same_matrix() -> None:
    maps = torch.randn(2, 4, 6, 5, dtype=torch.float64)
    torch.testing.assert_close(gram(maps.roll((2, 3), (2, 3))), gram(maps))
    torch.testing.assert_close(gram(maps.repeat(1, 1, 2, 3)), gram(maps))
    torch.testing.assert_close(gram(maps.flip(3)), gram(maps))


def test_its_derivative_is_right() -> None:
    maps = torch.randn(2, 3, 2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(gram, maps)
    targets = {"a": gram(torch.randn(1, 3, 3, 3, dtype=torch.float64))}
    assert torch.autograd.gradcheck(lambda x: style(targets).value(seen(a=x)), maps)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_16_bits_add_up_in_32(dtype: torch.dtype) -> None:
    maps = torch.full((1, 2, 64, 64), 200.0, dtype=dtype)
    found = gram(maps)
    assert found.dtype == torch.float32
    assert (found == 40000.0).all()


@pytest.mark.parametrize("shape", [(2, 3), (3, 4, 4), (1, 3, 0, 4)])
def test_what_is_no_map_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"maps: expected \[N,K,h,w\]"):
        gram(torch.zeros(shape))


def test_an_image_has_its_own_style_and_none_where_no_layer_answers() -> None:
    maps = torch.randn(2, 3, 4, 4)
    said = style({"a": gram(maps), "b": gram(100 * maps)})
    torch.testing.assert_close(said.value(seen(a=maps, b=100 * maps)), torch.zeros(2))
    torch.testing.assert_close(said.value(seen(a=0 * maps, b=0 * maps)), torch.full((2,), -1.0))
    torch.testing.assert_close(said.value(seen(a=maps, b=0 * maps)), torch.full((2,), -0.5))  # layers weigh alike


def test_layers_weigh_what_is_said() -> None:
    maps = torch.randn(1, 3, 4, 4)
    targets = {"a": gram(maps), "b": gram(maps), "c": gram(maps)}
    said = style(targets, {"a": 3.0, "b": 1.0, "c": 0.0})
    assert said.layers == ("a", "b")
    torch.testing.assert_close(said.value(seen(a=0 * maps, b=maps)), torch.tensor([-0.75]))


def test_one_target_serves_all_images_or_each_has_its_own() -> None:
    maps = torch.randn(2, 3, 4, 4)
    own = style({"a": gram(maps)}).value(seen(a=maps))
    torch.testing.assert_close(own, torch.zeros(2))
    first = style({"a": gram(maps)[:1]}).value(seen(a=maps))
    assert first[0].abs() < 1e-6 < first[1].abs()


def test_a_target_of_an_image_without_style_is_no_division_by_zero() -> None:
    said = style({"a": torch.zeros(1, 3, 3)}).value(seen(a=torch.zeros(1, 3, 2, 2)))
    assert said.tolist() == [0.0]


@pytest.mark.parametrize(
    ("targets", "weights", "message"),
    [
        ((), None, "targets: expected a Gram matrix"),
        (("a",), {"a": -1.0}, r"weights\['a'\]: expected a number of at least 0, got -1"),
        (("a",), {"a": float("nan")}, r"weights\['a'\]: expected a number"),
        (("a",), {"a": 0}, "weights: expected one above 0"),
        (("a",), {"b": 1.0}, "weights: expected layers of a, got 'b'"),
    ],
)
def test_weights_that_mean_nothing_are_refused(
    targets: tuple[str, ...], weights: dict[str, float] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        style({name: torch.eye(3)[None] for name in targets}, weights)


def test_a_target_of_another_layer_is_refused() -> None:
    with pytest.raises(ValueError, match=r"targets: expected \[1,3,3\] or one of them for layer 'a', got \[1,4,4\]"):
        style({"a": torch.eye(4)[None]}).value(seen(a=torch.zeros(1, 3, 2, 2)))


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5))


def test_grams_are_those_of_the_layers_at_any_size() -> None:
    model, images = network().train(), torch.randn(2, 3, 11, 9)
    found = grams(model, images, ["0", "1"])
    torch.testing.assert_close(found["1"], gram(model[:2](images)))
    assert list(found) == ["0", "1"]
    assert not found["0"].requires_grad
    assert model.training


def test_style_and_content_are_objectives_that_compose() -> None:
    model = network()
    targets = grams(model, torch.randn(1, 3, 8, 8), ["1"])
    said = 2 * style(targets) - style(targets)
    assert said.layers == ("1", "1")
    maps = model[:2](torch.randn(1, 3, 8, 8))
    torch.testing.assert_close(said.value(seen(**{"1": maps})), style(targets).value(seen(**{"1": maps})))


def test_a_vector_and_an_unknown_layer_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"style layer: expected a map \[N,K,h,w\], got a vector \[1,5\] from '3'"):
        grams(network(), torch.randn(1, 3, 8, 8), ["0", "3"])
    with pytest.raises(ValueError, match="layer: Sequential has no layer 'conv9'"):
        grams(network(), torch.randn(1, 3, 8, 8), ["conv9"])
