"""The names of classes, and which class a user means."""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

_SHOWN = 12  # so many names are listed in a message


class ClassNames(list[str]):
    """Names of classes by index, with further names.

    Attributes:
        synonyms: for each class, in the same order, what else it is called; () for a list without such names.
    """

    synonyms: tuple[tuple[str, ...], ...]

    def __init__(self, names: Iterable[str] = (), synonyms: Iterable[Sequence[str]] = ()) -> None:
        super().__init__(names)
        self.synonyms = tuple(map(tuple, synonyms))

    def find(self, text: str) -> int:
        """The index of the class that a text means: its name, else its name in other case, a synonym, a number.

        Between letters, underscores and hyphens are spaces. Commas stand between the names of one class, in the text
        and in the list: "tabby, tabby cat" is "tabby". A number is taken as it is: whether there is such an output, the
        network knows.

        Raises:
            ValueError: there is none, with the names that come near; or the text is the name, or a word in the names,
                of several, which are listed with their indices: "cat" is tabby (281), tiger cat (282), ...
        """
        folded = as_compared(text)
        wanted = set(_parts(text))
        known = [{part for one in (name, *more) for part in _parts(one)} for name, more in self._each()]
        for matches in (
            [i for i, name in enumerate(self) if name == text],
            [i for i, name in enumerate(self) if as_compared(name) == folded],
            [i for i, names in enumerate(known) if wanted and wanted <= names],
        ):
            if len(matches) == 1:
                return matches[0]
            if matches:
                raise ValueError(f"class {text!r}: several are called so: {self._listed(matches)}; give the index")
        if text.strip().isdecimal():
            return int(text)
        words = set(_words(text))
        within = [i for i, names in enumerate(known) if any(words and words <= set(_words(name)) for name in names)]
        if len(within) > 1:
            raise ValueError(f"class {text!r}: several are called so: {self._listed(within)}; say which")
        raise ValueError(f"no class {text!r}; {self._hint(folded, within)}")

    def _each(self) -> Iterable[tuple[str, tuple[str, ...]]]:
        without: tuple[tuple[str, ...], ...] = ((),) * len(self)
        return zip(self, (*self.synonyms, *without), strict=False)

    def _listed(self, indices: Sequence[int]) -> str:
        more = ", ..." if len(indices) > _SHOWN else ""
        return ", ".join(f"{self[i]} ({i})" for i in indices[:_SHOWN]) + more

    def _hint(self, folded: str, within: Sequence[int]) -> str:
        """What a user may have meant: names of which the text is a part, those spelt alike, those of the same noun."""
        owners: dict[str, list[str]] = defaultdict(list)
        nouns: dict[str, list[str]] = defaultdict(list)
        for name, more in self._each():
            for one in (part for names in (name, *more) for part in _parts(names)):
                owners[one].append(name)
                nouns[one.rpartition(" ")[2]].append(name)
        alike, roughly = (
            [name for one in difflib.get_close_matches(folded, owners, 5, cutoff) for name in owners[one]]
            for cutoff in (0.8, 0.5)
        )
        noun = nouns.get(folded.rpartition(" ")[2], [])
        names = list(dict.fromkeys([*(self[i] for i in within), *alike, *(noun or roughly)]))[:5]
        if names:
            return f"did you mean {', '.join(names)}"
        return f"there are {', '.join(self[:_SHOWN])}{', ...' if len(self) > _SHOWN else ''}"


def class_names(names: Any) -> ClassNames | None:
    """Names as ClassNames, themselves where they are so already; None where they are no sequence of strings."""
    if isinstance(names, ClassNames):
        return names
    if isinstance(names, str) or not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        return None
    return ClassNames(names)


def as_compared(text: str) -> str:
    """A name as it is compared: "Tabby_cat " as "tabby cat"."""
    return " ".join(re.sub(r"(?<=\w)[-_](?=\w)", " ", text.casefold()).split())


def _parts(text: str) -> list[str]:
    """The names that commas stand between."""
    return [part for part in map(as_compared, text.split(",")) if part]


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())
