"""Class names of folders: the same class in two spellings is told, ids of WordNet become ImageNet's names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from zfcuda.class_names import as_compared
from zfcuda.models.architectures import imagenet

_SYNSET = re.compile(r"n\d{8}")


def refuse_two_spellings(names: Iterable[str], where: str) -> None:
    """Refuses names that differ in case, blanks, hyphens, underscores or Unicode form alone.

    Args:
        where: what the error begins with.

    Raises:
        ValueError: naming all of them.
    """
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(key(name), []).append(name)
    found = [" and ".join(shown(each)) for each in alike.values() if len(each) > 1]
    if found:
        raise ValueError(f"{where}: the same class in two spellings: {'; '.join(found)}; make one of them")


def key(name: str) -> str:
    """What is the same for all spellings of a name."""
    return as_compared(unicodedata.normalize("NFKC", name))


def shown(names: Sequence[str]) -> list[str]:
    """Names in quotes, with escapes where they would look the same."""
    if len({unicodedata.normalize("NFC", name) for name in names}) < len(names):
        return [ascii(name) for name in names]
    return [repr(name) for name in names]


def in_words(folders: Sequence[str]) -> list[str]:
    """ImageNet's names of folders that are all called by ids of WordNet; else, and of an unknown id, the folder's."""
    if not all(_SYNSET.fullmatch(name) for name in folders):
        return list(folders)
    known: Mapping[str, str] = dict(zip(imagenet.synsets(), imagenet.classes(), strict=True))
    return [known.get(name, name) for name in folders]
