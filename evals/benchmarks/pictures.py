"""Samples of the labelled sets that recipes train on too: item by item, each with its picture. It knows no set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from ...core.case import Case, Image
from ...core.errors import InputError
from ...tools.learned.training.items import Item
from ..benchmark import unreadable
from ..sample import Mask, Sample, Sought
from .records import BROKEN, samples_of


def samples_in(
    path: Path, *, items: Callable[[Path], list[Item]], make: Callable[[Item], Iterable[Sample]], expected: str
) -> Iterator[Sample]:
    """The samples of every item of the set at `path`, in the order of their ids. Raises InputError."""
    try:
        found = sorted(items(path), key=lambda item: item.id)
    except BROKEN as error:
        raise unreadable(path, expected, error) from error
    return samples_of(path, ((f"item {item.id}", item) for item in found), make, expected)


def opened(item: Item, **known: Any) -> Image:
    """The item's picture with what is stated of it. Raises InputError where one of the item's files is missing."""
    for role, file in item.files.items():
        if not file.is_file():
            raise InputError(
                expected=f"the {role} of {item.id}, {file.name}", got="no such file", fix="unpack the whole set there"
            )
    return Image(path=str(item.files["picture"]), **known)


def vessels(item: Item, *, prefix: str, data_set: str) -> Iterator[Sample]:
    """A photograph of the retina on which the vessels are to be outlined, as the set's first observer did."""
    case = Case(
        id=f"{prefix}-{item.id}",
        question="Where are the vessels of the retina?",
        images=(opened(item, modality="fundus", body_part="eye"),),
    )
    yield Sample(
        case=case,
        target=Mask(path=item.files["vessels"], label="vessels", field=True),
        group=item.group,
        facets={"data set": data_set, "modality": "fundus"},
        sought=Sought(region="vessel_density"),
    )
