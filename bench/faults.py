"""What becomes of a case when the model server fails: every call position, every kind of fault, and an outage.

python bench/faults.py             the matrix: 8 call positions × 8 faults, and 8 faults in a row from each position
python bench/faults.py --outage    50 cases, and 60 s in the middle of them during which the server is gone
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from double import Double, DoubleConfig, serving

from polyclinic import Case, Clinic, Report
from polyclinic.core.settings import Budget, Settings

KINDS = ("500", "429", "drop", "cut", "malformed", "empty", "null", "hang")
POSITIONS = 8  # triage, two turns of three specialists, attending
IN_A_ROW = 8
HANG_S = 0.6


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One run with faults: which, what came of it, and how many requests met the fault."""

    kind: str
    position: int
    count: int
    met: int
    status: str
    right: bool
    said: str

    @property
    def sound(self) -> bool:
        """No wrong answer, and what is missing is said: answered as without faults, or failed with the reason."""
        return self.met > 0 and (self.right or (self.status == "failed" and bool(self.said)))


def case(number: int = 0) -> Case:
    """A three-specialist case with options."""
    return Case(
        id=f"faults-{number}",
        question="Is a pulmonary nodule of 9 mm followed up?",
        options={"A": "Yes, by CT", "B": "No"},
        context=("The nodule measures 9 mm.",),
    )


def clinic(server: Double, runs: Path, *, call_timeout_s: float = 60.0) -> Clinic:
    settings = Settings(engine=server.url, runs=runs, budget=Budget(call_timeout_s=call_timeout_s))
    return Clinic(settings=settings)


def run(server: Double, runs: Path, kind: str, position: int, count: int = 1) -> Outcome:
    """One case with `count` faults of one kind from the `position`-th request on. Raises whatever escapes."""
    server.reset()
    server.configure(fault_from={"index": position, "count": count, "kind": kind})
    asked = clinic(server, runs / f"{kind}-{position}-{count}", call_timeout_s=HANG_S if kind == "hang" else 20.0)
    report = asyncio.run(_asked(asked))
    met = sum(entry["fault"] is not None for entry in server.log())
    said = "; ".join(report.limitations)
    complete = len(report.team) == 3 and "gave no opinion" not in said
    right = report.status == "answered" and report.option == "A" and complete
    whole = report.status == "answered" and report.option == "A" and (complete or "gave no opinion" in said)
    return Outcome(
        kind=kind, position=position, count=count, met=met, status=report.status, right=whole,
        said="" if right else said,
    )  # fmt: skip


async def _asked(asked: Clinic) -> Report:
    return await asked.consult(case())


def matrix(runs: Path, plan: dict[int, tuple[int, ...]]) -> list[Outcome]:
    """Every kind of fault on a server of its own; `plan` says from which positions for each number of faults."""

    def of_kind(kind: str) -> list[Outcome]:
        with serving(DoubleConfig(latency_s=0.01)) as server:
            return [run(server, runs, kind, place, count) for count, places in plan.items() for place in places]

    with ThreadPoolExecutor(len(KINDS)) as pool:
        return [outcome for outcomes in pool.map(of_kind, KINDS) for outcome in outcomes]


def counted(outcomes: list[Outcome], kind: str, count: int) -> str:
    """How the runs with `count` faults of one kind ended."""
    those = [outcome for outcome in outcomes if (outcome.kind, outcome.count) == (kind, count)]
    names = ("answered" if not o.said else "answered, what is missing said" if o.right else o.status for o in those)
    return ", ".join(f"{number} {name}" for name, number in sorted(Counter(names).items()))


def outage(
    server: Double, runs: Path, *, cases: int = 50, seconds: float = 60.0, after_s: float = 2.0
) -> dict[str, Any]:
    """`cases` cases, 16 at a time; `after_s` after the start the server is gone for `seconds`."""

    async def all_of_them() -> list[Report]:
        asked, slots = clinic(server, runs / "outage"), asyncio.Semaphore(16)

        async def one(number: int) -> Report:
            async with slots:
                return await asked.consult(case(number))

        work = asyncio.gather(*map(one, range(cases)))
        await asyncio.sleep(after_s)
        await asyncio.to_thread(server.outage, seconds)
        return await work

    start_s = time.monotonic()
    reports = asyncio.run(all_of_them())
    log = server.log()
    return {
        "answered": sum(report.status == "answered" for report in reports),
        "failed": sum(report.status == "failed" for report in reports),
        "rightly": sum(report.option == "A" for report in reports),
        "opinions missing": sum("gave no opinion" in note for report in reports for note in report.limitations),
        "seconds": round(time.monotonic() - start_s),
        "requests sent": len(log),
        "calls needed": sum(report.usage.total.chat_calls for report in reports),
    }


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--outage", action="store_true")
    options = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.outage:
            with serving(DoubleConfig(latency_s=0.25)) as server:
                for name, value in outage(server, Path(folder)).items():
                    print(f"{name}: {value}")
            return
        everywhere = tuple(range(POSITIONS))
        outcomes = matrix(Path(folder), {1: everywhere, IN_A_ROW: everywhere})
    for count in (1, IN_A_ROW):
        print(f"\n{count} fault(s): answered / failed, of {POSITIONS} positions")
        for kind in KINDS:
            print(f"  {kind:<10}{counted(outcomes, kind, count)}")
    unsound = [outcome for outcome in outcomes if not outcome.sound]
    print(f"\n{len(outcomes)} runs, {len(unsound)} unsound")
    for outcome in unsound:
        print(f"  {outcome}")
    sys.exit(bool(unsound))


if __name__ == "__main__":
    main()
