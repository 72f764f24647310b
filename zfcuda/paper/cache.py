"""What was computed of pictures, kept in a folder, so that no figure computes it again, and a killed one goes on."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from zfcuda.features.codes import Codes, codes
from zfcuda.features.strongest_patches import StrongestPatches, strongest_patches
from zfcuda.files.drafts import whole
from zfcuda.files.kept import Kept
from zfcuda.files.tensors import save_tensors
from zfcuda.paper.gallery import Gallery


class Cache:
    """A folder of what was computed, each file under a name that tells what it depends on.

    Args:
        folder: made where it is missing; None: one that ends with the program.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._temporary = tempfile.TemporaryDirectory() if folder is None else None
        self.folder = Path(self._temporary.name if self._temporary else folder or "")
        self.folder.mkdir(parents=True, exist_ok=True)

    def codes(self, gallery: Gallery, layer: str, *, relu: bool = True, progress: bool = False) -> Codes:
        """The codes of all pictures of a gallery; see :func:`zfcuda.codes`."""
        state = self._file(gallery, "codes", {"layer": layer, "relu": relu})
        return codes(
            gallery.model,
            gallery.pictures,
            layer,
            relu=relu,
            preprocess=gallery.pictures.preprocess,
            state=state,
            progress=progress,
        )

    def patches(
        self, gallery: Gallery, layers: Sequence[str], *, top: int = 9, progress: bool = False
    ) -> dict[str, StrongestPatches]:
        """The strongest patches of all units of layers; see :func:`zfcuda.strongest_patches`."""
        state = self._file(gallery, "patches", {"layers": list(layers), "top": top})
        return strongest_patches(
            gallery.model,
            gallery.pictures,
            list(layers),
            top=top,
            preprocess=gallery.pictures.preprocess,
            state=state,
            progress=progress,
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
        found = {key: value.detach().cpu().contiguous() for key, value in work().items()}
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
        found = work()
        with whole(file) as [draft]:
            draft.write_text(json.dumps(found) + "\n", encoding="utf-8")
        return found

    @contextmanager
    def kept(self, gallery: Gallery, name: str, facts: Mapping[str, Any]) -> Iterator[Kept]:
        """Records by the number of their picture, written one by one: what is there need not be measured again."""
        with Kept(self._file(gallery, name, facts, ".jsonl"), {"facts": dict(facts)}, stays=True) as kept:
            yield kept

    def _file(self, gallery: Gallery, name: str, facts: Mapping[str, Any], ending: str = ".safetensors") -> Path:
        said = json.dumps([gallery.fingerprint, dict(facts)], sort_keys=True)
        return self.folder / f"{name}-{hashlib.sha256(said.encode()).hexdigest()[:16]}{ending}"
