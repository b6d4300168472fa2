"""Every figure of speed and robustness, each beside a reference in the same run; `make bench` runs all of it.

python bench/run.py [PART …]     prints the tables and writes them into docs/benchmarks.md; about ten minutes in all

basics    start-up, first answer, replay, journal, graph and trace
serving   Polyclinic on the controlled model server, beside the same calls written directly, an agent, a single call
faults    every fault at every call of a case, and an outage of 60 s in the middle of 50 cases
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faults
import serving
from double import DoubleConfig

from polyclinic import Case, Clinic
from polyclinic.agents.engines.scripted import ScriptedEngine
from polyclinic.agents.tasks import (
    ClaimDraft,
    OpinionDraft,
    Pick,
    SearchRequest,
    SpecialistTurn,
    Task,
    TriagePlan,
    Verdict,
)
from polyclinic.core.runs import read_run
from polyclinic.core.trace import TraceFile

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
PROGRAM = str(Path(sys.executable).with_name("polyclinic"))
TEAM = ("cardiology", "pulmonology", "radiology")
Row = tuple[str, ...]


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[])
    for part in asked.parse_args().parts or PARTS:
        print(f"== {part}", file=sys.stderr)
        text = PARTS[part]()
        print(f"{text}\n")
        page = PAGE.read_text(encoding="utf-8")
        start, end = f"<!-- {part} -->\n", f"<!-- /{part} -->"
        before, after = page.split(start)[0], page.split(end)[1]
        machine = f"Measured on {os.cpu_count()} shared cores, Python {platform.python_version()}."
        PAGE.write_text(f"{before}{start}{machine}\n\n{text}\n{end}{after}", encoding="utf-8")


def basics() -> str:
    """The table of what needs no server."""
    rows: list[Row] = [("what", "measured", "reference in the same run", "target")]
    with tempfile.TemporaryDirectory() as folder:
        for measure in (start_up, first_answer, replay, journal, graph_and_trace):
            print(f"measuring {measure.__name__.replace('_', ' ')} …", file=sys.stderr)
            rows += measure(Path(folder))
    return _table(rows)


def served() -> str:
    """The table of `serving`."""
    return _table(serving.rows())


def faulty() -> str:
    """The tables of `faults`: the matrix, and the outage."""
    everywhere = tuple(range(faults.POSITIONS))
    rows: list[Row] = [("fault", "once, at each of 8 calls", "8 in a row, from each of 8 calls")]
    with tempfile.TemporaryDirectory() as folder:
        outcomes = faults.matrix(Path(folder), {1: everywhere, faults.IN_A_ROW: everywhere})
        for kind in faults.KINDS:
            states = [faults.counted(outcomes, kind, count) for count in (1, faults.IN_A_ROW)]
            rows.append((kind, *states))
        print("an outage of 60 s in the middle of 50 cases …", file=sys.stderr)
        with serving.serving(DoubleConfig(latency_s=0.25)) as server:
            seen = faults.outage(server, Path(folder))
    unsound = sum(not outcome.sound for outcome in outcomes)
    told = "; ".join(f"{name}: {value}" for name, value in seen.items())
    return (
        f"{_table(rows)}\n\n{len(outcomes)} cases, {unsound} of them crashed, answered wrongly or did not say what was "
        f"missing.\n\nAn outage of 60 s in the middle of 50 cases, 16 at a time: {told}."
    )


def _table(rows: list[Row]) -> str:
    lines = [rows[0], ("---",) * len(rows[0]), *rows[1:]]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)


def start_up(folder: Path) -> list[Row]:
    """`--help` beside an interpreter that does nothing."""
    help_s = _median_s(lambda: _command("--help"), 9)
    bare_s = _median_s(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True), 9)
    return [("`polyclinic --help`", f"{help_s:.2f} s", f"bare Python {bare_s:.2f} s", "< 0.3 s")]


def first_answer(folder: Path) -> list[Row]:
    """A real image case in a new process; beside it the imports it cannot do without."""
    runs = folder / "first"
    ask_s = _median_s(lambda: _command("ask", "examples/retina.yaml", "--json", "--runs", str(runs)), 3)
    code = "import langgraph.graph, pydantic, numpy, scipy.ndimage, skimage.filters, faiss, bm25s"
    imports_s = _median_s(lambda: subprocess.run([sys.executable, "-c", code], check=True), 3)
    return [
        ("first answer, `ask examples/retina.yaml`", f"{ask_s:.1f} s", f"its imports alone {imports_s:.1f} s", "< 5 s")
    ]


def replay(folder: Path) -> list[Row]:
    """Replaying the retina run, after start-up, beside reading and checking its trace."""
    trace = next((folder / "first").glob("retina-*/trace.jsonl"))
    clinic = Clinic(runs=folder / "first")
    asyncio.run(clinic.replay(trace))
    replay_s = _median_s(lambda: asyncio.run(clinic.replay(trace)), 15)
    read_s = _median_s(lambda: read_run(trace), 15)
    records = len(read_run(trace)[1])
    return [
        (
            f"replay of that run ({records} records)",
            f"{1000 * replay_s:.0f} ms",
            f"reading and checking the trace {1000 * read_s:.1f} ms",
            "< 100 ms",
        )
    ]


def journal(folder: Path) -> list[Row]:
    """Appending a record of about 5 kB beside writing the same bytes."""
    file = TraceFile(folder / "journal.jsonl")
    fields: dict[str, Any] = {"trace_id": "0" * 32, "span_id": "0" * 16, "start_ns": 0, "end_ns": 1}
    request = {"messages": [{"role": "user", "content": "word " * 950}]}
    count = 2000
    append_s = _once_s(lambda: [file.append(kind="chat", name="x", request=request, **fields) for _ in range(count)])
    file.close()
    line = (folder / "journal.jsonl").read_bytes().split(b"\n", 1)[0] + b"\n"
    fd = os.open(folder / "raw", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    raw_s = _once_s(lambda: [os.write(fd, line) for _ in range(count)])
    os.close(fd)
    return [
        (
            f"journal, one record of {len(line) / 1000:.1f} kB",
            f"{1e6 * append_s / count:.0f} µs",
            f"writing the bytes {1e6 * raw_s / count:.0f} µs",
            "",
        )
    ]


def graph_and_trace(folder: Path) -> list[Row]:
    """Client CPU per call of graph, journal and verification alone, with an engine that answers at once."""
    cases, calls = 60, 1 + 2 * len(TEAM) + 1

    async def work(name: str) -> None:
        clinic = Clinic(scripted(0.0), runs=folder / name)
        slots = asyncio.Semaphore(16)

        async def one(number: int) -> None:
            async with slots:
                await clinic.consult(_case(number))

        await asyncio.gather(*map(one, range(cases)))

    asyncio.run(work("warm"))
    start_cpu, start = time.process_time(), time.perf_counter()
    asyncio.run(work("measured"))
    cpu_ms = 1000 * (time.process_time() - start_cpu) / (cases * calls)
    rate = cases * calls / (time.perf_counter() - start)
    return [("graph and trace, CPU per call", f"{cpu_ms:.1f} ms", f"{rate:.0f} calls/s with a free engine", "")]


def scripted(latency_s: float) -> ScriptedEngine:
    """A three-specialist case: triage, two turns each, attending."""

    def opine(task: Task[Any]) -> SpecialistTurn:
        claims = tuple(ClaimDraft(text=item.content, evidence=(item.id,)) for item in task.own[:1])
        return SpecialistTurn(reasoning="r", opinion=OpinionDraft(reasoning="r", answer="Yes.", claims=claims))

    def conclude(task: Task[Any]) -> Verdict:
        claims = tuple(ClaimDraft(text=c.text, evidence=c.evidence) for o in task.opinions for c in o.claims)
        return Verdict(reasoning="r", answer="Yes.", claims=claims)

    look = SpecialistTurn(reasoning="r", searches=(SearchRequest(query="pulmonary nodule follow-up"),))
    picks = tuple(Pick(specialty=name, reason="r") for name in TEAM)
    plan = TriagePlan(reasoning="r", urgency="routine", difficulty="hard", specialists=picks)
    script = {"triage": [plan], "attending": [conclude, conclude], **{name: [look, opine] for name in TEAM}}
    return ScriptedEngine(script, latency_s=latency_s)


def _case(number: int) -> Case:
    return Case(id=f"bench-{number}", question="Is the pulmonary nodule of 9 mm followed up?", context=("word " * 300,))


def _command(*words: str) -> None:
    subprocess.run([PROGRAM, *words], check=True, capture_output=True, cwd=ROOT)


def _once_s(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _median_s(work: Callable[[], object], times: int) -> float:
    work()
    return statistics.median(_once_s(work) for _ in range(times))


PARTS: dict[str, Callable[[], str]] = {"basics": basics, "serving": served, "faults": faulty}

if __name__ == "__main__":
    main()
