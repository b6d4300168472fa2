"""What is trained on: items with their groups, how they fall into folds, and the folder they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ....core.canonical import digest
from ....core.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Item:
    """One picture with its files by role. Items of one `group` (patient, volume) are never parted; `kind` is evened
    out over the folds."""

    id: str
    group: str
    files: Mapping[str, Path]
    kind: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Fold:
    """One split: what is trained on, and what is measured on."""

    number: int
    train: tuple[Item, ...]
    test: tuple[Item, ...]


def folds(items: Sequence[Item], count: int, seed: int) -> tuple[Fold, ...]:
    """`count` folds of whole groups, of even size and with even shares of each kind; the order of `items` is nothing.

    Raises InputError for more folds than groups.
    """
    groups = _shuffled_groups(items, seed)
    if not 2 <= count <= len(groups):
        raise InputError(
            expected=f"2 to {len(groups)} folds for {len(groups)} groups of items",
            got=f"{count}",
            fix="choose another number of folds, or name a folder with more data",
        )
    placed: list[list[Item]] = [[] for _ in range(count)]
    for group in groups:
        kind = group[0].kind
        least = min(range(count), key=lambda k: (sum(i.kind == kind for i in placed[k]), len(placed[k]), k))
        placed[least] += group
    listed = [tuple(sorted(test, key=lambda item: item.id)) for test in placed]
    everything = sorted(items, key=lambda item: item.id)
    return tuple(
        Fold(number=k, train=tuple(item for item in everything if item not in test), test=test)
        for k, test in enumerate(listed, 1)
    )


def _shuffled_groups(items: Sequence[Item], seed: int) -> list[list[Item]]:
    """Groups kind by kind, within a kind in an order drawn from `seed`, larger ones first."""
    groups: dict[str, list[Item]] = {}
    for item in sorted(items, key=lambda item: item.id):
        groups.setdefault(item.group, []).append(item)
    drawn = {name: digest([seed, name]) for name in groups}
    names = sorted(groups, key=lambda name: (groups[name][0].kind, -len(groups[name]), drawn[name]))
    return [groups[name] for name in names]


def find_folder(data: Path, name: str, *, holding: str) -> Path:
    """The folder of a data set: `data`/`name`, or `data` itself where `holding` lies in it. Raises InputError."""
    found = try_folder(data, name, holding=holding)
    if found is None:
        raise InputError(
            expected=f"a folder that holds {holding}, or one that holds a folder {name} with it",
            got=f"{str(data)!r}, which does not" if data.is_dir() else f"{str(data)!r}, which is no folder",
            fix=f"name the folder of the data set: --data DIR/{name}",
        )
    return found


def try_folder(data: Path, name: str, *, holding: str) -> Path | None:
    """As `find_folder`; None where the data set is not there."""
    return next((folder for folder in (data / name, data) if (folder / holding).exists()), None)
