"""Measures cases on a real vLLM server by the server's own counters. It knows neither who started it nor its flags.

    .venv/bin/python tests/vllm/run.py --figures      starts a server and prints the table
    .venv/bin/python tests/vllm/figures.py URL        prints it for one that has just been started

The first row is that of a server which has never seen the handbook; the later ones build on what was asked before.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from polyclinic import Case, Clinic, Image
from polyclinic.agents.engines.protocol import Reply
from polyclinic.agents.engines.vllm import VllmEngine
from polyclinic.agents.tasks import Pick, Task, TriagePlan
from polyclinic.core.settings import AgentModel, Budget, Sampling, Serving

MODEL = "tiny"
TEAM = ("neurology", "ophthalmology", "radiology")
SEES = Serving(profile="llava")  # "tiny" is no name of a model that is known to see
BRIEF = Sampling(max_items=2, max_chars=16, max_tokens=600)
"""A random model ends a text only where it must."""

SHORT = Budget(calls=10)
"""For three specialists: two calls each, so that their opinions come at once."""

_COUNTER = re.compile(r"^vllm:(\w+?)(?:_total)?(?:\{[^}]*\})? (\S+)$", re.M)


class Steered(VllmEngine):
    """The served model in every call; only whom its triage names is `team`: chance would make each case another one."""

    def __init__(self, url: str, team: Sequence[str] = TEAM, **settings: Any) -> None:
        super().__init__(url, settings.pop("model", MODEL), **{"sampling": BRIEF, "serving": SEES, **settings})
        self.team = tuple(team)

    async def decide(self, task: Task[Any]) -> Reply[Any]:
        reply = await super().decide(task)
        if not isinstance(reply.value, TriagePlan):
            return reply
        picks = tuple(Pick(specialty=name, reason=f"steered to {name}") for name in self.team)
        return replace(reply, value=reply.value.model_copy(update={"difficulty": "hard", "specialists": picks}))


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What the server counted while one case or several ran."""

    what: str
    status: str
    seconds: float
    requests: int
    asked_tokens: int
    cached_tokens: int
    written_tokens: int

    @property
    def cached(self) -> float:
        """The share of the prompts that came from the prefix cache."""
        return self.cached_tokens / self.asked_tokens

    def row(self) -> str:
        speed = (self.asked_tokens + self.written_tokens) / self.seconds
        return (
            f"{self.what:<42} {100 * self.cached:5.1f} % {self.seconds:6.1f} s {self.requests:5} {self.asked_tokens:8}"
            f" {self.written_tokens:7} {speed:7.0f} {self.written_tokens / self.seconds:7.0f}"
        )


HEADING = f"{'':<42} {'cached':>7} {'time':>8} {'calls':>5} {'prompt':>8} {'written':>7} {'all/s':>7} {'new/s':>7}"


def retina(question: str) -> Case:
    """A case with a real picture; a question of its own keeps it apart from all others in the prefix cache."""
    picture = Image(path="package://skimage/data/retina.jpg", modality="fundus", body_part="eye")
    return Case(question=question, options={"A": "normal", "B": "glaucoma", "C": "cannot tell"}, images=(picture,))


async def measured(what: str, url: str, cases: Sequence[Case], engine: VllmEngine) -> Figures:
    """The figures of `cases`, all started together."""
    with tempfile.TemporaryDirectory() as folder:
        clinic = Clinic(engine, runs=Path(folder), budget=SHORT)
        await engine.prepare()
        before, began = counters(url), time.monotonic()
        reports = await asyncio.gather(*map(clinic.consult, cases))
        seconds, after = time.monotonic() - began, counters(url)
    grown = {name: round(value - before.get(name, 0)) for name, value in after.items()}
    return Figures(
        what=what,
        status="+".join(sorted({report.status for report in reports})),
        seconds=seconds,
        requests=grown["request_success"],
        asked_tokens=grown["prefix_cache_queries"],
        cached_tokens=grown["prefix_cache_hits"],
        written_tokens=grown["generation_tokens"],
    )


def counters(url: str) -> dict[str, float]:
    """The server's counters by name, without `vllm:` and `_total`; labels added up."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as reply:  # noqa: S310  # this machine's own
        page = reply.read().decode()
    found: dict[str, float] = {}
    for name, value in _COUNTER.findall(page):
        found[name] = found.get(name, 0.0) + float(value)
    return found


async def table(url: str) -> None:
    """Prints what the documentation states of the prefix cache."""
    engine = Steered(f"{url}/v1")
    adapted = Steered(f"{url}/v1", agents={"ophthalmology": AgentModel(model="second-opinion")})
    print(HEADING)
    for what, number, through in [
        ("first case after the server's start", 1, engine),
        ("another case", 1, engine),
        ("the first with ophthalmology on an adapter", 1, adapted),
        ("another with ophthalmology on an adapter", 1, adapted),
        ("ten other cases together", 10, engine),
    ]:
        cases = [retina(f"{what}, {place}: is the optic disc normal?") for place in range(number)]
        print((await measured(what, url, cases, through)).row(), flush=True)


if __name__ == "__main__":
    asyncio.run(table(sys.argv[1]))
