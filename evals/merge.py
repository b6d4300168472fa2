"""The shards of one run as one run: logs joined, traces beside them. It asks nobody and judges nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..core.errors import InputError, SetupError
from .leakage import FILE as LEAKAGE
from .leakage import leakages
from .logs import LOGS, join, newest_logs, unfinished
from .plan import FILE as PLAN
from .plan import Written, read_plan
from .run import RUNS


def merge(shards: Sequence[Path], out: Path) -> int:
    """Write to `out` what one run without shards would have left there, and return how many logs that is.

    Traces are hard links where the file system allows it, else copies. Raises InputError unless the folders are all
    the shards of one plan, each once and finished with the same benchmarks and arms, and `out` is new or empty; then
    `out` is as it was.
    """
    plan = _whole([read_plan(folder) for folder in shards], shards)
    logs = [newest_logs(folder) for folder in shards]
    _check_same(logs, shards)
    _check_finished(shards)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(expected="a new folder", got=f"{out}, which is not empty", fix="name another with --out")
    try:
        place = out.resolve()
        place.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=place.parent, prefix=f".{place.name}-") as beside:
            whole = Path(beside) / "whole"
            (whole / LOGS).mkdir(parents=True)
            for folder in shards:
                if (folder / RUNS).is_dir():
                    shutil.copytree(folder / RUNS, whole / RUNS, copy_function=_linked, dirs_exist_ok=True)
            if (shards[0] / LEAKAGE).exists():
                shutil.copyfile(shards[0] / LEAKAGE, whole / LEAKAGE)
            for task in logs[0]:
                join([found[task] for found in logs], whole / LOGS)
            plan.write(whole)
            place.mkdir(exist_ok=True)
            for part in sorted(whole.iterdir(), key=lambda part: part.name == PLAN):  # a run is one by its plan
                part.rename(place / part.name)
    except OSError as error:
        raise SetupError(
            expected=f"a folder to write to at {out}", got=error.strerror or str(error), fix="name another with --out"
        ) from error
    return len(logs[0])


def _whole(plans: Sequence[Written], shards: Sequence[Path]) -> Written:
    """The plan of all shards together. Raises InputError when they are not the parts of one."""
    first = plans[0]
    for plan, folder in zip(plans, shards, strict=True):
        unlike = first.unlike(plan)
        unlike += [f"set of {name}" for name in sorted(first.sets.keys() ^ plan.sets.keys())]
        unlike += ["leakage"] if leakages(folder) != leakages(shards[0]) else []
        if unlike:
            raise InputError(
                expected=f"shards of the run in {shards[0]}",
                got=f"{folder}, with another {' and another '.join(unlike)}", fix="name the shards of one run",
            )  # fmt: skip
    parts = first.shard[1]
    there = sorted(plan.shard[0] for plan in plans)
    if any(plan.shard[1] != parts for plan in plans) or there != list(range(1, parts + 1)):
        raise InputError(
            expected=f"each of the {parts} shards once",
            got=", ".join(f"{plan.shard[0]}/{plan.shard[1]}" for plan in plans),
            fix="run the missing ones, and name every folder once",
        )  # fmt: skip
    return first.model_copy(update={"shard": (1, 1)})


def _check_same(logs: Sequence[dict[str, Any]], shards: Sequence[Path]) -> None:
    for found, folder in zip(logs, shards, strict=True):
        unlike = sorted(found.keys() ^ logs[0].keys())
        if unlike:
            raise InputError(
                expected=f"the same benchmarks and arms in {shards[0]} and {folder}",
                got=f"only one of them with {', '.join(unlike)}", fix="finish both with the same options",
            )  # fmt: skip


def _check_finished(shards: Sequence[Path]) -> None:
    for folder in shards:
        arms = read_plan(folder).arms
        if missing := [name for name in unfinished(folder) if arms[name]]:
            raise InputError(
                expected="finished shards", got=f"{folder}, with no whole log of {'; '.join(missing)}",
                fix="type the same polyclinic eval run again: it goes on where it was",
            )  # fmt: skip


def _linked(source: str, target: str) -> None:
    """One of two shards' files: blobs are named by what they hold, so one that is there already is the same."""
    if os.path.exists(target):
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
