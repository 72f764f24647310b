"""The codes of pictures on the disk, a file for each part and layer, so that a network runs over a picture once."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from zfcuda.data.collection import Collection
from zfcuda.data.preprocessing import AnyPreprocess
from zfcuda.data.sources import Source
from zfcuda.features.state import model_fingerprint
from zfcuda.features.stream import Stream
from zfcuda.files.drafts import whole
from zfcuda.files.tensors import save_tensors
from zfcuda.ranks import Ranks
from zfcuda.train.transfer.grid import Layer
from zfcuda.train.transfer.linear import Coded
from zfcuda.train.transfer.mirrored import Mirrored
from zfcuda.train.transfer.passes import all_codes

_MARK = "zfcuda.train.transfer 1"


@dataclass(frozen=True)
class StoredCodes:
    """The codes of the pictures of one part of a data set, in files of a folder.

    Attributes:
        model: unwrapped; on the device where it runs.
        source: the pictures, with labels.
        preprocess: picture -> Tensor [1,C,H,W]; None where the source has images.
        folder: where the files are; it is there.
        part: what their names begin with.
        mirror: average the code of a picture and of its mirror image.
    """

    model: nn.Module
    source: Source
    preprocess: AnyPreprocess | None
    folder: Path
    part: str
    mirror: bool = False

    def make(self, layers: Sequence[Layer], *, progress: bool = False) -> list[str]:
        """Runs the network for those layers of which there is no file of just these pictures, in one pass for all.

        Returns:
            the layers that it was run for.

        Raises:
            ValueError: no picture could be used, or the disk refuses.
        """
        made: set[str] = set()
        for source, part in self._sources():
            collection = Collection(source, self.preprocess)
            subject = self._subject(collection)
            ranks = Ranks()
            missing = [layer for layer in layers if self._read(layer, part, subject) is None]
            missing = ranks.of_first(missing)  # under torchrun all have to run the same
            if not missing:
                continue
            made |= {layer.name for layer in missing}
            stream = Stream(self.model, collection, [layer.name for layer in missing])
            index, codes = all_codes(stream, missing, self.folder / f"{part}.state", progress=progress)
            if ranks.first:
                for layer in missing:
                    self._write(layer, part, subject, index, codes.pop(layer.name))
            ranks.of_first(None)  # the files are there
        return [layer.name for layer in layers if layer.name in made]

    def read(self, layer: Layer) -> Coded:
        """The codes of a layer that was made, with the labels of their pictures.

        Raises:
            ValueError: there are none of these pictures.
        """
        found = []
        for source, part in self._sources():
            one = self._read(layer, part, self._subject(Collection(source, self.preprocess)))
            if one is None:
                raise ValueError(f"layer: {layer.name!r}: no codes of these pictures in {self.folder}")
            found.append(one)
        labels = self.source.labels
        assert labels is not None
        index, values = found[0]
        for other, mirrored in found[1:]:
            assert torch.equal(index, other)  # what can be read can be mirrored
            values = (values + mirrored) / 2
        return Coded(values, torch.tensor(labels, dtype=torch.int64)[index])

    def _sources(self) -> list[tuple[Source, str]]:
        return [(self.source, self.part), *([(Mirrored(self.source), f"{self.part}-mirrored")] if self.mirror else [])]

    def _subject(self, collection: Collection) -> str:
        """What codes depend on, besides their layer."""
        known = f"{_MARK} {model_fingerprint(self.model)} {collection.fingerprint}"
        return hashlib.sha256(known.encode()).hexdigest()

    def _file(self, layer: Layer, part: str) -> Path:
        name = re.sub(r"[^A-Za-z0-9_.]", "_", layer.name)
        grid = "whole" if layer.grid is None else "x".join(map(str, layer.grid))
        return self.folder / f"{part}-{name}-{grid}.safetensors"

    def _read(self, layer: Layer, part: str, subject: str) -> tuple[Tensor, Tensor] | None:
        """The numbers of pictures and their codes; None where there is no file, or one of something else."""
        file = self._file(layer, part)
        if not file.is_file():
            return None
        try:
            with safe_open(file, framework="pt") as opened:
                if (opened.metadata() or {}) != self._metadata(layer, subject):
                    return None
                return opened.get_tensor("index"), opened.get_tensor("values")
        except (SafetensorError, OSError) as error:
            warnings.warn(f"{file}: a damaged file, made anew ({error})", stacklevel=3)
            return None

    def _write(self, layer: Layer, part: str, subject: str, index: Tensor, values: Tensor) -> None:
        file = self._file(layer, part)
        try:
            with whole(file) as [draft]:
                save_tensors({"index": index, "values": values}, draft, self._metadata(layer, subject))
        except (OSError, SafetensorError) as error:
            raise ValueError(f"out: {file}: cannot be written ({getattr(error, 'strerror', None) or error})") from None

    @staticmethod
    def _metadata(layer: Layer, subject: str) -> dict[str, str]:
        return {"is": _MARK, "layer": json.dumps([layer.name, layer.form]), "subject": subject}
