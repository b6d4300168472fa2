"""Start-up, first answer, replay, journal and graph overhead, each beside a reference in the same run.

python bench/run.py            prints the table and writes docs/benchmarks.md
"""

from __future__ import annotations

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
PROGRAM = str(Path(sys.executable).with_name("polyclinic"))
TEAM = ("cardiology", "pulmonology", "radiology")
LATENCY_S = 0.25
CRITICAL_CALLS = 4  # triage, two turns of a specialist, attending
Row = tuple[str, str, str, str]


def main() -> None:
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for measure in (start_up, first_answer, replay, journal, overlap, cpu_per_call):
            print(f"measuring {measure.__name__.replace('_', ' ')} …", file=sys.stderr)
            rows += measure(Path(folder))
    lines = ["| what | measured | reference in the same run | target |", "|---|---|---|---|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    print("\n".join(lines))
    path = ROOT / "docs" / "benchmarks.md"
    text = path.read_text(encoding="utf-8")
    start, end = "<!-- bench -->\n", "<!-- /bench -->"
    head, tail = text.split(start)[0], text.split(end)[1]
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    path.write_text(f"{head}{start}Measured on {machine}.\n\n" + "\n".join(lines) + f"\n{end}{tail}", encoding="utf-8")


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


def overlap(folder: Path) -> list[Row]:
    """One case and ten cases with 0.25 s a call, beside the same calls written directly in asyncio."""
    ideal = CRITICAL_CALLS * LATENCY_S

    async def cases(n: int, name: str) -> None:
        clinic = Clinic(scripted(LATENCY_S), runs=folder / name)
        await asyncio.gather(*(clinic.consult(_case(number)) for number in range(n)))

    async def direct(n: int) -> None:
        async def one() -> None:
            await asyncio.sleep(LATENCY_S)
            await asyncio.gather(*(_twice() for _ in TEAM))
            await asyncio.sleep(LATENCY_S)

        await asyncio.gather(*(one() for _ in range(n)))

    asyncio.run(cases(1, "warm"))
    rows: list[Row] = []
    for n, limit in ((1, "≤ 1.05"), (10, "≤ 1.10")):
        ours = statistics.median(_once_s(lambda n=n, i=i: asyncio.run(cases(n, f"{n}-{i}"))) for i in range(3))
        plain = statistics.median(_once_s(lambda n=n: asyncio.run(direct(n))) for _ in range(3))
        name = "one case" if n == 1 else f"{n} cases at once"
        rows.append(
            (
                f"{name} ÷ critical path of {ideal:g} s",
                f"{ours / ideal:.3f}",
                f"plain asyncio {plain / ideal:.3f}",
                limit,
            )
        )
    return rows


def cpu_per_call(folder: Path) -> list[Row]:
    """Client CPU per engine call, graph and trace included, with nobody waiting; beside the bare scripted engine."""
    cases, calls = 60, 1 + 2 * len(TEAM) + 1

    async def work() -> None:
        clinic = Clinic(scripted(0.0), runs=folder / "cpu")
        slots = asyncio.Semaphore(16)

        async def one(number: int) -> None:
            async with slots:
                await clinic.consult(_case(number))

        await asyncio.gather(*map(one, range(cases)))

    asyncio.run(work())  # imports and caches
    start_cpu, start = time.process_time(), time.perf_counter()
    asyncio.run(work())
    cpu_ms = 1000 * (time.process_time() - start_cpu) / (cases * calls)
    rate = cases * calls / (time.perf_counter() - start)
    return [
        ("client CPU per engine call", f"{cpu_ms:.1f} ms", f"{rate:.0f} calls/s with a free engine", "≤ 2 ms, ≥ 200/s")
    ]


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


async def _twice() -> None:
    await asyncio.sleep(LATENCY_S)
    await asyncio.sleep(LATENCY_S)


def _command(*words: str) -> None:
    subprocess.run([PROGRAM, *words], check=True, capture_output=True, cwd=ROOT)


def _once_s(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _median_s(work: Callable[[], object], times: int) -> float:
    work()
    return statistics.median(_once_s(work) for _ in range(times))


if __name__ == "__main__":
    main()
