"""What was computed of pictures, kept in a folder, so that no figure computes it again, and a killed one goes on."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from zfcuda.features.codes import Codes, codes
from zfcuda.features.state import OtherStateError, StateFile
from zfcuda.features.strongest_patches import StrongestPatches, strongest_patches
from zfcuda.files.drafts import whole
from zfcuda.files.kept import Kept
from zfcuda.files.tensors import save_tensors
from zfcuda.paper.gallery import Gallery
from zfcuda.version import __version__

Answer = TypeVar("Answer")


class Cache:
    """A folder of what was computed, each file under a name that tells what it depends on.

    Args:
        folder: made where it is missing; None: one that ends with the program.
        most: bytes that stay there; what was not used for longest goes first.

    Two processes may have the same one: files take their places whole, and what both compute is the same.
    """

    def __init__(self, folder: Path | None = None, *, most: int = 4 * 2**30) -> None:
        self.folder = Path(tempfile.mkdtemp() if folder is None else folder)
        if folder is None:
            weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._prune(most)

    def codes(self, gallery: Gallery, layer: str, *, relu: bool = True, progress: bool = False) -> Codes:
        """The codes of all pictures of a gallery; see :func:`zfcuda.codes`."""
        return self._passed(
            self._file(gallery, "codes", {"layer": layer, "relu": relu}),
            lambda state: codes(
                gallery.model,
                gallery.pictures,
                layer,
                relu=relu,
                preprocess=gallery.pictures.preprocess,
                state=state,
                progress=progress,
            ),
        )

    def patches(
        self, gallery: Gallery, layers: Sequence[str], *, top: int = 9, progress: bool = False
    ) -> dict[str, StrongestPatches]:
        """The strongest patches of all units of layers; see :func:`zfcuda.strongest_patches`."""
        return self._passed(
            self._file(gallery, "patches", {"layers": list(layers), "top": top}),
            lambda state: strongest_patches(
                gallery.model,
                gallery.pictures,
                list(layers),
                top=top,
                preprocess=gallery.pictures.preprocess,
                state=state,
                progress=progress,
            ),
        )

    def tensors(
        self, gallery: Gallery, name: str, facts: Mapping[str, Any], work: Callable[[], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """What work gives, computed once.

        Args:
            name: what it is, one word.
            facts: what else it depends on than network and pictures, fit for JSON.
        """
        file = self._file(gallery, name, facts)
        try:
            if file.is_file():
                return load_file(file)
        except SafetensorError:  # damaged: it is computed again
            pass
        found = {key: value.detach().cpu().contiguous().clone() for key, value in work().items()}
        with whole(file) as [draft]:
            save_tensors(found, draft, {})
        return found

    def record(
        self, gallery: Gallery, name: str, facts: Mapping[str, Any], work: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """What work gives, fit for JSON, computed once; arguments as of :meth:`tensors`."""
        file = self._file(gallery, name, facts, ".json")
        try:
            if file.is_file():
                found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
                return found
        except ValueError:  # damaged: it is computed again
            pass
        text = json.dumps(work())
        with whole(file) as [draft]:
            draft.write_text(text + "\n", encoding="utf-8")
        return dict(json.loads(text))  # as the next one gets it

    @contextmanager
    def kept(self, gallery: Gallery, name: str, facts: Mapping[str, Any]) -> Iterator[Kept]:
        """Records by the number of their picture, written one by one: what is there need not be measured again."""
        same = json.loads(json.dumps(dict(facts)))  # a list that was a tuple is the same
        with Kept(self._file(gallery, name, facts, ".jsonl"), {"facts": same}, stays=True) as kept:
            yield kept

    def _passed(self, state: Path, work: Callable[[Path], Answer]) -> Answer:
        """What work makes of its state file; a damaged one, or one of another machine's rounding, is begun anew."""
        try:
            StateFile(state)
        except ValueError:
            state.unlink()
        try:
            return work(state)
        except OtherStateError:
            state.unlink(missing_ok=True)
            return work(state)

    def _prune(self, most: int) -> None:
        """Removes what was not used for longest, until all the rest takes no more than so many bytes."""
        found = []
        for path in self.folder.iterdir():
            with suppress(OSError):  # another process has just removed it
                if path.is_file():
                    found.append((path.stat().st_mtime, path.stat().st_size, path))
        taken = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if taken <= most:
                return
            with suppress(OSError):
                path.unlink()
                taken -= size

    def _file(self, gallery: Gallery, name: str, facts: Mapping[str, Any], ending: str = ".safetensors") -> Path:
        said = json.dumps([__version__, gallery.fingerprint, dict(facts)], sort_keys=True)
        path = self.folder / f"{name}-{hashlib.sha256(said.encode()).hexdigest()[:32]}{ending}"
        with suppress(OSError):
            os.utime(path)  # it is in use, and not the first to be removed
        return path
