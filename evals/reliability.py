"""How often each role and each tool was right in finished runs, by modality: the table that the attending reads.

A role's answer is the option of its opinion, whatever the attending made of it; a tool's is the option of the arm
`tool:NAME`. Pictures that a tool's weights were trained on count for neither. Only questions with options count, and
only those that were answered; of a sample that was asked several times the first answer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..agents.reliability import Reliability, Share, modality_of
from ..agents.roles import load_roles
from ..core.case import Case
from ..core.errors import InputError
from ..core.runs import TRACE, read_run
from ..core.trace import Record
from .logs import rows_of
from .outcomes import ANSWERED, Row
from .plan import check_together
from .results import by_arm
from .statistics.intervals import share_interval

ARM = "team"
"""The arm whose opinions are counted: that of the clinic which will read the table."""


def reliability(folders: Sequence[Path]) -> Reliability:
    """The table of finished runs. Raises InputError for runs that cannot be read as one, a run with nothing to count,
    several engines, or a sample that is there twice for an arm."""
    check_together(folders)
    counted: dict[tuple[str, str, str], list[tuple[bool, str]]] = defaultdict(list)
    engines: set[str] = set()
    benchmarks: set[str] = set()
    empty = dict.fromkeys(folders)
    rows = [(folder, row) for folder in folders for row in rows_of([folder])]
    by_arm(row for _, row in rows)
    for folder, row in rows:
        if row.epoch > 1 or row.said.trained_on_these == "yes":
            continue
        if row.arm == ARM and row.said.trace:
            _, records = read_run(folder / row.said.trace / TRACE)
            engines.add(str(records[0].request["config"]["engine"]))
            found = [("role", name, right) for name, right in _opinions(records, row)]
            modality = modality_of(Case.model_validate(records[0].request["case"]))
        elif row.said.answered_by and row.said.option and row.outcome in ANSWERED:
            found = [("tool", row.said.answered_by, row.outcome == "right")]
            modality = row.facets.get("modality", "not stated")
        else:
            continue
        if found:
            benchmarks.add(row.benchmark)
            empty.pop(folder, None)
        for kind, name, right in found:
            counted[kind, name, modality].append((right, f"{row.benchmark} {row.group}"))
    if empty:
        raise InputError(
            expected=f"answers to questions with options by the arm {ARM} or by tool:NAME",
            got=f"none in {next(iter(empty))}", fix=f"leave that run out, or type polyclinic eval run … --arm {ARM}",
        )  # fmt: skip
    if len(engines) > 1:
        raise InputError(
            expected="runs of one engine", got=", ".join(sorted(engines)), fix="make a table for each engine"
        )
    shares = {key: _share(answers) for key, answers in sorted(counted.items())}
    tables: dict[str, dict[str, dict[str, Share]]] = {"role": {}, "tool": {}}
    for (kind, name, modality), share in shares.items():
        tables[kind].setdefault(name, {})[modality] = share
    return Reliability(
        engine=next(iter(engines), ""), benchmarks=tuple(sorted(benchmarks)), roles=tables["role"],
        tools=tables["tool"],
    )  # fmt: skip


def _opinions(records: Iterable[Record], row: Row) -> list[tuple[str, bool]]:
    """Each role with whether the option of its opinion is the right one; abstentions and free answers are left out."""
    roles = {role.name for role in load_roles()}
    right = row.target.partition(":")[0]
    said = [
        (record.scope, (record.result or {}).get("value") or {})
        for record in records
        if record.kind == "chat" and record.scope in roles and record.error is None
    ]
    opinions = [(name, value.get("opinion") or {}) for name, value in said]
    return [
        (name, opinion["option"] == right)
        for name, opinion in opinions
        if opinion.get("option") and not opinion.get("abstains")
    ]


def _share(answers: Sequence[tuple[bool, str]]) -> Share:
    """The share of answers that are right, each with the group of its sample: the interval is over groups."""
    right = [good for good, _ in answers]
    low, high = share_interval(right, [group for _, group in answers])
    return Share(right=sum(right), n=len(right), low=round(low, 4), high=round(high, 4))
