"""The logs that inspect-ai writes of a run: which are finished, the rows in them, several as one. It runs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ..core.errors import InputError, MissingExtraError, SetupError
from .outcomes import Row
from .plan import check_together, key, read_plan

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog

LOGS = "logs"
KEY = "polyclinic"
"""Under which a row lies in the metadata of inspect's samples."""


def check_installed() -> None:
    """Raise MissingExtraError without inspect-ai."""
    try:
        import inspect_ai  # noqa: F401
    except ModuleNotFoundError:
        raise MissingExtraError.of("inspect-ai", "eval") from None


def rows_of(folders: Sequence[Path]) -> list[Row]:
    """The rows of finished runs, of one or of several shards: of each benchmark and arm the newest finished log.

    Raises InputError for a folder without one, and for folders that are no parts of one plan.
    """
    check_installed()
    check_together(folders)
    places = [place for folder in folders for _, place in sorted(newest_logs(folder).items())]
    return [row for place in places for row in rows_in(_whole(place))]


def unfinished(folder: Path) -> tuple[str, ...]:
    """What was asked of a run and has no log, or none that can be read: benchmarks, arms. Raises InputError."""
    headers = [_header(place) for place in newest_logs(folder).values()]
    told = [header.eval.metadata or {} for header in headers if header is not None]
    there = {key(str(each.get("benchmark")), str(each["arm"])) for each in told}
    return tuple(name for name in sorted(read_plan(folder).arms) if name not in there)


def newest_logs(folder: Path) -> dict[str, str]:
    """Of each benchmark and arm, by inspect's name of the task, where the newest finished log of a run lies.

    Raises InputError for a folder without one, MissingExtraError without inspect-ai.
    """
    check_installed()
    from inspect_ai.log import list_eval_logs

    newest: dict[str, str] = {}
    logs = list_eval_logs(str(folder / LOGS)) if (folder / LOGS).is_dir() else []
    for place in sorted(logs, key=lambda log: log.name):  # names begin with the time
        header = _header(place.name)
        if header is not None and header.status == "success" and "arm" in (header.eval.metadata or {}):
            newest[header.eval.task] = place.name
    if not newest:
        raise InputError(
            expected=f"finished logs in {folder / LOGS}", got="none",
            fix="type polyclinic eval run … --out " + str(folder),
        )  # fmt: skip
    return newest


def rows_in(log: EvalLog) -> list[Row]:
    """The rows in one of inspect's logs. Raises SetupError for a log that was not finished, InputError for one that
    lacks samples or holds something else."""
    if log.status != "success" or log.samples is None:
        raise SetupError(
            expected="a finished evaluation", got=f"one that is {log.status}: {log.error.message if log.error else ''}",
            fix="type the same polyclinic eval run again: it goes on where it was",
        )  # fmt: skip
    try:
        rows = [Row.model_validate(sample.metadata[KEY]) for sample in log.samples]
    except (KeyError, ValidationError) as error:
        wrong = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (KEY,), "msg": "is not there"}
        raise _damaged(log.location, f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}") from error
    asked = (log.eval.dataset.samples or 0) * (log.eval.config.epochs or 1)
    if len(rows) != asked:
        raise _damaged(log.location, f"{len(rows):,} of {asked:,} samples")
    return sorted(rows, key=lambda row: (row.benchmark, row.arm, row.sample, row.epoch))


def keep_only(log: EvalLog, out: Path) -> None:
    """Remove from a run's folder what a finished log of the same benchmark and arm stands for: logs of killed runs,
    and finished ones that it repeats."""
    from inspect_ai.log import list_eval_logs

    found = {Path(each.name).name: each for each in list_eval_logs(str(out / LOGS))}
    mine = found.pop(Path(log.location).name)
    for name, other in found.items():
        header = _header(other.name)
        same = other.task == mine.task if header is None else header.eval.task == log.eval.task
        if same:
            (out / LOGS / name).unlink(missing_ok=True)


def _header(place: str) -> EvalLog | None:
    """A log without its samples; None for one that a kill tore."""
    from inspect_ai.log import read_eval_log

    try:
        return read_eval_log(place, header_only=True)
    except Exception:  # noqa: BLE001 - a damaged archive fails in whatever reads it, zip, zstd or JSON
        return None


def _whole(place: str) -> EvalLog:
    """A log with its samples. Raises InputError for a damaged one."""
    from inspect_ai.log import read_eval_log

    try:
        return read_eval_log(place)
    except Exception as error:  # as above
        raise _damaged(place, f"{type(error).__name__}: {error}") from error


def _damaged(place: str, got: str) -> InputError:
    return InputError(
        expected=f"a whole log at {place.removeprefix('file://')}",
        got=got[:120],
        fix="delete it, and type the same polyclinic eval run again: what was answered is read from the traces",
    )


def join(places: Sequence[str], out: Path) -> None:
    """Write to the folder `out` one log with the samples of all, its metrics worked out again by inspect."""
    from inspect_ai.log import recompute_metrics, write_eval_log

    logs = [_whole(place) for place in places]
    whole = logs[0]
    whole.samples = sorted(
        (sample for log in logs for sample in log.samples or []), key=lambda sample: (str(sample.id), sample.epoch)
    )
    names = sorted({str(sample.id) for sample in whole.samples})
    whole.eval.dataset.sample_ids, whole.eval.dataset.samples = list(names), len(names)
    if whole.results is not None:
        whole.results.total_samples = whole.results.completed_samples = len(whole.samples)
    recompute_metrics(whole)
    write_eval_log(whole, str(out / Path(places[0]).name))
