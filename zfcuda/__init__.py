"""zfcuda shows what a convolutional network looks at (Zeiler & Fergus, arXiv 1311.2901)."""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from zfcuda import _startup
from zfcuda.version import __version__

_startup.end_quietly()  # before torch is imported

if TYPE_CHECKING:
    from zfcuda import data, faithfulness, models, network, ops, render, synthesis
    from zfcuda._extension import backend
    from zfcuda.backward.deconvnet import project
    from zfcuda.backward.grad_cam import grad_cam
    from zfcuda.backward.gradient import gradient
    from zfcuda.backward.guided_backprop import guided_backprop
    from zfcuda.backward.integrated_gradients import completeness_gap, integrated_gradients
    from zfcuda.backward.projector import Projector
    from zfcuda.backward.saliency import saliency
    from zfcuda.backward.smooth_grad import smooth_grad
    from zfcuda.data.preprocess import Preprocess
    from zfcuda.features.activations import activations
    from zfcuda.features.codes import Codes, codes
    from zfcuda.features.dead_units import dead_units
    from zfcuda.features.embed import embed
    from zfcuda.features.filters import filters
    from zfcuda.features.mosaic import mosaic
    from zfcuda.features.nearest import nearest
    from zfcuda.features.strongest_patches import strongest_patches
    from zfcuda.occlusion import Occluder, Occlusion, OcclusionMap, OcclusionMapper, occlusion_map
    from zfcuda.report.api import explain
    from zfcuda.synthesis.adversarial.bounded import adversarial
    from zfcuda.synthesis.adversarial.fool import fool
    from zfcuda.synthesis.dream.deep_dream import deep_dream
    from zfcuda.synthesis.inversion.invert import invert
    from zfcuda.synthesis.maximize import maximize
    from zfcuda.synthesis.texture.texture import texture
    from zfcuda.synthesis.transfer_style import transfer_style

__all__ = [
    "Codes",
    "Occluder",
    "Occlusion",
    "OcclusionMap",
    "OcclusionMapper",
    "Preprocess",
    "Projector",
    "__version__",
    "activations",
    "adversarial",
    "backend",
    "codes",
    "completeness_gap",
    "data",
    "dead_units",
    "deep_dream",
    "embed",
    "explain",
    "faithfulness",
    "filters",
    "fool",
    "grad_cam",
    "gradient",
    "guided_backprop",
    "integrated_gradients",
    "invert",
    "maximize",
    "models",
    "mosaic",
    "nearest",
    "network",
    "occlusion_map",
    "ops",
    "project",
    "render",
    "saliency",
    "smooth_grad",
    "strongest_patches",
    "synthesis",
    "texture",
    "transfer_style",
]

# Where each public name comes from: a module, or the attribute of one.
_HOMES = {
    "Codes": "zfcuda.features.codes",
    "Occluder": "zfcuda.occlusion",
    "Occlusion": "zfcuda.occlusion",
    "OcclusionMap": "zfcuda.occlusion",
    "OcclusionMapper": "zfcuda.occlusion",
    "Preprocess": "zfcuda.data.preprocess",
    "Projector": "zfcuda.backward.projector",
    "activations": "zfcuda.features.activations",
    "adversarial": "zfcuda.synthesis.adversarial.bounded",
    "backend": "zfcuda._extension",
    "codes": "zfcuda.features.codes",
    "completeness_gap": "zfcuda.backward.integrated_gradients",
    "data": "zfcuda.data",
    "dead_units": "zfcuda.features.dead_units",
    "deep_dream": "zfcuda.synthesis.dream.deep_dream",
    "embed": "zfcuda.features.embed",
    "explain": "zfcuda.report.api",
    "faithfulness": "zfcuda.faithfulness",
    "filters": "zfcuda.features.filters",
    "fool": "zfcuda.synthesis.adversarial.fool",
    "grad_cam": "zfcuda.backward.grad_cam",
    "gradient": "zfcuda.backward.gradient",
    "guided_backprop": "zfcuda.backward.guided_backprop",
    "integrated_gradients": "zfcuda.backward.integrated_gradients",
    "invert": "zfcuda.synthesis.inversion.invert",
    "maximize": "zfcuda.synthesis.maximize",
    "models": "zfcuda.models",
    "mosaic": "zfcuda.features.mosaic",
    "nearest": "zfcuda.features.nearest",
    "network": "zfcuda.network",
    "occlusion_map": "zfcuda.occlusion",
    "ops": "zfcuda.ops",
    "project": "zfcuda.backward.deconvnet",
    "render": "zfcuda.render",
    "saliency": "zfcuda.backward.saliency",
    "smooth_grad": "zfcuda.backward.smooth_grad",
    "strongest_patches": "zfcuda.features.strongest_patches",
    "synthesis": "zfcuda.synthesis",
    "texture": "zfcuda.synthesis.texture.texture",
    "transfer_style": "zfcuda.synthesis.transfer_style",
}
# Rooms that take a while to import, and no method needs: there as soon as somebody asks for them.
_ON_DEMAND = ("methods", "paper", "train")


def __getattr__(name: str) -> Any:
    if name in _ON_DEMAND:
        return import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name, obj=sys.modules[__name__])
    module = import_module(_HOMES[name])
    value = module if _HOMES[name] == f"{__name__}.{name}" else getattr(module, name)
    globals()[name] = value
    return value


# A command leaves each name to who asks for it, so that its --help and its mistakes do not wait for torch; a program
# gets all of them, and torch.ops.zfcuda, at once.
if not _startup.is_command(sys.orig_argv):
    for _name in _HOMES:
        __getattr__(_name)
