"""Networks written as a pattern: what is built, what fits, what is refused and where."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import zfcuda
from zfcuda import models
from zfcuda.models.architectures.local import LocallyConnected2d
from zfcuda.models.architectures.pattern import DEEPEST, PatternError, from_pattern


def layers(text: str, size: tuple[int, int, int] = (3, 32, 32), **options: str) -> str:
    return " ".join(name for name, _ in from_pattern(text, size, **options).named_children())


def message(text: str, size: tuple[int, int, int] = (3, 32, 32)) -> list[str]:
    with pytest.raises(PatternError) as caught:
        from_pattern(text, size)
    assert caught.value.text == text
    return str(caught.value).splitlines()


# ---------------------------------------------------------------- what is built


def test_the_notes_pattern() -> None:
    network = from_pattern("[[conv64 relu]*2 pool]*2 fc256 relu fc10", (3, 32, 32))
    assert [name for name, _ in network.named_children()] == [
        "conv1_1",
        "relu1_1",
        "conv1_2",
        "relu1_2",
        "pool1",
        "conv2_1",
        "relu2_1",
        "conv2_2",
        "relu2_2",
        "pool2",
        "flatten",
        "fc3",
        "relu3",
        "fc4",
    ]
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    assert network.conv1_1.padding == (1, 1) and network.pool1.stride == (2, 2)
    assert network.fc3.in_features == 64 * 8 * 8
    # He's weights: a variance of 2 over the fan-in
    assert network.fc3.weight.std().item() == pytest.approx((2 / 4096) ** 0.5, rel=0.02)
    assert not network.fc3.bias.any()


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("INPUT -> [[CONV64 -> RELU]*2 -> POOL]*2 -> FC10", "[[conv64 relu]*2 pool]*2 fc10"),
        ("conv8*3", "conv8 conv8 conv8"),
        ("[[conv8]*2]*2", "conv8 conv8 conv8 conv8"),
        ("conv8 [relu]", "conv8\n\trelu"),
        ("conv8*2*2", "conv8*4"),
        ("conv8->relu", "conv8 relu"),
        ("maxpool linear10", "pool fc10"),
    ],
)
def test_spellings(text: str, same: str) -> None:
    assert str(from_pattern(text, (3, 32, 32))) == str(from_pattern(same, (3, 32, 32)))


def test_every_layer() -> None:
    text = (
        "conv8/5s3p0 lrn lrn3 local4/3p1 tanh bn avgpool/2 sigmoid conv6/1x3g2d2p0x2 gap fc7 bn dropout0.25 fc3 softmax"
    )
    network = from_pattern(text, (3, 32, 32))
    kinds = {name: type(layer) for name, layer in network.named_children()}
    assert kinds == {
        "conv1_1": nn.Conv2d,
        "norm1_1": nn.LocalResponseNorm,
        "norm1_1b": nn.LocalResponseNorm,
        "local1_2": LocallyConnected2d,
        "tanh1_2": nn.Tanh,
        "bn1_2": nn.BatchNorm2d,
        "avgpool1": nn.AvgPool2d,
        "sigmoid1": nn.Sigmoid,
        "conv2_1": nn.Conv2d,
        "gap": nn.AdaptiveAvgPool2d,
        "flatten": nn.Flatten,
        "fc3": nn.Linear,
        "bn3": nn.BatchNorm1d,
        "drop3": nn.Dropout,
        "fc4": nn.Linear,
        "softmax": nn.Softmax,
    }
    assert network.conv1_1.kernel_size == (5, 5) and network.conv1_1.stride == (3, 3)
    assert network.norm1_1.size == 5 and network.norm1_1b.size == 3
    conv = network.conv2_1
    assert (conv.kernel_size, conv.padding, conv.dilation, conv.groups) == ((1, 3), (0, 2), (2, 2), 2)
    assert network.drop3.p == 0.25
    scores = network.eval()(torch.randn(2, 3, 32, 32))
    torch.testing.assert_close(scores.sum(1), torch.ones(2))


def test_it_is_a_network_like_any_other() -> None:
    network = from_pattern("[conv8 relu avgpool]*2 fc9 relu fc4", (3, 16, 16)).eval()
    image = torch.randn(3, 16, 16)
    assert zfcuda.project(network, image, "conv2_1").shape == (1, 3, 16, 16)
    fast = zfcuda.occlusion_map(network, image, window=4, stride=4, method="incremental")
    slow = zfcuda.occlusion_map(network, image, window=4, stride=4, method="batched")
    torch.testing.assert_close(fast.logits, slow.logits, rtol=1e-4, atol=1e-5)
    local = from_pattern("local4 relu pool fc4", (3, 16, 16)).eval()
    result = zfcuda.occlusion_map(local, image, window=8, stride=8)
    torch.testing.assert_close(result.base_logits, local(image[None])[0].detach())
    # Its filters are applied transposed, each at its place: as in the derivative of half the activation's square.
    pixels = image.clone().requires_grad_()
    (0.5 * local[:2](pixels[None]).max() ** 2).backward()
    torch.testing.assert_close(zfcuda.project(local, image, "relu1_1")[0], pixels.grad)


# ---------------------------------------------------------------- what fits


def test_the_notes_example_of_what_does_not_fit() -> None:
    assert layers("conv96/11x11s4p0", (3, 227, 227)) == "conv1_1"
    reason, text, carets, advice = message("relu conv96/11x11s4p3 relu", (3, 227, 227))
    assert reason == ("text: conv1_1 does not fit: (227 + 2*3 - 11) / 4 + 1 = 56.5 is not whole (height and width)")
    assert text == "    relu conv96/11x11s4p3 relu"
    assert carets == "         ^^^^^^^^^^^^^^^^"
    assert advice == ('what would fit: picture 225 or 229; padding 2 or 4; stride 2 or 3; kernel 9 or 13; round="down"')
    assert "picture 223 or 227;" in message("conv96/11s4p0", (3, 224, 224))[-1]


def test_what_is_said_to_fit_fits() -> None:
    for picture in (225, 229):
        layers("conv96/11x11s4p3", (3, picture, picture))
    for options in ("11s4p2", "11s4p4", "11s3p3", "11s2p3", "9s4p3", "13s4p3"):
        layers(f"conv96/{options}", (3, 227, 227))


def test_a_deep_layer_says_which_pictures_would_do() -> None:
    reason, *_, advice = message("conv8 pool conv8 pool pool conv4 pool pool", (3, 40, 40))
    assert "pool2b" not in reason and "(5 + 2*0 - 2) / 2 + 1 = 2.5" in reason
    assert "picture 32 or 48" in advice and '"up"' in advice
    for n in (32, 48):
        layers("conv8 pool conv8 pool pool conv4 pool", (3, n, n))


def test_height_and_width_are_told_apart() -> None:
    assert "(width)" in message("conv8 pool", (3, 32, 33))[0]
    assert "(height)" in message("conv8/3x1s2x1p0", (3, 32, 32))[0]
    assert layers("conv8/4x5s2x1p0", (3, 32, 32)) == "conv1_1"


def test_a_window_larger_than_the_map() -> None:
    reason, *_, advice = message("conv8 pool*5 conv8/3p0", (3, 64, 64))
    assert "conv2_1: its window of 3 is larger than the map of 2 padded by 0" in reason
    assert "picture 96 or 128; padding 1 or 2; kernel 1 or 2" in advice and "round" not in advice


def test_rounding() -> None:
    text, size = "conv8/3s2p0 relu pool/3s2 fc5", (3, 32, 34)
    down, up = (from_pattern(text, size, round=how) for how in ("down", "up"))
    assert [row.output_shape for row in models.summary(down, size)][2] == (8, 7, 7)
    assert [row.output_shape for row in models.summary(up, size)][2] == (8, 7, 8)
    assert up.pool1.ceil_mode and not down.pool1.ceil_mode
    assert up(torch.zeros(1, *size)).shape == (1, 5)


@pytest.mark.parametrize("text", ["pool/1s3 fc4", "pool/2s3p1 fc4", "avgpool/3s5 fc4", "pool/3s2p1 fc4"])
@pytest.mark.parametrize("length", [5, 6, 7, 8, 9])
def test_rounding_up_counts_windows_as_torch_does(text: str, length: int) -> None:
    """The last window starts inside the map or the padding before it."""
    size = (2, length, length + 1)
    assert from_pattern(text, size, round="up")(torch.zeros(1, *size)).shape == (1, 4)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("text", "reason", "marked"),
    [
        ("", "no layer in it", ""),
        ("conv8 -> foo7 -> pool", "no layer is called 'foo7'; there are: conv", "foo7"),
        ("[conv8 relu", "this bracket is never closed", "["),
        ("conv8 ] relu", "this bracket closes none", "]"),
        ("[]*2 conv8", "a group without layers", "[]"),
        ("*2", "'*' without a layer", "*"),
        ("[conv8]*N", "a positive number", "N"),
        ("conv8*0", "a positive number", "0"),
        ("conv8 relu*", "a positive number", "*"),
        ("[conv8 pool?]*2", "leaves it open", "?"),
        ("conv relu", "conv needs a number of maps", "conv"),
        ("fc", "fc needs a number of units", "fc"),
        ("fc0", "a positive integer", "fc0"),
        ("conv2.5", "a positive integer", "conv2.5"),
        ("relu3", "relu takes no number", "relu3"),
        ("pool3", "a kernel is written pool/3", "pool3"),
        ("relu/3", "relu takes no options", "relu/3"),
        ("conv8/3q2", "'q2' is no option of conv", "q2"),
        ("conv8/3p1p2", "'p2' is no option", "p2"),
        ("pool/2d2", "'d2' is no option of pool", "d2"),
        ("conv8/", "is no option of conv", "conv8/"),
        ("conv8/3s0", "at least 1", "conv8/3s0"),
        ("conv8/4", "an even kernel", "conv8/4"),
        ("pool/2p2", "more than half", "pool/2p2"),
        ("conv8 conv9/g2", "2 groups do not divide 8 maps into 9", "conv9/g2"),
        ("fc8 relu conv3", "conv needs maps, and here is a vector of 8", "conv3"),
        ("gap lrn", "lrn needs maps", "lrn"),
        ("fc8 softmax relu", "nothing can follow softmax", "relu"),
        ("dropout1", "less than 1", "dropout1"),
        ("[[conv4]*1000]*1000", "more than 2000 layers", "[[conv4]*1000]*1000"),
        ("conv8\n  relu foo\npool", "no layer is called 'foo'", "foo"),
        ("[" * (DEEPEST + 1) + "relu", "deeper than", "["),
    ],
)
def test_errors_point_at_the_place(text: str, reason: str, marked: str) -> None:
    with pytest.raises(PatternError) as caught:
        from_pattern(text, (3, 32, 32))
    error = caught.value
    assert reason in str(error)
    assert text[error.start : error.end].startswith(marked) and text[error.start : error.start + 1] == marked[:1]
    _, line, carets, *_ = str(error).splitlines()
    if marked:
        assert line[carets.index("^") : len(carets)].startswith(marked)


def test_refuses_arguments() -> None:
    with pytest.raises(ValueError, match="input_size: "):
        from_pattern("conv8", (3, 0, 4))
    with pytest.raises(ValueError, match=r"round: .*'ceil'"):
        from_pattern("conv8", (3, 4, 4), round="ceil")
    with pytest.raises(ValueError, match=r"text: .*7"):
        from_pattern(7, (3, 4, 4))  # type: ignore[arg-type]


# ---------------------------------------------------------------- any pattern


def test_whatever_builds_runs_and_has_the_shapes_that_its_table_says() -> None:
    pytest.importorskip("hypothesis")
    from hypothesis import HealthCheck, given, settings
    from hypothesis import strategies as st

    options = st.tuples(
        st.sampled_from(["", "1", "2", "3", "5", "1x3", "4x2"]),
        st.sampled_from(["", "s1", "s2", "s3", "s2x1"]),
        st.sampled_from(["", "p0", "p1", "p2", "p1x0"]),
    ).map("".join)
    windows = st.tuples(st.sampled_from(["conv2", "conv4", "local2", "pool", "avgpool"]), options)
    plain = st.sampled_from(
        ["relu", "lrn", "bn", "tanh", "sigmoid", "gap", "fc3", "fc8", "dropout", "conv4/3d2", "softmax"]
    )
    layer = st.one_of(windows.map(lambda x: f"{x[0]}/{x[1]}" if x[1] else x[0]), plain)

    def grouped(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.tuples(st.lists(inner, min_size=1, max_size=3), st.integers(1, 3)).map(
            lambda x: f"[{' '.join(x[0])}]*{x[1]}"
        )

    texts = st.lists(st.recursive(layer, grouped, max_leaves=4), min_size=1, max_size=5).map(" ".join)
    built = []

    @settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(texts, st.integers(1, 3), st.integers(1, 20), st.integers(1, 20), st.sampled_from([None, "down", "up"]))
    def check(text: str, channels: int, height: int, width: int, how: str | None) -> None:
        size = (channels, height, width)
        try:
            network = from_pattern(text, size, round=how).eval()
        except PatternError as error:
            assert 0 <= error.start < error.end <= len(text)
            return
        built.append(text)
        seen, x = [], torch.randn(2, *size)
        with torch.no_grad():
            for module in network:
                x = module(x)
                seen.append(tuple(x.shape[1:]))
        table = models.summary(network, size)
        assert [row.output_shape for row in table] == seen
        assert table.parameters == sum(p.numel() for p in network.parameters())

    check()
    assert len(built) > 20
