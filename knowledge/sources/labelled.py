"""Folders of pictures whose names are the classes: one document per picture, FOLDER/CLASS/picture.png.

The class is the folder that the picture lies in, so TRAIN/CLASS/picture.png reads as well. Its number is no part of
what is said: pictures in `0_normal` have the label `0_normal` and the text "normal".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ...core.case import Modality
from .place import FileSource, written
from .protocol import Document

PICTURES = (".png", ".jpg", ".jpeg")
_MASK = re.compile(r"_mask(_\d+)?$")


@dataclass(kw_only=True)
class Labelled(FileSource):
    kind: ClassVar[str] = "labelled"
    suffixes: ClassVar[tuple[str, ...]] = PICTURES

    def reads(self, path: Path) -> bool:
        return path.suffix.lower() in self.suffixes

    def _documents(self, files: tuple[Path, ...]) -> Iterator[Document]:
        for path in files:
            if path.parent == self.folder:
                self.skipped["a picture in no class's folder"] += 1
            elif _is_mask(path):
                self.skipped["a mask of another picture"] += 1
            else:
                yield self._document(path)

    def _document(self, path: Path) -> Document:
        label, shown = path.parent.name, self.shown(path)
        said = words(label, self.modality)
        return Document(
            id=shown,
            title=said,
            text=said,
            citation=f"{self.citation or self.name}: {shown}",
            licence=self.licence,
            modalities=self.modalities,
            picture=path,
            label=label,
        )


def words(label: str, modality: Modality | None) -> str:
    """What a class's folder says of its pictures, such as `benign (ultrasound)`."""
    said = re.sub(r"^\d+[\s_.-]+(?=\S)", "", label).replace("_", " ").strip() or label
    return f"{said} ({written(modality)})" if modality else said


def _is_mask(path: Path) -> bool:
    """Whether this is `picture_mask.png` or `picture_mask_1.png` beside `picture.png`."""
    bare, masks = _MASK.subn("", path.stem)
    return bool(masks) and path.with_name(bare + path.suffix).is_file()
