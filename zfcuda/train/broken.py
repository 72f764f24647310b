"""Pictures that cannot be read: named once, counted, left out; and when so many are, that a run must not go on."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from zfcuda.complaint import one_line, out_of_memory, own, reason

_ENOUGH = 100  # pictures that were asked for, before their share says something of all
_NAMED = 50  # are told one by one; of more, how many there are


@dataclass(frozen=True)
class Broken:
    """A picture that cannot be read: its number, its name, and the reason in one line."""

    index: int
    name: str
    reason: str


def broken(index: int, name: str, error: Exception) -> Broken:
    """What an exception says of a picture.

    Raises:
        Exception: that itself, where memory has run out: the next start may read the picture.
    """
    if out_of_memory(error):
        raise error
    said = one_line(" ".join((str(error) if own(error) else reason(error)).split()))
    shown = one_line(name)
    return Broken(index, name, said.rpartition(f"{shown}: ")[2])  # it may begin with the path


class BrokenPictures:
    """The pictures of a part that cannot be read.

    Attributes:
        found: by number.
    """

    def __init__(
        self, part: str, labels: Sequence[int], classes: Sequence[str], found: dict[int, Broken], *, show: bool = True
    ) -> None:
        """show: whether this process tells of them. found: those of earlier starts, which were told already."""
        self.part, self.found, self.show = part, found, show
        self._labels, self._classes = labels, classes
        self._whole = Counter(labels)  # pictures of each class
        self._lost = Counter(labels[index] for index in found)
        self._asked = self._failed = 0

    def add(self, broken: Sequence[Broken], read: int) -> None:
        """Takes note of a batch. read: how many of it could be read; 0: it is what other processes have found."""
        if read:
            self._asked += read + len(broken)
            self._failed += len(broken)
        for each in broken:
            if each.index not in self.found:
                self.found[each.index] = each
                self._lost[self._labels[each.index]] += 1
                self._tell(each)

    def check(self, *, of_classes: bool = True) -> None:
        """Stops a run that would learn of too little. of_classes: also where one class alone is lost.

        Raises:
            ValueError: all pictures of a class are broken, or more than half of all.
        """
        for label, count in self._lost.items() if of_classes else ():
            if count == self._whole[label]:
                name = one_line(self._classes[label])
                first = next(each for each in self.found.values() if self._labels[each.index] == label)
                raise ValueError(f"data: {self.part}: none of {count:,} pictures of {name} can be read; {_said(first)}")
        for lost, of in ((len(self.found), len(self._labels)), (self._failed, self._asked)):
            if 2 * lost > of and (of == len(self._labels) or of >= _ENOUGH):
                first = next(iter(self.found.values()))
                raise ValueError(f"data: {self.part}: {lost:,} of {of:,} pictures cannot be read; {_said(first)}")

    def _tell(self, each: Broken) -> None:
        if self.show and len(self.found) <= _NAMED:
            more = "; more of them are counted alone" if len(self.found) == _NAMED else ""
            warnings.warn(f"data: {self.part}: left out: {_said(each)}{more}", stacklevel=4)


def _said(each: Broken) -> str:
    return f"{one_line(each.name)}: {each.reason}"
