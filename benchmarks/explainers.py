"""What explains a class, as zfcuda, Captum and pytorch-grad-cam have it, each at its best: for benchmarks.attribution.

cuDNN is tuned for the others, and Captum gets several batch sizes, the best of which counts.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import zfcuda
from benchmarks.measure import tuned_convolutions

STEPS = 10  # of integrated gradients; as many samples of SmoothGrad
NOISE = 0.15


@dataclass(frozen=True)
class Scene:
    """What every side gets: images [N,3,H,W], the class of each, and the layer of Grad-CAM."""

    images: Tensor
    targets: list[int]
    layer: str

    def alone(self) -> list[Scene]:
        """Each image by itself."""
        return [Scene(self.images[i : i + 1], [target], self.layer) for i, target in enumerate(self.targets)]


Compute = Callable[[nn.Module, Scene], Tensor]


@dataclass(frozen=True)
class Method:
    """A method as each side has it. check: our answer as it is held against Captum's, where random numbers differ.

    captum: one entry for each batch size that is tried.
    """

    title: str
    ours: Compute
    captum: Callable[[int], list[Compute]]
    grad_cam: Compute | None = None
    check: tuple[Compute, Compute] | None = None


# ---------------------------------------------------------------- Captum's


def _attribute(kind: str, model: nn.Module, scene: Scene, **settings: Any) -> Tensor:
    from captum import attr

    with tuned_convolutions():
        found: Tensor = getattr(attr, kind)(model).attribute(scene.images, target=scene.targets, **settings)
    return found


def _captum_cam(model: nn.Module, scene: Scene) -> Tensor:
    from captum.attr import LayerAttribution, LayerGradCam

    with tuned_convolutions():
        cam = LayerGradCam(model, model.get_submodule(scene.layer))
        small = cam.attribute(scene.images, target=scene.targets, relu_attributions=True)
        size = tuple(scene.images.shape[2:])
        found: Tensor = LayerAttribution.interpolate(small, size, interpolate_mode="bilinear")[:, 0].detach()
    return found


def _captum_integrated(batch: int) -> Compute:
    return lambda model, scene: _attribute(
        "IntegratedGradients", model, scene, n_steps=STEPS, internal_batch_size=max(batch, len(scene.images))
    )


def _captum_smooth(samples: int, noise: float = NOISE) -> Compute:
    def compute(model: nn.Module, scene: Scene) -> Tensor:
        from captum.attr import NoiseTunnel, Saliency

        low, high = scene.images.aminmax()
        with tuned_convolutions():
            found: Tensor = NoiseTunnel(Saliency(model)).attribute(
                scene.images,
                nt_type="smoothgrad",
                nt_samples=STEPS,
                nt_samples_batch_size=samples,
                stdevs=noise * float(high - low),
                target=scene.targets,
                abs=False,
            )
        return found

    return compute


# ---------------------------------------------------------------- pytorch-grad-cam's


def grad_cam(model: nn.Module, scene: Scene) -> Tensor:
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    with tuned_convolutions(), GradCAM(model, [model.get_submodule(scene.layer)]) as cam:
        return torch.from_numpy(cam(scene.images, [ClassifierOutputTarget(target) for target in scene.targets]))


def _cam_guided(model: nn.Module, scene: Scene) -> Tensor:
    from pytorch_grad_cam import GuidedBackpropReLUModel

    guided = GuidedBackpropReLUModel(model)
    found = []
    with tuned_convolutions():
        for one in scene.alone():
            map = guided(one.images.detach().clone(), target_category=one.targets[0])
            found.append(torch.from_numpy(map.transpose(2, 0, 1).copy()))
    return torch.stack(found)


def grad_cam_missing() -> str | None:
    """Why pytorch-grad-cam cannot take part."""
    try:
        importlib.import_module("pytorch_grad_cam")
    except Exception as error:  # it is not there, or one of the packages that it needs is not, or another version
        return f"not installed ({type(error).__name__}: {(str(error).strip() or '-').splitlines()[0]})"
    return None


# ---------------------------------------------------------------- the methods

METHODS: dict[str, Method] = {
    "gradient": Method(
        "gradient",
        lambda model, scene: zfcuda.gradient(model, scene.images, target=scene.targets),
        lambda count: [lambda model, scene: _attribute("Saliency", model, scene, abs=False)],
    ),
    "saliency": Method(
        "saliency",
        lambda model, scene: zfcuda.saliency(model, scene.images, target=scene.targets),
        lambda count: [lambda model, scene: _attribute("Saliency", model, scene).amax(1)],
    ),
    "guided": Method(
        "guided backpropagation",
        lambda model, scene: zfcuda.guided_backprop(model, scene.images, target=scene.targets),
        lambda count: [lambda model, scene: _attribute("GuidedBackprop", model, scene)],
        _cam_guided,
    ),
    "gradcam": Method(
        "Grad-CAM",
        lambda model, scene: zfcuda.grad_cam(model, scene.images, layer=scene.layer, target=scene.targets),
        lambda count: [_captum_cam],
        grad_cam,
    ),
    "integrated": Method(
        "integrated gradients",
        lambda model, scene: zfcuda.integrated_gradients(model, scene.images, target=scene.targets, steps=STEPS),
        lambda count: [_captum_integrated(batch) for batch in sorted({count, 16, STEPS * count})],
    ),
    "smoothgrad": Method(
        "SmoothGrad",
        lambda model, scene: zfcuda.smooth_grad(model, scene.images, target=scene.targets, samples=STEPS, noise=NOISE),
        lambda count: [_captum_smooth(samples) for samples in (1, STEPS)],
        check=(
            lambda model, scene: zfcuda.smooth_grad(model, scene.images, target=scene.targets, samples=2, noise=0.0),
            _captum_smooth(1, noise=0.0),
        ),
    ),
}
