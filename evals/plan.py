"""What a run's folder was asked for, in plan.json: a run is taken up only for the same. It asks nobody anything."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..core.canonical import Json, digest
from ..core.case import Case
from ..core.errors import InputError, SetupError
from ..core.frozen import Frozen
from ..core.locked import open_locked
from ..core.whole import write_whole
from .arm import ASKS
from .sample import Sample

FILE = "plan.json"
LOCK = ".lock"


class Written(Frozen):
    """What plan.json says: the part that was asked for, the fingerprint of each set, and by benchmark and arm who the
    arm was, "" where it has not begun."""

    limit: int | None
    epochs: int
    shard: tuple[int, int]
    seed: int
    sets: Mapping[str, str]
    arms: Mapping[str, str] = {}

    def write(self, folder: Path) -> None:
        """Raises SetupError."""
        write_whole(folder / FILE, (self.model_dump_json(indent=1) + "\n").encode())

    def unlike(self, other: Written) -> list[str]:
        """What differs besides the shard, where both say it: names of options, sets and arms."""
        options = [name for name in ("limit", "epochs", "seed") if getattr(self, name) != getattr(other, name)]
        sets = [name for name in self.sets if other.sets.get(name, self.sets[name]) != self.sets[name]]
        both = [name for name in self.arms if self.arms[name] and other.arms.get(name)]
        arms = [f"arm ({name})" for name in both if other.arms[name] != self.arms[name]]
        return [*options, *sorted(f"set of {name}" for name in sets), *sorted(arms)]


@contextmanager
def only_run(out: Path) -> Iterator[None]:
    """The folder `out`, made where there is none, for one run at a time. Raises RunLockedError, SetupError."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        held = open_locked(
            out / LOCK, os.O_CREAT, busy="another run that is writing there",
            fix="wait until it ends, or name another folder with --out",
        )  # fmt: skip
    except OSError as error:
        raise SetupError(
            expected=f"a folder to write to at {out}", got=error.strerror or str(error), fix="name another with --out"
        ) from error
    try:
        yield
    finally:
        os.close(held)


def read_plan(folder: Path) -> Written:
    """What a run's folder was asked for. Raises InputError where there is no plan, or none that is whole."""
    path = folder / FILE
    try:
        return Written.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(
            expected=f"the folder of a run, with {FILE}", got=str(folder), fix="name what --out named"
        ) from error
    except ValidationError as error:
        raise InputError(
            expected=f"the plan of a run in {path}",
            got=f"a damaged file ({error.errors()[0]['msg']})"[:120],
            fix=f"restore it from a copy, or run again with another --out: without it nobody knows what {folder} holds",
        ) from error


def take_up(out: Path, wanted: Written) -> None:
    """Write down what is asked for, or check that it is what the folder holds, where it holds an answer at all.

    Raises InputError, SetupError.
    """
    if (out / FILE).exists() and _answered(out):
        known = read_plan(out)
        unlike = [*known.unlike(wanted), *(["shard"] if known.shard != wanted.shard else [])]
        if unlike:
            raise InputError(
                expected=f"the plan of the run in {out}", got=f"another {' and another '.join(unlike)}",
                fix="name another folder with --out, or give the same options and data",
            )  # fmt: skip
        wanted = wanted.model_copy(
            update={"sets": {**known.sets, **wanted.sets}, "arms": {**wanted.arms, **known.arms}}
        )
    wanted.write(out)


def _answered(out: Path) -> bool:
    """Whether a run's folder holds an answer or a log; one that was refused or found no server may hold neither."""
    return any(next(out.glob(found), None) for found in ("logs/*.eval", "runs/*/*/*/*.json", "runs/*/*/*/*/*.json*"))


def key(benchmark: str, arm: str) -> str:
    """What an arm on a benchmark is called in a plan."""
    return f"{benchmark}, {arm}"


def begun(plan: Written) -> set[str]:
    """The benchmarks of which an arm was asked something."""
    return {name.rpartition(", ")[0] for name, identity in plan.arms.items() if identity}


def check_arm(out: Path, benchmark: str, name: str, identity: str) -> None:
    """Write down who answers, or check that it is who did. Raises InputError: its answers would be another's."""
    plan = read_plan(out)
    own = key(benchmark, name)
    if (plan.arms.get(own) or identity) != identity:
        raise InputError(
            expected=f"the arm {name} as it was when the run in {out} began",
            got="another model, sampling, index, set of tools or version of polyclinic",
            fix="name another folder with --out, or give the same options",
        )  # fmt: skip
    plan.model_copy(update={"arms": {**plan.arms, own: identity}}).write(out)


def check_together(folders: Sequence[Path]) -> None:
    """Raise InputError unless the runs can be read as one: where two asked the same set, as shards of one plan."""
    plans = [(folder, read_plan(folder)) for folder in folders] if len(folders) > 1 else []
    for number, (folder, plan) in enumerate(plans):
        for other, before in plans[:number]:
            if not plan.sets.keys() & before.sets.keys():
                continue
            unlike = [*before.unlike(plan), *(["number of shards"] if plan.shard[1] != before.shard[1] else [])]
            if unlike:
                raise InputError(
                    expected=f"{folder} to be of one plan with {other}", got=f"another {' and another '.join(unlike)}",
                    fix="report each by itself, or hold one against the other with polyclinic eval compare",
                )  # fmt: skip


def said_of(folders: Sequence[Path]) -> tuple[str, ...]:
    """What a reader must know of the runs in folders that are read together: who was asked, and which shards are not
    among them."""
    shards: dict[int, set[int]] = {}
    for part, parts in (read_plan(folder).shard for folder in folders):
        shards.setdefault(parts, set()).add(part)
    parted = (
        f"Of {parts} shards {', '.join(map(str, sorted(there)))} {'is' if len(there) == 1 else 'are'} here: every "
        "figure is of a part of the samples."
        for parts, there in sorted(shards.items())
        if len(there) < parts
    )
    return (*asked_of(folders), *parted)


def asked_of(folders: Sequence[Path]) -> tuple[str, ...]:
    """Which engine, by name and model, the arms asked that ask one."""
    engines: dict[str, set[str]] = {}
    for name, identity in (each for folder in folders for each in read_plan(folder).arms.items()):
        engine, asks, _ = identity.partition(ASKS)
        if asks:
            engines.setdefault(engine, set()).add(name.rpartition(", ")[2])
    return tuple(f"Asked of {engine}: {', '.join(sorted(arms))}." for engine, arms in sorted(engines.items()))


def other_sets(first: Path, second: Path) -> tuple[str, ...]:
    """The benchmarks whose samples were not the same, word for word and pixel for pixel, in two runs."""
    own, other = read_plan(first).sets, read_plan(second).sets
    return tuple(name for name in sorted(own.keys() & other.keys()) if own[name] != other[name])


def fingerprint(samples: Sequence[Sample]) -> str:
    """A hash of all that a set is, wherever its files lie: questions, keys, what a patient knows, pixels."""
    hashed: dict[str, Json] = {}
    return digest([_content(sample, hashed) for sample in samples])


def _content(value: Any, hashed: dict[str, Json]) -> Json:
    """A value as JSON, with what is in a file in place of where it lies; `hashed` holds what was read before."""
    if isinstance(value, Case):
        images = [_file(image.path, hashed) if image.path else image.blob for image in value.all_images()]
        told = value.model_dump(mode="json")
        for image in (*told["images"], *(image for visit in told["visits"] for image in visit["images"])):
            del image["path"]
        return [told, images]
    if isinstance(value, Path):
        return _file(str(value), hashed)
    if is_dataclass(value):
        return {type(value).__name__: [_content(getattr(value, each.name), hashed) for each in fields(value)]}
    if isinstance(value, Mapping):
        return {str(key): _content(value[key], hashed) for key in value}
    return [_content(each, hashed) for each in value] if isinstance(value, tuple) else value


def _file(place: str, hashed: dict[str, Json]) -> Json:
    """Size and hash of a file, or of each in a folder (a DICOM series); the place itself where there is neither."""
    if place not in hashed:
        path = Path(place)
        files = sorted(path.iterdir()) if path.is_dir() else [path] if path.is_file() else []
        hashed[place] = [_hash(file) for file in files if file.is_file()] or place
    return hashed[place]


def _hash(path: Path) -> Json:
    try:
        with path.open("rb") as file:
            return [os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest()]
    except OSError as error:
        raise InputError(
            expected=f"a readable picture at {path}", got=error.strerror or str(error), fix="check the data set"
        ) from error
