"""The vLLM engine: agents served by vLLM, or by any server that speaks its protocol.

Every request is worded and read by `wire`, goes through `patience` (who goes next, what follows a fault, outages) and
is sent by `client`. What a server does wrong ends as a ModelError on record, never as an answer.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel
from pydantic_core import to_json

from ...core.canonical import Json
from ...core.errors import SetupError
from ...core.settings import AgentModel, Sampling, Serving
from ..profiles import GENERIC, GENERIC_VISION, Profile, load_profiles, profile_for
from ..roles import load_roles
from ..tasks import Task
from .client import check_url, client_of_this_loop, load_sdk, shown
from .patience import Breaker, Gate, Patience, persist
from .pictures import Pictures
from .protocol import Engine, Reply
from .wire import Line, read_reply, request_body

T = TypeVar("T", bound=BaseModel)

COMMON = "common"
"""The key of the line that every agent uses unless a line of its own is set."""


@dataclass
class _Loop:
    """What belongs to one event loop: gates and breakers, whose waiters live there, and images being encoded."""

    gates: dict[str, Gate] = field(default_factory=dict)
    breakers: dict[tuple[str, str], Breaker] = field(default_factory=dict)
    pictures: Pictures = field(default_factory=Pictures)
    preparing: asyncio.Future[dict[str, Line]] | None = None

    @property
    def paused_s(self) -> float:
        return max((breaker.paused_s for breaker in self.breakers.values()), default=0.0)


class VllmEngine(Engine):
    """Answers from models served by vLLM, or by any server that speaks its protocol.

    `url` is the server's base URL, such as http://localhost:8000/v1; `model` what it calls its model (its only one when
    None); `agents` the agents that use another server, model, adapter or sampling: keys are "triage", "specialist",
    "attending" or a specialty. Raises SetupError for an agent or a URL that cannot be.
    """

    keeps_deadlines = True

    def __init__(
        self,
        url: str,
        model: str | None = None,
        *,
        sampling: Sampling | None = None,
        serving: Serving | None = None,
        agents: Mapping[str, AgentModel] | None = None,
    ) -> None:
        self.serving = serving or Serving()
        self.cases_at_once = self.serving.cases_at_once
        common = AgentModel(
            url=url, model=model, sampling=sampling or Sampling(), profile=self.serving.profile,
            api_key=self.serving.api_key,
        )  # fmt: skip
        self._wanted = {COMMON: common, **{name: _over(common, own) for name, own in sorted((agents or {}).items())}}
        _check_agents(agents or {})
        for wanted in self._wanted.values():
            check_url(wanted.url or "")
        self._lines: dict[str, Line] = {}
        self._past_pauses_s = 0.0
        self._loops: dict[asyncio.AbstractEventLoop, _Loop] = {}

    @property
    def identity(self) -> str:  # type: ignore[override]  # known in full once the servers were asked for their models
        """Engine and models: `vllm/lingshu-7b`, with the agents that have another one behind it."""
        names = {
            key: self._lines[key].model if key in self._lines else w.model or "?" for key, w in self._wanted.items()
        }
        others = [f"{key} {name}" for key, name in names.items() if key != COMMON]
        return f"vllm/{names[COMMON]}" + (f" ({', '.join(others)})" if others else "")

    @property
    def settings(self) -> Json:
        """Per agent: sampling, and once prepared the profile by its content and what the server says the model is.

        Where the servers are does not matter for an answer.
        """

        def of(key: str, wanted: AgentModel) -> Json:
            facts = self._lines[key].facts if key in self._lines else {"profile": wanted.profile}
            return {"sampling": (wanted.sampling or Sampling()).model_dump(mode="json"), **facts}

        return {key: of(key, wanted) for key, wanted in self._wanted.items()}

    @property
    def paused_s(self) -> float:  # type: ignore[override]
        """Seconds of outage so far, of the server that was away longest."""
        return self._past_pauses_s + sum(mine.paused_s for mine in self._loops.values())

    async def prepare(self) -> None:
        """Ask the servers which models they have, once. Raises SetupError when one cannot be reached or lacks one."""
        if self._lines:
            return
        loop = self._loop()
        if loop.preparing is None or loop.preparing.done():  # done without lines: it failed, and is tried anew
            loop.preparing = asyncio.ensure_future(self._prepared())
        self._lines = await asyncio.shield(loop.preparing)

    async def decide(self, task: Task[T]) -> Reply[T]:
        """The model's reply. Raises ModelError when the server gives none that is one."""
        await self.prepare()
        line = self._line(task)
        body = request_body(task, line, await self._loop().pictures.shown(task, line.profile))
        content = _as_json(body)
        patience = self._patience(line)

        async def attempt(times: int) -> Reply[T]:
            seconds = times * task.call.seconds
            completion = await client_of_this_loop(line.key).complete(line.url, content, seconds=seconds)
            return read_reply(task, line, completion, patience.seen)

        return await persist(attempt, patience, rank=task.call.rank, whom=line.model, total_s=task.call.total_s)

    def _line(self, task: Task[Any]) -> Line:
        for key in (task.agent, task.kind):
            if key in self._lines:
                return self._lines[key]
        return self._lines[COMMON]

    async def _prepared(self) -> dict[str, Line]:
        await asyncio.to_thread(load_sdk)
        servers = sorted({(wanted.url or "", _secret(wanted) or "") for wanted in self._wanted.values()})
        asked = (client_of_this_loop(key or None).models(url) for url, key in servers)
        served = dict(zip(servers, await asyncio.gather(*asked), strict=True))
        return {
            key: self._resolved(key, wanted, served[wanted.url or "", _secret(wanted) or ""])
            for key, wanted in self._wanted.items()
        }

    def _resolved(self, key: str, wanted: AgentModel, served: tuple[dict[str, Json], ...]) -> Line:
        """The line of one agent, by what its server serves. Raises SetupError for a model it does not have."""
        url, names = wanted.url or "", [str(card.get("id")) for card in served]
        if wanted.model is None and not names:
            raise SetupError(
                expected=f"the server at {shown(url)} to say which model it has",
                got="an empty list",
                fix="name the model with --model",
            )
        if wanted.model is not None and names and wanted.model not in names:
            raise SetupError(
                expected=f"a model that the server at {shown(url)} has: {', '.join(names)}",
                got=repr(wanted.model) + ("" if key == COMMON else f" for {key}"),
                fix="name one of these, or serve it under that name (vllm serve … --served-model-name NAME)",
            )
        bases = [str(card.get("id")) for card in served if card.get("parent") is None]
        if wanted.model is None and len(bases) > 1:
            raise SetupError(
                expected=f"one model at {shown(url)}", got=", ".join(bases), fix="name one of them with --model"
            )
        model = wanted.model or names[0]
        card = next((card for card in served if card.get("id") == model), {})
        profile = profile_named(wanted.profile) if wanted.profile else served_profile(model, served)
        return Line(
            url=url, model=model, profile=profile, sampling=wanted.sampling or Sampling(), key=_secret(wanted),
            priority=self.serving.priority, root=_last_part(card.get("root")),
        )  # fmt: skip

    def _loop(self) -> _Loop:
        running = asyncio.get_running_loop()
        if running not in self._loops:
            for ended in [loop for loop in self._loops if loop.is_closed()]:
                self._past_pauses_s += self._loops.pop(ended).paused_s
            self._loops[running] = _Loop()
        return self._loops[running]

    def _patience(self, line: Line) -> Patience:
        """Gate and breaker of the line's server and model, shared by all calls of this event loop."""
        loop = self._loop()
        key = (line.url, line.model)
        if key not in loop.breakers:
            ping = {"model": line.model, "messages": [{"role": "user", "content": "ping"}], "max_completion_tokens": 1}
            probe = functools.partial(client_of_this_loop(line.key).answers, line.url, _as_json(ping))
            loop.breakers[key] = Breaker(probe, f"{line.model} at {shown(line.url)}", self.serving.patience_s)
        gate = loop.gates.setdefault(line.url, Gate(self.serving.max_in_flight))
        return Patience(
            gate=gate, breaker=loop.breakers[key], faults=self.serving.faults, patience_s=self.serving.patience_s
        )


def served_profile(model: str, served: tuple[dict[str, Json], ...]) -> Profile:
    """The profile of a served model by its name, or else by what the server says it is: an adapter's base, a path.

    A model that nobody knows is taken for one that sees: where it does not, the server says so, and no case is answered
    without its images having been looked at.
    """
    cards = {str(card.get("id")): card for card in served}
    names = [model]
    while (card := cards.pop(names[-1], None)) is not None:
        names += [str(card[key]) for key in ("root", "parent") if card.get(key)]
    found = [profile_for(name) for name in names]
    return next((profile for profile in found if profile.name != GENERIC), profile_named(GENERIC_VISION))


def profile_named(name: str) -> Profile:
    """The profile called `name`. Raises SetupError when there is none."""
    for profile in load_profiles():
        if profile.name == name:
            return profile
    known = ", ".join(profile.name for profile in load_profiles())
    raise SetupError(expected=f"a model profile among {known}", got=repr(name), fix="type polyclinic models list")


def _over(common: AgentModel, own: AgentModel) -> AgentModel:
    """An agent's own model over the common one. On another server the common model's name means nothing."""
    elsewhere = own.url is not None and own.url != common.url
    return AgentModel(
        url=own.url or common.url,
        model=own.model or (None if elsewhere else common.model),
        sampling=own.sampling or common.sampling,
        profile=own.profile or (None if elsewhere else common.profile),
        api_key=own.api_key or (None if elsewhere else common.api_key),
    )


def _last_part(root: Json) -> str:
    """What the server says its model is: a hub id, or the last part of a path, whose rest is nobody's business."""
    text = root if isinstance(root, str) else ""
    return (
        text if text.count("/") <= 1 and not text.startswith(("/", "~", ".")) else text.rstrip("/").rpartition("/")[2]
    )


def _secret(wanted: AgentModel) -> str | None:
    return wanted.api_key.get_secret_value() if wanted.api_key else None


def _check_agents(agents: Mapping[str, AgentModel]) -> None:
    known = {"triage", "specialist", "attending", *(role.name for role in load_roles())}
    for name in sorted(set(agents) - known):
        raise SetupError(
            expected=f"the name of an agent: {', '.join(sorted(known))}", got=repr(name), fix="mend the table [agents]"
        )


def _as_json(body: Json) -> bytes:
    return to_json(body)
