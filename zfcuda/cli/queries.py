"""The pictures of a folder that are nearest to others, by their codes and by their pixels: in numbers and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zfcuda.complaint import one_line

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from zfcuda.data.collection import Collection
    from zfcuda.features.codes import Codes
    from zfcuda.report import Subject

_SPACES = {"code": "nearest by code ({}), and how far", "pixels": "nearest by pixels (32 x 32), and how far"}
# Where a picture is run in another batch, its code is rounded otherwise.
_TOLERANCE = 1e-3


def found_nearest(
    queries: Sequence[str],
    subject: Subject,
    words: Sequence[str],
    pictures: Collection,
    found: Codes,
    at: Sequence[int],
    count: int,
) -> tuple[Image.Image, list[dict[str, Any]]]:
    """Looks for the pictures nearest to each query, itself aside where it is one of them.

    Args:
        queries: paths.
        words, pictures: a folder, or files, and the pictures in it.
        found, at: the codes, and the index in `pictures` of each.
        count: how many; of fewer pictures than that, all.

    Returns:
        (a sheet of them, the same in numbers).

    Raises:
        ValueError: the codes are of another network, or a query has none.
    """
    import torch

    from zfcuda.data.collection import Collection
    from zfcuda.features.codes import codes
    from zfcuda.features.neighbours import neighbours
    from zfcuda.features.pixels import pixels, pixels_of

    _check_network(subject, pictures, found, at)
    asked = Collection.of(list(queries), preprocess=subject.preprocess)
    own_codes = codes(subject.model, asked, found.layer, relu=found.relu)
    for each in own_codes.skipped:
        raise ValueError(f"--query: {one_line(queries[each.index])}: {each.reason}")
    inside = torch.stack([pixels_of(pictures.picture(index)) for index in at])
    spaces = {
        "code": (found.values, own_codes.values),
        "pixels": (inside, pixels(asked)),
    }
    drawn, numbers = [], []
    for i, path in enumerate(queries):
        own = _own(path, words, pictures, found)
        rows = {space: _row(values, query[i], own, count) for space, (values, query) in spaces.items()}
        shown = {
            _SPACES[space].format(found.layer): [
                (pictures.picture(at[j]), f"{class_of(found, j) or Path(found.names[j]).name}, {distance:.3g}")
                for j, distance in row
            ]
            for space, row in rows.items()
        }
        drawn.append(((asked.picture(i), Path(path).name), shown))
        numbers.append(
            {"name": path}
            | {
                space: [{"name": found.names[j], "class": class_of(found, j), "distance": d} for j, d in row]
                for space, row in rows.items()
            }
        )
    return neighbours(drawn), numbers


def class_of(found: Codes, index: int) -> str | None:
    """The class of a picture, by its name, or by its number where it has none; None where it has no class."""
    label = -1 if found.labels is None else int(found.labels[index])
    if label < 0:
        return None
    return found.classes[label] if label < len(found.classes) else f"class {label}"


def _row(values: Tensor, query: Tensor, own: int | None, count: int) -> list[tuple[int, float]]:
    from zfcuda.features.nearest import nearest

    indices, distances = nearest(values, query, min(len(values), count + (own is not None)))
    found = zip(indices[0].tolist(), distances[0].tolist(), strict=True)
    return [(index, distance) for index, distance in found if index != own][:count]


def _own(path: str, words: Sequence[str], pictures: Collection, found: Codes) -> int | None:
    """Which of the pictures a query is, where it is one of them."""
    file = Path(path).resolve()
    if len(words) == 1 and Path(words[0]).is_dir():
        folder = Path(words[0]).resolve()
        name = file.relative_to(folder).as_posix() if file.is_relative_to(folder) else None
    else:
        known = zip(words, pictures.names, strict=False)  # files in their order; or one word, of drawn ones
        name = next((name for word, name in known if Path(word).resolve() == file), None)
    return found.names.index(name) if name in found.names else None


def _check_network(subject: Subject, pictures: Collection, found: Codes, at: Sequence[int]) -> None:
    """Refuses codes that this network does not give."""
    from zfcuda.features.codes import codes

    again = codes(subject.model, pictures.image(at[0])[None], found.layer, relu=found.relu).values
    expected = found.values[:1]
    if again.shape != expected.shape or (again - expected).norm() > _TOLERANCE * expected.norm():
        raise ValueError(
            f"--codes: of another network than {subject.title}, or of other pictures: {found.names[0]} has another "
            "code before it; --model names the one that they are of"
        )
