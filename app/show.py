"""How a report, a trace and a conversation look in a terminal. It computes nothing."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.text import Text
from rich.tree import Tree

from ..core.evidence import Claim, Evidence
from ..core.report import AgentUsage, Report
from ..core.trace import Record
from ..core.transcript import Turn
from ..knowledge.patient.timelines import timelines
from ..knowledge.units import shown

_STATUS_STYLE = {
    "answered": "bold green",
    "abstained": "bold yellow",
    "needs_human": "bold yellow",
    "failed": "bold red",
}
_SUPPORT_MARK = {"supported": "✓", "unsupported": "?", "contradicted": "✗"}


def report(report: Report) -> None:
    """The whole report, its evidence with values and units, and where its trace is."""
    out = _console()
    out.print(Text(plain(report.question), style="bold"))
    head = Text("status: ") + Text(report.status.replace("_", " "), style=_STATUS_STYLE[report.status])
    if report.option:
        head += Text(f"   option: {report.option}")
    if report.confidence is not None:
        head += Text(f"   confidence: {report.confidence:.2f}")
    out.print(head + Text(plain(f"   urgency: {report.urgency}   engine: {report.engine}")))
    if report.answer:
        _section(out, "Answer", [report.answer])
    _section(out, "Red flags", report.red_flags, style="bold red")
    _section(out, "Team", [f"{member.specialty}: {member.reason}" for member in report.team])
    _section(out, "Claims", [_claim(claim) for claim in report.claims])
    _section(out, "Dissent", [f"{d.specialty}: {d.answer} (overruled: {d.why_overruled})" for d in report.dissent])
    changes = [f"{c.finding}: {c.course}. {c.detail} [{', '.join(c.evidence)}]" for c in report.changes]
    _section(out, "Changes since earlier visits", changes)
    _section(out, "Course over time", _courses(report))
    _section(out, "Differential", report.differential)
    _section(out, "Evidence", _evidence(report))
    _section(out, "Limitations", report.limitations)
    _section(out, "Usage", [_usage(report.usage.total)])
    _section(out, "Trace", [report.trace.path, f"sha256 {report.trace.hash}"])
    out.print(Text(report.notice, style="italic"))


def trace(file: Path, records: Sequence[Record]) -> None:
    """The tree of a run: each node with the decisions made in it, their step numbers and seconds."""
    out = _console()
    if not out.is_terminal:
        out.width = 1000  # a pipe gets whole lines
    header = records[0]
    origin = header.request.get("forked_from")
    fork = f"  fork of {origin['trace'][:10]}… at step {origin['step']}" if origin else ""
    title = f"{header.name}  {header.request['config']['engine']}  trace {header.trace_id}{fork}"
    root = Tree(Text(title, style="bold"))
    branches = {header.span_id: root}
    for record in sorted((r for r in records if r.kind == "node"), key=lambda r: (r.start_ns, r.seq)):
        who = f"{record.name} {record.scope}".strip()
        branches[record.span_id] = root.add(Text(f"{who}  {record.seconds:.3f} s", style="cyan"))
    for record in records[1:]:
        if record.kind in ("node", "report"):
            continue
        branches.get(record.parent_id, root).add(Text(_step(record)))
    closing = records[-1]
    if closing.kind == "report":
        root.add(Text(f"{closing.seq:>4}  report: {closing.name}", style=_STATUS_STYLE.get(closing.name, "")))
    else:
        root.add(Text("unfinished: ask the case again to resume it", style="bold yellow"))
    out.print(root)
    out.print(Text(f"{len(records)} records in {file}"))


def verified(path: Path, records: int) -> None:
    _console().print(f"{path}: {records} records, the chain holds and the report is sealed with it", highlight=False)


def turn(number: int, turn: Turn, report: Report, *, same: bool, compare: bool) -> None:
    """One turn of a conversation; with `compare`, the recorded answer beside the new one where they differ."""
    out = _console()
    out.print(Text(plain(f"{number}. {turn.question}"), style="bold"))
    answer = report.answer or "; ".join(report.limitations)
    if not compare:
        _section(out, report.status, [answer])
        return
    if same:
        _section(out, f"same: {report.status}", [answer])
        return
    recorded = turn.answer or {}
    was = (recorded.get("polyclinic") or {}).get("status", "recorded")
    _section(out, f"recorded: {was}", [recorded.get("content", "no answer")])
    _section(out, f"now: {report.status}", [answer])


def summary(turns: int, differing: int) -> None:
    _console().print(f"{differing} of {turns} turns differ", highlight=False)


def _usage(total: AgentUsage) -> str:
    calls = f"{total.chat_calls} engine calls, {total.tool_calls} tool and retrieval calls"
    return f"{calls}, {total.seconds:.2f} s of work (calls overlap)"


def plain(text: str) -> str:
    """`text` without control characters: what a case or a tool says must not steer the terminal."""
    return "".join("\N{REPLACEMENT CHARACTER}" if _steers(char) else char for char in text)


def _steers(char: str) -> bool:
    return char != "\n" and unicodedata.category(char) == "Cc"


def _console() -> Console:
    """A terminal wraps at its width; a file or a pipe gets whole lines."""
    return Console(highlight=False, soft_wrap=not sys.stdout.isatty())


def _section(out: Console, title: str, lines: Sequence[str], style: str = "") -> None:
    if not lines:
        return
    out.print(Text(f"\n{title}", style="bold cyan"))
    for line in lines:
        text = Text(plain(line), style=style)
        out.print(Padding(text, (0, 0, 0, 2)) if out.is_terminal else Text("  ") + text)


def _claim(claim: Claim) -> str:
    why = f": {claim.why}" if claim.why else ""
    return f"{_SUPPORT_MARK[claim.support]} {claim.text} [{', '.join(claim.evidence)}] ({claim.support}{why})"


def _courses(report: Report) -> list[str]:
    """A line for each finding that has values of three dates or more; two dates stand among the changes."""
    lines = []
    for line in timelines(report.evidence):
        if len({point.date for point in line.points}) > 2:
            side = line.laterality if line.laterality != "bilateral" else ""
            place = " ".join(filter(None, (side, line.body_part)))
            values = " → ".join(f"{shown(point.value, point.unit)} ({point.date})" for point in line.points)
            lines.append(f"{line.finding}{f', {place}' if place else ''}: {values}")
    return lines


def _evidence(report: Report) -> list[str]:
    """One line for each fact: what several specialists found alike once, under all its ids, and without the words
    that a claim above has already."""
    said = " ".join(claim.text for claim in report.claims)
    ids: dict[str, list[str]] = {}
    for item in report.evidence:
        ids.setdefault(_fact(item, said), []).append(item.id)
    return [f"[{', '.join(names)}] {fact}" for fact, names in ids.items()]


def _fact(item: Evidence, said: str) -> str:
    value = ""
    if item.value is not None:
        spread = f" ± {item.uncertainty:g}" if item.uncertainty is not None else ""
        value = f" = {item.value:g}{spread} {'' if item.unit == '1' else item.unit}".rstrip()
        value += f" on {item.date}" if item.date and item.source.kind == "tool" else ""
    source = f"{item.source.name} {item.source.version}".strip()
    cited = f"; {item.source.citation}" if item.source.citation else ""
    score = f", score {item.score:.2f}" if item.score is not None else ""
    told = "" if item.content in said else item.content
    words = ": ".join(part for part in (f"{item.name}{value}" if item.name else "", told) if part)
    return f"{item.kind.replace('_', ' ')}{score} · {words} ({source}{cited})"


def _step(record: Record) -> str:
    what = f"{record.seq:>4}  {record.kind} {record.name}"
    if record.kind == "resume":
        return f"{what}: the run was taken up again"
    told = [] if record.error is None else [f"{record.error['type']}: {record.error['got']}"]
    if record.kind == "chat" and record.error is None:
        told = _chat(record)
    return plain("  ".join([f"{what}  {record.seconds:.3f} s", *told]).replace("\n", " "))


def _chat(record: Record) -> list[str]:
    """What a served model's reply is worth telling: who gave it, what it cost, and what went wrong on the way."""
    result = record.result if isinstance(record.result, dict) else {}
    details = result.get("details") or {}
    told = [str(details["model"])] if details.get("model") else []
    if record.usage:
        told.append(f"{record.usage.get('prompt_tokens', 0)} + {record.usage.get('completion_tokens', 0)} tokens")
    if result.get("faulty"):
        told.append(f"unusable: {result['faulty']['problem'][:60]}")
    return told + [f"after {fault[:60]}" for fault in details.get("faults") or ()]
