"""Every arm that needs no model on every real set, whole: python bench/results.py --data DIR --out RUNS --page PAGE.md

DIR holds the sets at the places their benchmarks name. RUNS keeps logs and traces, so that a run that was killed goes
on; PAGE is written at the end: docs/results.md is the project's own. `--only NAME` runs some of the sets.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from polyclinic.core.settings import Settings
from polyclinic.evals.benchmarks.table import benchmark
from polyclinic.evals.leakage import sentences_of
from polyclinic.evals.logs import rows_of
from polyclinic.evals.plan import asked_of
from polyclinic.evals.report.summary import summaries
from polyclinic.evals.run import Plan, run
from polyclinic.evals.tables import markdown

EMBEDDED = ("embedded", "embedded-no-retrieval")
CHOICE = (*EMBEDDED, "majority", "random")
PICTURES = (*CHOICE, "brightness")
PLACES = ("constant", *EMBEDDED)
SETS: dict[str, tuple[str, ...]] = {
    "pubmedqa": CHOICE,
    "medmcqa": CHOICE,
    "mmlu_medical": CHOICE,
    "bioasq-yesno": CHOICE,
    "bioasq-factoid": EMBEDDED,
    "bioasq-list": EMBEDDED,
    "mediq": CHOICE,
    "agentclinic": EMBEDDED,
    "vqa_rad-yesno": PICTURES,
    "vqa_rad-open": EMBEDDED,
    "blood_cells": ("tool:blood_cells", "tool:blood_smear_counts", *PLACES),
    "vessels_chase": ("tool:fundus_vessels_net", "tool:fundus_vessels", *PLACES),
    "vessels_drive": ("tool:fundus_vessels_net", "tool:fundus_vessels", *PLACES),
    "nuclei": ("tool:nuclei", "tool:fluorescent_nuclei", "tool:stained_cells", *PLACES),
    "haemorrhage": ("tool:haemorrhage", *PLACES),
    "brain_tumour": ("tool:brain_tumour", *PLACES),
    "brain_tumour-type": ("tool:brain_tumour", *PICTURES),
    "pneumonia": ("tool:pneumonia", *PICTURES),
}
"""Every arm that needs no model, where it can answer; `constant` on a choice is `majority` by another name."""

HEAD = """# Results without a model

Every real set of the data folder, whole, by every arm that needs no served model (where there are options, `constant`
would say what `majority` does); the tables are those of `polyclinic eval report`. The embedded engine quotes, counts
and measures; it does not reason, and most of these questions need that: it stands here as a floor. A trained tool on
the pictures it was trained on measures nothing; the figures of its card stand beside it. Two things to keep in mind:
BCCD's labels miss red cells, so that a constant count is as good as counting what can be seen; and nine numbers of a
picture's brightness alone tell many films of the pneumonia set apart (the arm `brightness`).

Made by `python bench/results.py --data DIR --out RUNS --page docs/results.md`, {cores}.
"""


def measured(names: list[str], data: Path, out: Path, concurrency: int) -> Iterator[tuple[str, str, int, float]]:
    """Runs one arm after the other: set, arm, samples and seconds."""
    for name in names:
        for arm in SETS[name]:
            began = time.perf_counter()
            rows = run([benchmark(name)], [arm], data, out / name, Settings(), Plan(concurrency=concurrency))
            seconds = time.perf_counter() - began
            print(f"{name}, {arm}: {len(rows):,} samples, {seconds:.1f} s", file=sys.stderr, flush=True)
            yield name, arm, len(rows), seconds


def page(names: list[str], out: Path, timed: list[tuple[str, str, int, float]], concurrency: int) -> str:
    """The whole of docs/results.md."""
    folders = [out / name for name in names]
    rows = [row for folder in folders for row in rows_of([folder])]
    total = sum(seconds for *_, seconds in timed)
    lines = [
        "## Seconds", "", f"{total:,.0f} s in all, {concurrency} samples at once; the start of a program, the reading "
        "of a set and its comparison with the index are part of each.", "", "| set | arm | samples | seconds |",
        "|---|---|---|---|",
        *(f"| {name} | {arm} | {n:,} | {seconds:,.1f} |" for name, arm, n, seconds in timed), "",
    ]  # fmt: skip
    tables = markdown(summaries(rows), notes=[*asked_of(folders), *sentences_of(folders)]).removeprefix(
        "# Evaluation\n"
    )
    return HEAD.format(cores="on a machine of two cores") + tables + "\n" + "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--page", type=Path, required=True)
    parser.add_argument("--only", action="append", choices=list(SETS))
    parser.add_argument("--concurrency", type=int, default=8)
    given = parser.parse_args()
    names = given.only or list(SETS)
    timed = list(measured(names, given.data, given.out, given.concurrency))
    given.page.write_text(page(names, given.out, timed, given.concurrency), encoding="utf-8")
    print(given.page)


if __name__ == "__main__":
    main()
