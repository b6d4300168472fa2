"""Ours beside the same calls written directly, a plain ReAct agent and one single call, on the controlled double.

python bench/serving.py            prints the table that `make bench` writes into docs/benchmarks.md

Every call takes 0.25 s on the server, whatever it holds; the server runs in a process of its own. `critical path` is
that times the calls a case must make one after the other, so 1.00 is what nobody can beat.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
import warnings
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from double import Double, DoubleConfig, serving

from polyclinic import Case, Clinic
from polyclinic.agents.prompts import handbook
from polyclinic.agents.roles import role
from polyclinic.core.settings import Serving, Settings
from polyclinic.knowledge.store import Query

LATENCY_S = 0.25
TEAM = ("cardiology", "pulmonology", "radiology")
CAP = 16
IN_FLIGHT = 64
QUESTION = "Is a pulmonary nodule of 9 mm followed up?"
OPTIONS = {"A": "Yes, by CT", "B": "No"}
VIGNETTE = (
    "A smoker of 61 years was referred for a pulmonary nodule found by chance on CT. The nodule is solid, measures 9 "
    "mm and lies in the right upper lobe; there are no enlarged lymph nodes and no earlier images. "
) * 4
Row = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class System:
    """One way to work on a case: `make` opens a session, whose function takes a case's number through it."""

    name: str
    calls: int
    in_a_row: int
    make: Callable[[Double, Path, int], Callable[[int], Awaitable[object]]]

    @property
    def path_s(self) -> float:
        return self.in_a_row * LATENCY_S


_clients: list[Any] = []


def _client(server: Double) -> Any:
    """The SDK as its readme has it, with the aiohttp transport; closed by `measure`."""
    import openai

    _clients.append(openai.AsyncOpenAI(
        base_url=server.url, api_key="none", max_retries=0, http_client=openai.DefaultAioHttpClient()
    ))  # fmt: skip
    return _clients[-1]


def ours(server: Double, runs: Path, cap: int) -> Callable[[int], Awaitable[object]]:
    """Polyclinic: triage, three specialists with two turns each, attending; journal and verification included."""
    settings = Settings(engine=server.url, runs=runs, serving=Serving(cases_at_once=cap))
    clinic = Clinic(settings=settings)

    async def one(number: int) -> object:
        report = await clinic.consult(
            Case(id=f"bench-{number}", question=QUESTION, options=OPTIONS, context=(f"Case {number}. {VIGNETTE}",))
        )
        assert report.status == "answered", report.limitations
        return report

    return one


def directly(server: Double, runs: Path, cap: int) -> Callable[[int], Awaitable[object]]:
    """The same eight calls and look-ups by hand: the SDK and asyncio, no graph, no journal, no verification."""
    client = _client(server)
    store = Clinic(runs=runs).knowledge

    async def chat(*parts: str) -> str:
        messages: Any = [{"role": "system", "content": handbook()}, {"role": "user", "content": "\n\n".join(parts)}]
        made = await client.chat.completions.create(model="double", messages=messages, max_completion_tokens=512)
        return made.choices[0].message.content or ""

    async def specialist(name: str, case: str) -> str:
        told = f"# Your role: {role(name).title}\n{role(name).prompt}"
        asked = await chat(case, told, "Turn 1.")
        found = await asyncio.to_thread(store.search, Query(text="pulmonary nodule follow-up", domains=(name,)))
        passages = "\n".join(hit.passage.text for hit in found)
        return await chat(case, told, asked, passages, "Turn 2.")

    async def one(number: int) -> object:
        case = f"Case {number}. {VIGNETTE}\n{QUESTION}\n{OPTIONS}"
        await chat(case, "Name three specialties.")
        opinions = await asyncio.gather(*(specialist(name, case) for name in TEAM))
        return await chat(case, "\n".join(opinions), "Give the answer.")

    return one


def react(server: Double, runs: Path, cap: int) -> Callable[[int], Awaitable[object]]:
    """LangGraph's prebuilt ReAct agent with the same look-up as its tool: ask, look up, answer."""
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage, BaseMessage
    from langchain_core.outputs import ChatGeneration, ChatResult
    from langchain_core.tools import tool
    from langgraph.prebuilt import create_react_agent

    client = _client(server)
    store = Clinic(runs=runs).knowledge

    class Model(BaseChatModel):
        """The double as a LangChain model: it asks for the tool once, then answers."""

        @property
        def _llm_type(self) -> str:
            return "double"

        def bind_tools(self, tools: Any, **_: Any) -> Any:
            return self

        def _generate(self, *_: Any, **__: Any) -> ChatResult:
            raise NotImplementedError

        async def _agenerate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
            roles = {"system": "system", "human": "user", "ai": "assistant", "tool": "user"}
            sent: Any = [{"role": roles[m.type], "content": str(m.content)} for m in messages]
            made = await client.chat.completions.create(model="double", messages=sent, max_completion_tokens=512)
            said = made.choices[0].message.content or ""
            first = not any(message.type == "tool" for message in messages)
            calls: Any = [{"name": "look_up", "args": {"query": "pulmonary nodule follow-up"}, "id": "1"}]
            message = AIMessage(content=said, tool_calls=calls if first else [])
            return ChatResult(generations=[ChatGeneration(message=message)])

    @tool
    async def look_up(query: str) -> str:
        """Look something up."""
        found = await asyncio.to_thread(store.search, Query(text=query))
        return "\n".join(hit.passage.text for hit in found)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has moved to another package, which is not a dependency here
        agent: Any = create_react_agent(Model(), [look_up], prompt=handbook())

    async def one(number: int) -> object:
        case = f"Case {number}. {VIGNETTE}\n{QUESTION}\n{OPTIONS}"
        return await agent.ainvoke({"messages": [("user", case)]})

    return one


def single(server: Double, runs: Path, cap: int) -> Callable[[int], Awaitable[object]]:
    """One call to one model."""
    client = _client(server)

    async def one(number: int) -> object:
        case = f"Case {number}. {VIGNETTE}\n{QUESTION}\n{OPTIONS}"
        messages: Any = [{"role": "system", "content": handbook()}, {"role": "user", "content": case}]
        return await client.chat.completions.create(model="double", messages=messages, max_completion_tokens=512)

    return one


SYSTEMS = (
    System(name="**Polyclinic**", calls=8, in_a_row=4, make=ours),
    System(name="(a) the same calls in asyncio", calls=8, in_a_row=4, make=directly),
    System(name="(b) LangGraph ReAct agent", calls=2, in_a_row=2, make=react),
    System(name="(c) one single-model call", calls=1, in_a_row=1, make=single),
)
HEAD: Row = (
    "system", "calls per case", "prompt tokens per case", "prefix hits", "one case", "ten cases", f"100, cap {CAP}",
    "first of the 100", "CPU per call", f"calls/s, {IN_FLIGHT} in flight",
)  # fmt: skip
UNITS: Row = (
    "", "", "", "cold, one case", "÷ critical path", "÷ critical path", "÷ ideal", "÷ critical path", "client, ms",
    "0.1 s a call",
)  # fmt: skip


async def _timed(one: Callable[[int], Awaitable[object]], numbers: Iterable[int]) -> tuple[float, float]:
    """Seconds until all of the cases and until the first of them is done."""
    start = time.perf_counter()
    ends: list[float] = []

    async def timed(number: int) -> None:
        await one(number)
        ends.append(time.perf_counter() - start)

    await asyncio.gather(*map(timed, numbers))
    return max(ends), min(ends)


def measure(system: System, server: Double) -> Row:
    """One row of the table."""

    async def work() -> Row:
        with tempfile.TemporaryDirectory() as folder:
            one = system.make(server, Path(folder), IN_FLIGHT)
            capped = system.make(server, Path(folder) / "capped", CAP)
            fresh = iter(range(10**6))

            def some(count: int) -> list[int]:
                return [next(fresh) for _ in range(count)]

            server.configure(latency_s=0.0, cap=None, priority=True)
            await _timed(one, some(3))  # imports, connections, caches
            server.configure(latency_s=LATENCY_S)
            server.reset()
            alone = [(await _timed(one, some(1)))[0] for _ in range(3)]
            first = server.log()[: system.calls]
            ten = [(await _timed(one, some(10)))[0] for _ in range(3)]
            server.configure(cap=CAP)
            hundred_s, first_s = await _timed(capped, some(100))
            server.configure(latency_s=0.1, cap=IN_FLIGHT)
            await _timed(one, some(IN_FLIGHT // 2))
            cpu_s, count = time.process_time(), len(server.log())
            burst_s, _ = await _timed(one, some(800 // system.calls))
            calls = len(server.log()) - count
            cpu_ms = 1000 * (time.process_time() - cpu_s) / calls
        while _clients:
            await _clients.pop().close()
        prompt = sum(entry["prompt_tokens"] for entry in first)
        hits = sum(entry["hit_tokens"] for entry in first)
        ideal_s = max(system.path_s, 100 * system.calls * LATENCY_S / CAP)
        return (
            system.name, str(len(first)), f"{prompt:,}", f"{hits / prompt:.0%}", f"{median(alone) / system.path_s:.3f}",
            f"{median(ten) / system.path_s:.3f}", f"{hundred_s / ideal_s:.3f}", f"{first_s / system.path_s:.2f}",
            f"{cpu_ms:.2f}", f"{calls / burst_s:.0f}",
        )  # fmt: skip

    return asyncio.run(work())


def rows() -> list[Row]:
    """The table: head, units, one row per system."""
    found = [HEAD, UNITS]
    with serving(DoubleConfig(latency_s=LATENCY_S)) as server:
        for system in SYSTEMS:
            print(f"measuring {system.name} …", file=sys.stderr)
            found.append(measure(system, server))
    return found


def main() -> None:
    table = rows()
    for row in [table[0], ("---",) * len(table[0]), *table[1:]]:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
