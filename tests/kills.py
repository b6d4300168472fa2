"""A campaign of kill -9: a run is killed at every record and at random instants, and must always finish as if not.

Run by test_kills.py in a process of its own, because it forks: `python kills.py FOLDER RANDOM_KILLS`. Prints one JSON
line with what it saw; stops with an exception at the first run that is not as it must be.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

from PIL import Image as Picture

from polyclinic.agents.clinic import Clinic
from polyclinic.agents.engines.scripted import ScriptedEngine
from polyclinic.agents.tasks import (
    ClaimDraft,
    OpinionDraft,
    Pick,
    SearchRequest,
    SpecialistTurn,
    Task,
    ToolRequest,
    TriagePlan,
    Verdict,
)
from polyclinic.core import trace
from polyclinic.core.case import Case, Image
from polyclinic.core.report import Report
from polyclinic.core.runs import read_run, report_text, verify_run
from polyclinic.knowledge.store import Hit, Passage, Query
from polyclinic.tools.card import ImageArguments, Measurement, Tool, ToolCard, ToolOutput

TEAM = ("cardiology", "pulmonology", "radiology")
PASSAGE = Passage(id="p", title="Heart size", text="The heart is large above 0.5.", citation="none", licence="none")


class Log:
    """Calls that really happened, appended to a file so that they outlive the process that made them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, call: str) -> None:
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(fd, f"{call}\n".encode())
        os.close(fd)

    def calls(self) -> list[str]:
        return self.path.read_text().split("\n")[:-1] if self.path.exists() else []


class Ratio(ToolOutput):
    ratio: Measurement


class LoggedKnowledge:
    version, excluded, pictured = "test/1", 0, False

    def __init__(self, log: Log) -> None:
        self.log = log

    def search(self, query: Query, picture: object = None) -> tuple[Hit, ...]:
        self.log.note(f"retrieval {query.text}")
        return (Hit(passage=PASSAGE, score=0.9, span=(0, len(PASSAGE.text))),)


class LoggedEngine(ScriptedEngine):
    log: Log

    async def decide(self, task):  # type: ignore[no-untyped-def]
        self.log.note(f"chat {task.agent} {task.step}")
        return await super().decide(task)


def make_engine(log: Log) -> LoggedEngine:
    def opinion(task: Task) -> SpecialistTurn:
        cited = task.own[0]
        draft = OpinionDraft(
            reasoning="r", answer="Large.", claims=(ClaimDraft(text=cited.content, evidence=(cited.id,)),)
        )
        return SpecialistTurn(reasoning="r", opinion=draft)

    def verdict(task: Task) -> Verdict:
        claims = tuple(ClaimDraft(text=c.text, evidence=c.evidence) for o in task.opinions for c in o.claims)
        return Verdict(reasoning="r", answer="The heart is large.", claims=claims)

    plan = TriagePlan(
        reasoning="r", urgency="routine", difficulty="hard",
        specialists=tuple(Pick(specialty=name, reason="r") for name in TEAM),
    )  # fmt: skip
    script: dict[str, list] = {"triage": [plan], "attending": [verdict, verdict]}
    for name in TEAM:
        asks = SpecialistTurn(
            reasoning="r", tools=(ToolRequest(tool="ratio", image="image-1", arguments={}),),
            searches=(SearchRequest(query=f"heart size for {name}"),),
        )  # fmt: skip
        script[name] = [asks, opinion]
    engine = LoggedEngine(script, latency_s=0.002)
    engine.log = log
    return engine


def consult(folder: Path) -> Report:
    log = Log(folder / "calls")

    def measure(arguments: ImageArguments, images: object) -> Ratio:
        log.note("tool ratio")
        return Ratio(ratio=Measurement(name="ratio", value=0.6, unit="1", text="The ratio is 0.6."))

    card = ToolCard(name="ratio", version="1", summary="s", measures=("ratio",), modalities=("xray",))
    tool = Tool(card=card, arguments=ImageArguments, output=Ratio, run=measure)
    from polyclinic.tools.gate.quality import GATE
    from polyclinic.tools.registry import Toolbox

    case = Case(
        id="kill", question="Is the heart large?",
        images=(Image(path=str(folder.parent / "noise.png"), modality="xray"),),
    )  # fmt: skip
    clinic = Clinic(make_engine(log), runs=folder / "runs", knowledge=LoggedKnowledge(log), tools=(tool, GATE))
    clinic.toolbox = Toolbox(clinic.toolbox.tools, apart=False)  # hundreds of processes would each start workers
    return clinic.consult_sync(case)


def die_at(number: int, how: str) -> None:
    """From now on this process kills itself when it writes to the trace for the n-th time."""
    real, count = os.write, 0

    def write(fd: int, data: bytes) -> int:
        nonlocal count
        if not data.startswith(b'{"end_ns"'):
            return real(fd, data)
        count += 1
        if count == number:
            if how == "torn":
                real(fd, data[: len(data) // 2])
            if how == "after":
                real(fd, data)
            os.kill(os.getpid(), signal.SIGKILL)
        return real(fd, data)

    trace.os.write = write  # type: ignore[assignment]


def in_child(folder: Path, *, write: int = 0, how: str = "", after_s: float | None = None) -> bool:
    """Consult in a forked process; whether it was killed."""
    child = os.fork()
    if child == 0:
        try:
            if write:
                die_at(write, how)
            consult(folder)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
            print(repr(error), file=sys.stderr)
            os._exit(3)
        os._exit(0)
    if after_s is not None:
        time.sleep(after_s)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise AssertionError(f"the child failed with {os.WEXITSTATUS(status)} in {folder}")
    return os.WIFSIGNALED(status)


def finished_calls(folder: Path) -> dict[str, int]:
    """The engine calls whose records are whole in the trace, with how often each had been made by then."""
    found = list((folder / "runs").glob("kill-*"))
    if not found or not (found[0] / "trace.jsonl").exists():
        return {}
    records, _ = trace.read_trace(found[0] / "trace.jsonl")
    calls = Log(folder / "calls").calls()
    names = [f"chat {r.scope} {r.request['step']}" for r in records if r.kind == "chat"]
    return {name: calls.count(name) for name in names}


def essence(report: Report) -> str:
    """The report without what may differ: times, and the hash of a trace that has more or fewer resume records."""
    body = json.loads(report_text(report))
    body.pop("trace")
    for usage in (body["usage"]["total"], *body["usage"]["agents"].values()):
        usage.pop("seconds")
    return json.dumps(body, sort_keys=True)


def check(folder: Path, finished: dict[str, int], expected: str) -> None:
    """The run is finished, whole and equal to the undisturbed one, and no call was made again once it was finished."""
    run = next((folder / "runs").glob("kill-*"))
    assert len(list((folder / "runs").glob("kill-*"))) == 1, "a second run was started"
    verify_run(run)
    records = read_run(run)[1]
    keys = [record.key for record in records if record.key]
    assert len(keys) == len(set(keys)), f"duplicated records in {folder}"
    calls = Log(folder / "calls").calls()
    twice = [call for call, times in finished.items() if calls.count(call) != times]
    assert not twice, f"finished calls repeated in {folder}: {twice}"
    report = Report.model_validate(records[-1].result)
    assert essence(report) == expected, f"another report in {folder}"


def main(root: Path, random_kills: int) -> None:
    Picture.effect_noise((64, 64), 80).save(root / "noise.png")
    consult(fresh(root, "warm"))  # imports and caches are paid for once, and its threads have ended before any fork
    reference = root / "reference"
    reference.mkdir()
    assert not in_child(reference)
    run = next((reference / "runs").glob("kill-*"))
    records = read_run(run)[1]
    expected = essence(Report.model_validate(records[-1].result))
    start = time.perf_counter()
    assert not in_child(fresh(root, "timing"))
    whole_s = time.perf_counter() - start

    at_writes = resumed = writes = 0
    while at_writes == 3 * writes:
        writes += 1
        for how in ("before", "torn", "after"):
            folder = fresh(root, f"write-{writes}-{how}")
            if in_child(folder, write=writes, how=how):
                at_writes += 1
                finished = finished_calls(folder)
                assert not in_child(folder)
                check(folder, finished, expected)
            shutil.rmtree(folder)
    writes -= 1  # the last round found nothing left to kill

    dice, at_random = random.Random(7), 0
    while at_random < random_kills:
        folder, finished = fresh(root, f"random-{at_random}"), {}
        for _ in range(3):  # the same run is killed up to three times
            if in_child(folder, after_s=dice.uniform(0, whole_s)):
                at_random += 1
            finished = {**finished_calls(folder), **finished}
            if any((folder / "runs").glob("kill-*/report.json")):
                break
        else:
            resumed += 1
        if not any((folder / "runs").glob("kill-*/report.json")):
            assert not in_child(folder)
        check(folder, finished, expected)
        shutil.rmtree(folder)
    counts = {"records": len(records), "writes": writes, "at_writes": at_writes, "at_random": at_random}
    print(json.dumps({**counts, "thrice": resumed}))


def fresh(root: Path, name: str) -> Path:
    folder = root / name
    folder.mkdir()
    return folder


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
