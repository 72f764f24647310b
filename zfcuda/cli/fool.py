"""``zfcuda fool``: changes a picture a little, so that the network takes it for something else."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from zfcuda.cli.making import Making, add_making, making, pass_on
from zfcuda.complaint import CommandError, one_line

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from zfcuda.cli.options import Verbs
    from zfcuda.synthesis.adversarial.adversary import Adversarial

_USUAL = {"inf": 4.0, "2": 1.0}  # of 255


def add(verbs: Verbs) -> None:
    """Adds the verb and its options."""
    parser = verbs.add_parser("fool", help="change a picture a little, until the network says something else")
    parser.add_argument("picture", metavar="PICTURE", help="a picture file of any kind that Pillow reads")
    parser.add_argument(
        "--target", metavar="CLASS", help="what it shall say, by name or index (default: anything but what it says now)"
    )
    parser.add_argument(
        "--method",
        choices=("ascend", "fgsm", "pgd"),
        help="ascend: up the target's score until it is the answer, without a bound; fgsm, one step, and pgd, several, "
        "stay within --epsilon (default: ascend where there is a --target and no bound, else pgd)",
    )
    parser.add_argument(
        "--norm",
        choices=("inf", "2"),
        help="what --epsilon bounds: each value's change (inf), or their root mean square (2) (default: inf)",
    )
    bound = parser.add_mutually_exclusive_group()
    bound.add_argument("--epsilon", type=float, metavar="N", help="at most so much, of 255 (default: 4; of norm 2: 1)")
    bound.add_argument("--smallest", action="store_true", help="find the smallest epsilon that is enough")
    parser.add_argument("--steps", type=int, metavar="N", help="at most so many (default: 10 of pgd, 100 of ascend)")
    add_making(parser, "out/fool")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from zfcuda.data.pictures import check_path, read_picture

    _check(arguments)
    check_path(arguments.picture)
    with making(arguments) as setting:
        picture = read_picture(arguments.picture)
        image = setting.subject.view(picture)[0].to(setting.device)
        made, interrupted = _made(arguments, setting, image)
        pictures, said = _told(setting, picture, image, made, _method(arguments))
        if made.succeeded and arguments.smallest:
            said.append(f"smallest: epsilon {_of_255(setting, made, _norm(arguments)):.3g} of 255")
        if not made.succeeded and interrupted is None:
            more = "--steps" if _method(arguments) == "ascend" else "--epsilon or --steps"
            said.append(f"not fooled: the network does not say what it should; a larger {more} may do it")
        print("\n".join(said))
        stem = Path(arguments.picture).stem + ("" if arguments.target is None else f"_{arguments.target}")
        for file in setting.write({f"{stem}_{name}": each for name, each in pictures.items()}):
            print(file, flush=True)
        pass_on(interrupted)
    return 0


def _method(arguments: argparse.Namespace) -> str:
    bounded = arguments.epsilon is not None or arguments.smallest or arguments.norm is not None
    return str(arguments.method or ("pgd" if arguments.target is None or bounded else "ascend"))


def _norm(arguments: argparse.Namespace) -> str:
    return str(arguments.norm or "inf")


def _check(arguments: argparse.Namespace) -> None:
    """Refuses options that do not go together."""
    method = _method(arguments)
    if method == "ascend":
        if arguments.target is None:
            raise CommandError("--method ascend: expected a --target to go up to")
        if arguments.epsilon is not None or arguments.smallest or arguments.norm is not None:
            raise CommandError(
                "--method ascend: expected no --epsilon, --norm or --smallest: fgsm and pgd have a bound"
            )
    if method == "fgsm" and arguments.steps is not None:
        raise CommandError("--steps: expected none with --method fgsm, which makes one step")
    if arguments.steps is not None and arguments.steps < 1:
        raise CommandError(f"--steps: expected at least 1, got {arguments.steps}")
    if arguments.epsilon is not None and not 0 < arguments.epsilon <= 255:
        raise CommandError(f"--epsilon: expected pixel values above 0, at most 255, got {arguments.epsilon:g}")


def _made(
    arguments: argparse.Namespace, setting: Making, image: Tensor
) -> tuple[Adversarial, KeyboardInterrupt | None]:
    from zfcuda.autograd import module_of
    from zfcuda.synthesis.adversarial.bounded import attacked
    from zfcuda.synthesis.adversarial.epsilon import pixel_values, root_of
    from zfcuda.synthesis.adversarial.fool import fooled

    method, norm = _method(arguments), _norm(arguments)
    model = module_of(setting.model)
    target = None if arguments.target is None else setting.subject.class_index(arguments.target)
    if method == "ascend":
        assert target is not None
        return fooled(
            model,
            image,
            target,
            steps=arguments.steps or 100,
            limits=setting.limits,
            seed=arguments.seed,
            rounded=True,
            progress=True,
        )
    count = arguments.epsilon or _USUAL[norm]
    epsilon = pixel_values(model, count * (1 if norm == "inf" else root_of(image)), limits=setting.limits)
    made, interrupted = attacked(
        model,
        image,
        target=target,
        method=method,
        norm=norm,
        epsilon="smallest" if arguments.smallest else epsilon,
        steps=arguments.steps or 10,
        limits=setting.limits,
        seed=arguments.seed,
        rounded=True,
        progress=True,
    )
    return made[0], interrupted


def _of_255(setting: Making, made: Adversarial, norm: str) -> float:
    """An epsilon as --epsilon takes it."""
    from zfcuda.synthesis.adversarial.epsilon import pixel_values, root_of

    assert made.epsilon is not None
    unit = pixel_values(setting.model, 1, limits=setting.limits)
    return float((made.epsilon.cpu() / unit).mean()) / (1 if norm == "inf" else root_of(made.image))


def _told(
    setting: Making, picture: Image.Image, image: Tensor, made: Adversarial, method: str
) -> tuple[dict[str, Image.Image], list[str]]:
    """The pictures by their names, and what is printed: of the picture as it is written, read again."""
    from zfcuda.inputs import probabilities
    from zfcuda.synthesis.adversarial.attack import scores_without_gradients
    from zfcuda.synthesis.adversarial.border import with_border
    from zfcuda.synthesis.adversarial.sheet import fool_sheet, magnified, pixels_of

    before, cut = (setting.pixel_range.picture(each[0]) for each in (image, made.image))
    written = with_border(cut, picture, setting.subject.preprocess)
    again = setting.subject.view(written)[0].to(image.device)
    same = again.shape == image.shape and (again - made.image).abs().max() < 0.5 * (made.change.abs().max() + 1e-6)

    def answer(of: Tensor) -> str:
        now = probabilities(scores_without_gradients(setting.model, of))[0]
        index = int(now.argmax())
        return f"{_named(setting, index)}, {100 * float(now[index]):.1f} %"

    change = pixels_of(cut) - pixels_of(before)
    shown, factor = magnified(change)
    most, mean = float(change.abs().max()), float(change.square().mean().sqrt())
    was, now = answer(image), answer(again if same else made.image)
    said = [
        f"before: {was}",
        f"after:  {now}",
        f"change: at most {most:.0f} of 255, {mean:.2g} in the root mean square; {method}, "
        f"{made.steps} step{'' if made.steps == 1 else 's'}",
    ]
    if not same:
        said.append(f"the file, scaled by the network's preprocess: {answer(again)}")
    sheet = fool_sheet(
        [
            ("before", before, was),
            (f"the change, {factor} times; grey is none", shown, f"at most {most:.0f} of 255"),
            ("after", cut, now),
        ]
    )
    return {"fooled": written, "sheet": sheet}, said


def _named(setting: Making, index: int) -> str:
    """A class by name and index."""
    classes = setting.subject.classes
    return f"{one_line(classes[index])} ({index})" if index < len(classes) else f"class {index}"
