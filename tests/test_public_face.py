"""The names that programs outside this repository use: where they are, and what they take."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zfcuda
from zfcuda import cli

# Where a name is, and its parameters: names, kinds and defaults.
SIGNATURES = {
    "ops.max_pool2d_with_switches": "(input, kernel_size, stride=None, padding=0, ceil_mode=False, *, relu=False)",
    "ops.max_unpool2d": "(input, switches, kernel_size, stride=None, padding=0, *, output_size)",
    "ops.local_response_norm": "(input, size, alpha=0.0001, beta=0.75, k=1.0)",
    "ops.relu_max_pool2d_lrn": "(input, kernel_size, stride=None, padding=0, ceil_mode=False, "
    "*, size, alpha=0.0001, beta=0.75, k=1.0)",
    "models.zfnet": "(num_classes=1000, *, variant='paper', width=1.0)",
    **{f"models.efficientnet_lite{i}": "(num_classes=1000)" for i in range(3)},
    "models.load": "(name_or_file, *, weights=None, num_classes=None)",
    "models.from_pattern": "(text, input_size, *, round=None)",
    "models.convolutionize": "(model, input_size)",
    "models.load_demo": "(name='demo')",
    "models.summary": "(model, input_size)",
    "models.convert": "(source, out, *, model=None, weights=None, mean=None, force=False)",
    "occlusion_map": "(model, image, *, window=32, stride=8, fill=0.0, target=None, layer=None, unit=None, "
    "method='auto', probability='auto', dtype=None, memory_budget=None, progress=False, output=None)",
    "OcclusionMap.heatmap": "(self, size=None, *, of='score')",
    "OcclusionMap.save": "(self, path, *, kind=None, of=None)",
    "OcclusionMap.load": "(path)",
    "OcclusionMap.image": "(self, kind=None, *, of=None)",
    "OcclusionMap.plot": "(self, ax=None, *, of='log_odds')",
    "OcclusionMap.rectangle": "(self, row, column)",
    "occlusion.areas": "(answer)",
    "occlusion.foreground": "(answer)",
    "Occluder": "(model, image, *, fill=0.0, output=None)",
    "Occluder.__call__": "(self, top, left, height, width)",
    "OcclusionMapper": "(model, image, **arguments)",
    "OcclusionMapper.__call__": "(self, image, *, target=None, unit=None)",
    "Occlusion": "(forward_func)",
    "Occlusion.attribute": "(self, inputs, sliding_window_shapes, strides=None, baselines=None, target=None, "
    "additional_forward_args=None, perturbations_per_eval=1, show_progress=False)",
    "project": "(model, image, layer, *, unit=None, position=None, top=1, lrn='identity')",
    "Projector": "(model, image, layer, *, unit=None, position=None, top=1, lrn='identity')",
    "Projector.__call__": "(self, image)",
    "guided_backprop": "(model, image, *, target=None, layer=None, unit=None, position=None)",
    "gradient": "(model, image, *, target=None, layer=None, unit=None, position=None)",
    "saliency": "(model, image, *, target=None)",
    "integrated_gradients": "(model, image, *, target=None, baseline=0.0, steps=50, rule='gausslegendre')",
    "completeness_gap": "(model, image, attributions, *, target=None, baseline=0.0)",
    "smooth_grad": "(model, image, *, target=None, samples=50, noise=0.15, seed=0)",
    "grad_cam": "(model, image, *, layer=None, target=None)",
    "Preprocess": "(size=224, short_side=256, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), "
    "interpolation='bicubic', order='rgb', mean_image=None)",
    "Preprocess.__call__": "(self, picture)",
    "explain": "(model, pictures, *, out, target=None, classes=None, preprocess=None, window=32, stride=8, layer=None, "
    "fill='grey', output=None, top=4, methods=None, title=None, progress=False)",
    "nearest": "(codes, query, k=9)",
    "embed": "(codes, method='tsne', *, seed=0)",
    "mosaic": "(pictures, points, *, columns=32)",
    "activations": "(model, image, layers)",
    "filters": "(model, layer=None)",
    "dead_units": "(model, pictures, *, layers=None, preprocess=None, state=None, progress=False)",
    "codes": "(model, pictures, layer, *, relu=True, preprocess=None, state=None, progress=False)",
    "Codes.save": "(self, path)",
    "Codes.load": "(path)",
    "faithfulness.pointing_game": "(map, mask, tolerance=15)",
    "faithfulness.pointing_chance": "(mask, tolerance=15)",
    "faithfulness.energy_inside": "(map, mask)",
    "faithfulness.deletion": "(model, image, map, *, target=None, steps=50, fill=0.0)",
    "faithfulness.insertion": "(model, image, map, *, target=None, steps=50, fill='blur')",
    "faithfulness.part_importance": "(model, parts, index, *, target=None, preprocess=None)",
    "faithfulness.PartImportance.rank_correlation": "(self, map)",
    "faithfulness.PartImportance.finds_the_first": "(self, map)",
    "faithfulness.randomization": "(model, image, method, *, target=None, seed=0)",
    "data.Parts.draw": "(self, index, *, part=True, label=None, without=())",
    "data.Parts.pieces": "(self, index)",
    "strongest_patches": "(model, pictures, layers, *, top=9, units=None, preprocess=None, state=None, progress=False)",
    "deep_dream": "(model, image, layer, *, octaves=4, octave_scale=1.4, steps=10, jitter=32, seed=0, rate=1.5, "
    "tile=512, limits=None, animation=None, progress=False)",
    "invert": "(model, image, layer, *, steps=400, tv=3.0, seed=0, norm=None, limits=None, progress=False)",
    "synthesis.inversions": "(model, image, layers, *, steps=400, tv=3.0, seed=0, grid=4, norm=None, limits=None, "
    "progress=False)",
    "maximize": "(model, objective, *, size=None, count=1, steps=256, parameterization='fourier', limits=None, "
    "seed=0, progress=False, animation=None)",
    "fool": "(model, image, target, *, steps=100, limits=None, seed=0, rounded=False, progress=False)",
    "adversarial": "(model, image, *, target=None, method='pgd', norm='inf', epsilon=None, steps=10, limits=None, "
    "seed=0, rounded=False, progress=False)",
    "synthesis.adversaries": "(model, images, *, target=None, method='pgd', norm='inf', epsilon=None, steps=10, "
    "limits=None, seed=0, rounded=False, progress=False)",
    "synthesis.pixel_values": "(model, count=1.0, *, limits=None)",
    "texture": "(sample, size, *, method='tree', model=None, layers=None, seed=0, window=None, progress=False)",
    "transfer_style": "(model, content, style, *, content_layer=None, style_layers=None, content_weight=1.0, "
    "style_weight=25.0, style_size=None, limits=None, steps=100, progress=False)",
    "synthesis.gram": "(maps)",
    "synthesis.grams": "(model, images, layers)",
    "synthesis.style": "(targets, weights=None)",
    "synthesis.StyleNetwork": "(styles=1, *, width=1.0, names=())",
    "synthesis.StyleNetwork.stylize": "(self, image, style=0, *, tile=None)",
    "synthesis.StyleNetwork.draw": "(self, picture, style=0, *, tile=None)",
    "synthesis.StyleNetwork.save": "(self, path, facts=None)",
    "synthesis.StyleNetwork.load": "(path)",
    "network.layers": "(model)",
    "render.picture": "(image)",
    "render.projection": "(signal, *, scale=None, percentile=99.5)",
    "render.heatmap": "(values, low=None, high=None, *, colours='viridis')",
    "render.overlay": "(under, values, *, limit=None, strength=0.85)",
    "render.filters": "(weight, *, common=False, factor=5, columns=None)",
    "render.label_map": f"(labels, *, first=None, categories={zfcuda.render.CATEGORIES})",
    "render.robust_scale": "(signal, percentile=99.5)",
    "render.value_range": "(values)",
    "render.hex_colour": "(colour)",
    "render.gradient": "(colours)",
    "render.grid": "(pictures, columns, *, gap=2, background=(255, 255, 255))",
    "render.enlarged": "(small, factor)",
    "render.outlined": "(under, mask, colour, *, thick=False)",
    "backend": "()",
}
COMMANDS = ["explain", "demo", "patches", "activations", "filters", "dead", "codes", "embed", "truth"]
COMMANDS += ["layers", "summary", "convert", "backend", "train", "transfer", "paper"]
COMMANDS += ["maximize", "fool", "dream", "invert", "texture", "style", "serve", "label"]


def bare(function: Callable[..., Any]) -> str:
    """The signature without its annotations."""
    signature = inspect.signature(function)
    parameters = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in signature.parameters.values()]
    return str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))


@pytest.mark.parametrize("name", SIGNATURES)
def test_signature(name: str) -> None:
    value: Any = zfcuda
    for part in name.split("."):
        value = getattr(value, part)
    assert bare(value) == SIGNATURES[name]


def test_attribute_takes_what_captums_takes() -> None:
    captum = pytest.importorskip("captum.attr")
    assert bare(captum.Occlusion.attribute) == SIGNATURES["Occlusion.attribute"]
    assert bare(captum.Occlusion) == SIGNATURES["Occlusion"]


def test_one_import_is_enough() -> None:
    """In an interpreter of its own, where no other test has imported anything."""
    code = "import zfcuda; zfcuda.ops, zfcuda.models, zfcuda.data, zfcuda.network, zfcuda.occlusion_map, zfcuda.project"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr == ""


def test_training() -> None:
    from zfcuda import train

    assert train.__all__ == ["RECIPES", "Options", "Result", "train"]
    assert bare(train.train) == "(data, out, *, progress=False, command='', **options)"
    assert {"modern", "paper"} <= set(train.RECIPES)
    assert [field.name for field in fields(train.Result)] == ["epoch", "validation", "test", "weights", "facts"]
    options = {"recipe", "model", "width", "weights", "epochs", "batch", "dropout", "seed", "workers", "device"}
    assert options <= {field.name for field in fields(train.Options)}


@pytest.fixture
def net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)).eval()


@pytest.fixture
def image() -> Tensor:
    return torch.rand(3, 20, 24)


@pytest.mark.parametrize("method", ["auto", "incremental", "batched"])
def test_occlusion_map(net: nn.Module, image: Tensor, method: str) -> None:
    result = zfcuda.occlusion_map(net, image, window=8, stride=4, layer="0", method=method)
    assert isinstance(result, zfcuda.OcclusionMap)
    grid = (4, 5)
    kinds = {
        "logits": (torch.float32, (*grid, 5)),
        "score": (torch.float32, grid),
        "probability": (torch.float32, grid),
        "label": (torch.int64, grid),
        "activity": (torch.float32, grid),
        "base_logits": (torch.float32, (5,)),
        "origins": (torch.int64, (*grid, 2)),
    }
    assert {name: (getattr(result, name).dtype, getattr(result, name).shape) for name in kinds} == kinds
    assert result.target == int(result.base_logits.argmax())
    assert result.method in (["incremental", "batched"] if method == "auto" else [method])
    assert isinstance(result.reason, str) and result.reason
    assert result.heatmap().shape == (20, 24) and result.heatmap((10, 12)).shape == (10, 12)
    assert zfcuda.occlusion_map(net, image, window=8, stride=4).activity is None


def test_the_map_is_saved(net: nn.Module, image: Tensor, tmp_path: Any) -> None:
    zfcuda.occlusion_map(net, image, window=8, stride=4).save(tmp_path / "map.npz")
    assert (tmp_path / "map.npz").stat().st_size > 0


def test_the_occluder_takes_any_rectangle(net: nn.Module, image: Tensor) -> None:
    occluder = zfcuda.Occluder(net, image)
    assert occluder.size == (20, 24) and occluder.base_logits.dtype == torch.float32
    assert occluder(3, 4, 8, 9).shape == occluder.base_logits.shape
    assert occluder([3, 4], 5, 8, 9).shape == (2, len(occluder.base_logits))
    assert occluder.method in ("incremental", "batched") and occluder.reason


def test_mapper_and_projector_take_more_images(net: nn.Module, image: Tensor) -> None:
    assert zfcuda.OcclusionMapper(net, image, window=8, stride=4)(image.flip(2)).score.shape == (4, 5)
    assert zfcuda.project(net, image, "0", top=2).shape == (2, 3, 20, 24)
    assert zfcuda.Projector(net, image, "0", top=2)(image.flip(2)).shape == (2, 3, 20, 24)


def test_layers_are_what_layer_takes(net: nn.Module, image: Tensor) -> None:
    names = zfcuda.network.layers(net)
    assert names == ["0", "1", "2", "3", "4"]
    assert zfcuda.project(net, image, names[1]).shape == (1, 3, 20, 24)


def test_models() -> None:
    assert {"lenet5", "alexnet", "zfnet", "vgg16", "resnet50", "googlenet"} <= set(zfcuda.models.NAMES)
    assert all(isinstance(name, str) for name in zfcuda.models.NAMES)
    demo = zfcuda.models.load_demo()
    assert len(demo.classes) > 1 and callable(demo.preprocess)
    assert callable(zfcuda.models.load("lenet5").preprocess)


def test_summary_is_a_table_and_a_sequence(net: nn.Module) -> None:
    table = zfcuda.models.summary(net, (3, 20, 24))
    assert isinstance(table, zfcuda.models.Summary) and isinstance(table, Sequence) and len(table) == 5
    row = table[0]
    assert (row.name, row.kind, row.output_shape) == ("0", "Conv2d", (4, 18, 22))
    assert (row.activation_bytes, row.parameters, row.multiply_adds) == (4 * 4 * 18 * 22, 112, 108 * 18 * 22)
    assert (row.receptive_field.size, row.receptive_field.stride) == (3, 1)
    assert "Conv2d" in str(table)


def test_backend() -> None:
    assert isinstance(zfcuda.backend(), dict)


@pytest.mark.parametrize("words", [["--help"], *([command, "--help"] for command in COMMANDS)], ids=" ".join)
def test_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(words)
    assert stop.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith("usage: zfcuda") and (len(words) > 1 or all(command in said for command in COMMANDS))


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0 and capsys.readouterr().out == f"zfcuda {zfcuda.__version__}\n"


def test_every_public_name_is_there() -> None:
    tree = ast.parse(inspect.getsource(zfcuda))
    typed = {
        alias.name
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert sorted(typed | {"__version__"}) == sorted(zfcuda.__all__) and set(zfcuda.__all__) <= set(vars(zfcuda))


def test_a_command_leaves_torch_alone_until_it_is_needed(tmp_path: Path) -> None:
    """--help, --version and a mistake in the options; what the package has is there for a module of the user's."""
    code = """
import sys
sys.orig_argv = ["python", "-m", "zfcuda", "--help"]
import zfcuda, zfcuda.cli
try:
    zfcuda.cli.main(sys.argv[1:])
except SystemExit:
    pass
assert "torch" not in sys.modules and "numpy" not in sys.modules
if sys.argv[1:] == ["--help"]:  # once, as torch takes seconds
    for name in zfcuda.__all__:
        getattr(zfcuda, name)
    assert "torch" in sys.modules
try:
    zfcuda.nothing
except AttributeError as error:
    print(error)
"""
    for words in (
        ["--help"],
        ["explain", "--help"],
        ["--version"],
        ["explian"],
        ["explain", "x.png", "--methods", "gradcan"],
    ):
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=tmp_path)
        assert done.stdout.endswith("module 'zfcuda' has no attribute 'nothing'\n"), done.stderr


def test_commands_run_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "zfcuda", "--version"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("zfcuda ")
