"""What a running server can do for Polyclinic, found by asking it, and what to change where it cannot.

Every check is a few small requests and ends as a Finding. It starts and changes nothing, and prints nothing.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import statistics
import struct
import time
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from pydantic import Field, ValidationError

from ...core.canonical import Json
from ...core.case import Case
from ...core.errors import ModelError, SetupError
from ...core.frozen import Frozen
from ...core.settings import Sampling, Settings
from ..forms import closed
from ..profiles import GENERIC_VISION, Profile
from ..prompts import handbook
from ..roles import load_roles
from ..tasks import SpecialistTurn, Task
from .client import Client, check_url, shown
from .confidence import option_probabilities
from .patience import Fault
from .vllm import profile_named, served_profile
from .wire import MORE_LETTERS, Line, read_reply, request_body

Result: TypeAlias = Literal["ok", "missing", "failed", "note", "not tried"]

CALL_S = 120.0
"""How long one call may take; the first of its kind may compile something."""

ATTEMPTS = 2
CASE_TOKENS = 4096  # the text of a case, shared evidence and opinions; images and the reply come on top
IMAGE_PX = 1024  # the side of an image as a case has them
TINY_PX = 56  # two patches of every family: the smallest that none refuses
BOUND_CHARS = 64
PREFIX_LINES = 120

COMPACT = """--structured-outputs-config '{"backend":"xgrammar","disable_any_whitespace":true}'"""
_HELLO = "Reply with the word ready."
_METRIC = re.compile(r"^vllm:prefix_cache_(hits|queries)_total(?:\{.*\})? (\S+)$", re.MULTILINE)
_THOUGHT = ("<think>", "</think>", "<|channel|>analysis")
_BLANKS = 40


class _Small(Frozen):
    """A reply that no model gives unless it is held to a schema."""

    finding: Literal["effusion", "nodule"]
    count: int = Field(ge=0, le=9)


class _Letter(Frozen):
    option: Literal["A", "B"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One check: what was tried, how it ended, what came, and what to change.

    `missing`: the server says no; `failed`: it answers wrongly or not at all; `note`: nothing to judge. A finding that
    is `needed` and not ok means that cases would fail.
    """

    name: str
    tried: str
    result: Result
    came: str
    change: str = ""
    needed: bool = False

    @property
    def stands_in_the_way(self) -> bool:
        return self.needed and self.result not in ("ok", "note")


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """What one request brought: choices, or the problem. `refused` says that the server itself said no."""

    choices: tuple[Json, ...] = ()
    usage: Json = None
    completion: Json = None
    problem: str = ""
    refused: bool = False

    @property
    def text(self) -> str:
        return _words(self.choices[0], "content") if self.choices else ""

    @property
    def thought(self) -> str:
        return _words(self.choices[0], "reasoning", "reasoning_content") if self.choices else ""

    @property
    def cut(self) -> bool:
        return bool(self.choices) and self.choices[0].get("finish_reason") == "length"

    @property
    def prompt_tokens(self) -> int | None:
        return _count(self.usage, "prompt_tokens")

    @property
    def cached_tokens(self) -> int | None:
        details = self.usage.get("prompt_tokens_details") if isinstance(self.usage, dict) else None
        return _count(details, "cached_tokens")


@dataclass(frozen=True, kw_only=True)
class Checkup:
    """One model of one server, asked one thing at a time; `took_s` are the seconds of the calls so far."""

    url: str
    model: str
    profile: Profile
    cards: tuple[dict[str, Json], ...]
    settings: Settings
    client: Client
    took_s: list[float] = field(default_factory=list)

    @property
    def adapters(self) -> tuple[str, ...]:
        return tuple(str(card["id"]) for card in self.cards if card.get("parent") and "id" in card)

    @property
    def context_tokens(self) -> int | None:
        """The longest prompt and reply together, where the server says it; an adapter has its base's."""
        stated = {str(card.get("id")): _count(card, "max_model_len") for card in self.cards}
        base = next((str(card.get("parent")) for card in self.cards if card.get("id") == self.model), "")
        return stated.get(self.model) or stated.get(base)

    async def findings(self) -> AsyncIterator[Finding]:
        """The findings in the order they are made. Nothing is tried of a server that does not answer at all."""
        first = await self._reachable()
        yield first
        checks = [
            self._context, self._schema, self._turn, self._images, self._letters, self._samples, self._repeats,
            self._prefix, self._priority, self._adapters, self._agents, self._reasoning,
        ]  # fmt: skip
        if first.result != "ok":
            why = "the server does not answer a plain chat"
            yield Finding(name="the rest", tried="every other check", result="not tried", came=why)
            return
        for check in checks:
            for finding in await check():
                yield finding
        yield self._seconds()

    async def _reachable(self) -> Finding:
        answer = await self._ask(_HELLO, {"max_completion_tokens": 16})
        bases = [str(card.get("id")) for card in self.cards if not card.get("parent")]
        served = f"{', '.join(bases) or 'no model named'}; adapters: {', '.join(self.adapters) or 'none'}"
        change = "look at the server's log"
        if answer.problem.startswith(("HTTP 401", "HTTP 403")):
            change = "set POLYCLINIC_SERVING_API_KEY"
        return _finding("answers", "GET /models and a plain chat", answer, came=served, change=change, needed=True)

    async def _context(self) -> list[Finding]:
        """Whether the handbook and a case fit, by the server's own count of tokens."""
        role = "user" if self.profile.system_role is False else "system"
        turns = [{"role": "user", "content": _HELLO}]
        messages = [{"role": role, "content": handbook()}, *turns]
        if role == "user":
            messages = [{"role": "user", "content": f"{handbook()}\n\n{_HELLO}"}]
        answer = await self._send({"messages": messages, "max_completion_tokens": 1})
        tried = "the handbook that every agent is told"
        counted = answer.prompt_tokens
        if answer.problem or counted is None:
            came = "no usage.prompt_tokens"
            return [_finding("context", tried, answer, came=came, change="--max-model-len 16384", result="note")]
        seen = self.profile.image_tokens(IMAGE_PX, IMAGE_PX) or 0 if self.profile.vision else 0
        wanted = counted + CASE_TOKENS + self.settings.sampling.max_tokens + seen
        room = self.context_tokens
        needs = f"{counted:,} tokens, a case with its reply about {wanted:,}"
        if room is None:
            return [Finding(name="context", tried=tried, result="note", came=f"{needs}; the server states no limit")]
        came = f"{needs} of {room:,}"
        if room >= wanted:
            return [Finding(name="context", tried=tried, result="ok", came=came)]
        more = f"--max-model-len {-(-wanted // 1024) * 1024}"
        return [Finding(name="context", tried=tried, result="missing", came=came, change=more)]

    async def _schema(self) -> list[Finding]:
        """Whether decoding is held to a schema: the prompt asks for something else."""
        prompt = "Write one friendly sentence about the weather. Do not write JSON."
        answer = await self._ask(prompt, _form(_Small) | {"max_completion_tokens": self.settings.sampling.max_tokens})
        tried, name = "a chat about the weather, held to a small schema", "schema"
        if answer.problem:
            return [_finding(name, tried, answer, change=COMPACT, needed=True)]
        if answer.cut:
            return [self._cut_off(name, tried, answer)]
        try:
            value = _Small.model_validate_json(answer.text)
        except ValidationError:
            came = f"{_line(answer.text, 80)!r}: the schema is not followed"
            change = f"serve with vLLM, {COMPACT}"
            return [Finding(name=name, tried=tried, result="failed", came=came, change=change, needed=True)]
        return [Finding(name=name, tried=tried, result="ok", came=value.model_dump_json(), needed=True)]

    async def _turn(self) -> list[Finding]:
        """Whether a specialist's turn comes back whole: request and reading are those of a case."""
        task, tried, name = _turn_task(), "a specialist's turn, worded and read as in a case", "turn"
        plain = self.settings.sampling.model_copy(update={"logprobs": False, "samples": 1})
        answer, problem = await self._take_turn(task, plain)
        if answer.problem:
            return [_finding(name, tried, answer, change=f"--max-model-len 16384, or {COMPACT}", needed=True)]
        if not problem:
            return [Finding(name=name, tried=tried, result="ok", came="an opinion that can be used", needed=True)]
        if not answer.cut:
            change = "see the schema's finding; if that is ok, serve a more able model"
            return [Finding(name=name, tried=tried, result="failed", came=problem, change=change, needed=True)]
        if not _blank(answer.text) and plain.max_chars is None:
            bounded, still = await self._take_turn(task, plain.model_copy(update={"max_chars": BOUND_CHARS}))
            if not bounded.problem and not still:
                came = f"cut off at {plain.max_tokens} tokens; whole with texts of at most {BOUND_CHARS} characters"
                change = f"POLYCLINIC_SAMPLING_MAX_CHARS={BOUND_CHARS} or more"
                return [Finding(name=name, tried=tried, result="failed", came=came, change=change, needed=True)]
        return [self._cut_off(name, tried, answer)]

    async def _take_turn(self, task: Task[SpecialistTurn], sampling: Sampling) -> tuple[_Answer, str]:
        """The answer to a specialist's turn, and what Polyclinic says is wrong with it."""
        line = Line(url=self.url, model=self.model, profile=self.profile, sampling=sampling)
        answer = await self._send(request_body(task, line, {}))
        if answer.problem:
            return answer, ""
        faulty = read_reply(task, line, answer.completion, ()).faulty
        return answer, "" if faulty is None else _line(faulty.problem)

    def _cut_off(self, name: str, tried: str, answer: _Answer) -> Finding:
        most = self.settings.sampling.max_tokens
        if _blank(answer.text):
            return Finding(
                name=name, tried=tried, result="failed", came=f"cut off at {most} tokens by white space",
                change=COMPACT, needed=True,
            )  # fmt: skip
        came = f"cut off at {most} tokens: {_line(answer.text, 60)!r}"
        change = f"{COMPACT}; POLYCLINIC_SAMPLING_MAX_TOKENS={2 * most} where a model thinks first"
        return Finding(name=name, tried=tried, result="failed", came=came, change=change, needed=True)

    async def _images(self) -> list[Finding]:
        """Whether an image is taken, what it costs, and how many a request may hold."""
        sees, tried = self.profile.vision, f"one PNG of {TINY_PX} × {TINY_PX} px"
        known = self.profile.name != GENERIC_VISION  # a model of an unknown name may well be one of text alone
        without, one = await self._look(0), await self._look(1)
        if one.problem:
            change = "serve a model that sees (polyclinic models list)"
            if sees:
                change = f"--limit-mm-per-prompt {_limit(self.profile.max_images or 1)}"
            if not known:
                change += ", or POLYCLINIC_SERVING_PROFILE=generic for a model of text alone"
            return [_finding("image", tried, one, change=change, needed=sees and known)]
        cost = _difference(one, without)
        if cost is not None and cost < 1:
            came = "taken, but the prompt grew by no token: the model does not see it"
            return [Finding(name="image", tried=tried, result="failed", came=came, needed=sees and known)]
        expected = self.profile.image_tokens(TINY_PX, TINY_PX)
        came = "taken" if cost is None else f"taken, for {cost} tokens"
        came += f" (the profile says {expected})" if expected and cost is not None else ""
        found = [Finding(name="image", tried=tried, result="ok", came=came, needed=sees and known)]
        if not sees:
            change = "POLYCLINIC_SERVING_PROFILE=NAME with the model's family (polyclinic models list)"
            came = f"none would be sent: the profile {self.profile.name} does not see"
            return [*found, Finding(name="images", tried="several", result="not tried", came=came, change=change)]
        return [*found, await self._several(self.profile.max_images or 1)]

    async def _several(self, most: int) -> Finding:
        """How many images a request may hold, up to what the profile would send."""
        taken, known = 1, self.profile.name != GENERIC_VISION
        for number in sorted({min(2, most), most} - {1}):
            answer = await self._look(number)
            if answer.problem:
                change = f"--limit-mm-per-prompt {_limit(most)}"
                tried = f"{number} images in one request"
                return _finding("images", tried, answer, change=change, needed=known)
            taken = number
        came = f"{taken} in one request, as many as the profile sends"
        return Finding(name="images", tried=f"{taken} images in one request", result="ok", came=came, needed=known)

    async def _look(self, images: int) -> _Answer:
        part = {"type": "image_url", "image_url": {"url": tiny_picture()}}
        text = {"type": "text", "text": "Which half is black?"}
        body = {"messages": [{"role": "user", "content": [*[part] * images, text]}], "max_completion_tokens": 1}
        return await self._send(body)

    async def _letters(self) -> list[Finding]:
        """Whether the probabilities of option letters come back in the shape they are read in."""
        letters = ("A", "B")
        body = _form(_Letter) | {"logprobs": True, "top_logprobs": len(letters) + MORE_LETTERS}
        body |= {"max_completion_tokens": self.settings.sampling.max_tokens}
        answer = await self._ask("Is water wet? A. Yes. B. No.", body)
        tried, name = "the probabilities of two letters, with a schema", "logprobs"
        off = "POLYCLINIC_SAMPLING_LOGPROBS=false (the model's stated confidence is used then)"
        if answer.problem:
            return [_finding(name, tried, answer, change=f"--max-logprobs 20, or {off}")]
        told = answer.choices[0].get("logprobs")
        shares = option_probabilities(answer.text, told, letters)
        if shares is None:
            came = "none that can be read" if told else "none"
            return [Finding(name=name, tried=tried, result="missing", came=came, change=off)]
        came = ", ".join(f"{letter} {share:.2f}" for letter, share in shares.items())
        return [Finding(name=name, tried=tried, result="ok", came=came)]

    async def _samples(self) -> list[Finding]:
        body = {"n": 3, "seed": 1, "temperature": 1.0, "max_completion_tokens": 16}
        answer = await self._ask("Name an organ.", body)
        tried, one = "three answers to one request", "POLYCLINIC_SAMPLING_SAMPLES=1 (the default)"
        if answer.problem:
            return [_finding("samples", tried, answer, change=one)]
        texts = {_words(choice, "content") for choice in answer.choices}
        came = f"{len(answer.choices)} choices; different texts: {len(texts)}"
        good = len(answer.choices) == 3
        return [_plain("samples", tried, came, good=good, change="" if good else one)]

    async def _repeats(self) -> list[Finding]:
        body = {"temperature": 0.0, "seed": 7, "max_completion_tokens": 48}
        first, second = [await self._ask("Describe a normal chest film.", body) for _ in range(2)]
        tried = "the same request twice at temperature 0"
        if first.problem or second.problem:
            return [_finding("repeats", tried, first if first.problem else second)]
        same = (first.thought, first.text) == (second.thought, second.text)
        came = "the same text" if same else "not repeatable: two texts (a recorded run still replays exactly)"
        return [Finding(name="repeats", tried=tried, result="ok" if same else "note", came=came)]

    async def _prefix(self) -> list[Finding]:
        """Whether the start of a prompt is computed once, by the reply's own count or else by the server's metrics."""
        nonce = secrets.token_hex(8)  # or a second run would find what the first has left
        prompt = "\n".join(f"{nonce} line {number}: the lungs are clear." for number in range(PREFIX_LINES))
        body = {"max_completion_tokens": 1}
        first, before = await self._ask(prompt, body), await self._cache_counts()
        second, after = await self._ask(prompt, body), await self._cache_counts()
        tried, name, flag = "a long prompt, twice", "prefix cache", "--enable-prefix-caching"
        if first.problem or second.problem:
            return [_finding(name, tried, first if first.problem else second, change="--max-model-len 16384")]
        cached, asked = second.cached_tokens, second.prompt_tokens
        if cached:
            came = f"{cached:,} of {asked or 0:,} prompt tokens from the cache"
            return [_plain(name, tried, came)]
        if before is not None and after is not None:
            hits, queries = (round(new - old) for new, old in zip(after, before, strict=True))
            came = f"{hits:,} of {queries:,} prompt tokens from the cache, by /metrics"
            tell = "--enable-prompt-tokens-details shows it in every trace"
            return [_plain(name, tried, came, good=hits > 0, change=tell if hits > 0 else flag)]
        if cached == 0:
            return [_plain(name, tried, "none of it from the cache", good=False, change=flag)]
        came = "neither the reply nor /metrics tells"
        return [
            Finding(name=name, tried=tried, result="note", came=came, change=f"{flag} --enable-prompt-tokens-details")
        ]

    async def _cache_counts(self) -> tuple[float, float] | None:
        """(hits, queries) in tokens so far, by the server's metrics page; None where it has none."""
        counts = {"hits": 0.0, "queries": 0.0}
        found = _METRIC.findall(await self.client.text(self.url, "/metrics"))
        try:
            for name, value in found:
                counts[name] += float(value)
        except ValueError:
            return None
        return (counts["hits"], counts["queries"]) if found else None

    async def _priority(self) -> list[Finding]:
        answer = await self._ask(_HELLO, {"priority": 1, "max_completion_tokens": 1})
        flag = "--scheduling-policy priority"
        tried, came = "a request with priority 1", f"accepted; only {flag} makes vLLM heed it"
        if not answer.problem:
            return [_plain("priority", tried, came)]
        return [_finding("priority", tried, answer, change=f"{flag}: until then the second of two cases is refused")]

    async def _adapters(self) -> list[Finding]:
        """Whether every listed adapter answers."""
        tried, silent = "a chat with each adapter", []
        for name in self.adapters:
            answer = await self._ask(_HELLO, {"model": name, "max_completion_tokens": 4})
            if answer.problem:
                silent.append(f"{name}: {answer.problem}")
        if not self.adapters:
            return [Finding(name="adapters", tried=tried, result="not tried", came="none is served")]
        came = "; ".join(silent) or f"{len(self.adapters)} of {len(self.adapters)} answer"
        if silent:
            change = "mend or leave out their --lora-modules"
            return [Finding(name="adapters", tried=tried, result="failed", came=came, change=change)]
        return [_plain("adapters", tried, came)]

    async def _agents(self) -> list[Finding]:
        """Whether the models that the settings give to agents are served here; those of other servers are left out."""
        listed = {str(card.get("id")) for card in self.cards}
        here = {
            agent: own.model for agent, own in sorted(self.settings.agents.items())
            if own.model and (own.url is None or own.url.rstrip("/") == self.url.rstrip("/"))
        }  # fmt: skip
        if not here:
            return []
        lacking = [f"{model} for {agent}" for agent, model in here.items() if model not in listed]
        came = f"not served: {', '.join(lacking)}" if lacking else f"{len(here)} named, all served"
        change = "--enable-lora --lora-modules NAME=PATH, or mend the table [agents]" if lacking else ""
        result: Result = "missing" if lacking else "ok"
        tried = "the models that the settings name for agents"
        return [Finding(name="agents", tried=tried, result=result, came=came, change=change, needed=True)]

    async def _reasoning(self) -> list[Finding]:
        """Whether what the model thinks comes apart from what it answers."""
        most = min(512, self.settings.sampling.max_tokens)
        answer = await self._ask("What is 17 + 25?", {"max_completion_tokens": most})
        tried, name, thinking = "a sum, to see how thinking comes", "reasoning", self.profile.thinking
        if answer.problem:
            return [_finding(name, tried, answer)]
        own = (thinking.opening, thinking.closing) if thinking else ()
        if any(tag in answer.text for tag in (*own, *_THOUGHT)):
            came = "left in the text, in its tags"
            if thinking is None:
                change = "POLYCLINIC_SERVING_PROFILE=NAME with the model's family, and its --reasoning-parser"
                return [_plain(name, tried, came, good=False, change=change)]
            if thinking.parser is None:
                return [Finding(name=name, tried=tried, result="note", came=f"{came}; Polyclinic splits it off")]
            return [_plain(name, tried, came, good=False, change=f"--reasoning-parser {thinking.parser}")]
        if answer.thought:
            return [_plain(name, tried, "apart from the text")]
        return [Finding(name=name, tried=tried, result="note", came="none came, apart or in tags")]

    def _seconds(self) -> Finding:
        first, median, longest = self.took_s[0], statistics.median(self.took_s), max(self.took_s)
        came = f"{len(self.took_s)} calls: first {first:.2f} s, median {median:.2f} s, longest {longest:.2f} s"
        limit, change = self.settings.budget.call_timeout_s, ""
        if longest > limit / 2:
            change = f"POLYCLINIC_BUDGET_CALL_TIMEOUT_S={round(4 * longest)} (it is {limit:g})"
        return Finding(name="seconds", tried="the calls above", result="note", came=came, change=change)

    async def _ask(self, prompt: str, body: Json) -> _Answer:
        return await self._send({"messages": [{"role": "user", "content": prompt}], **body})

    async def _send(self, body: Json) -> _Answer:
        """The answer to one request; a fault is tried once more, a refusal is not."""
        content = json.dumps({"model": self.model, "temperature": 0.0, **body}).encode()
        problem = ""
        for _ in range(ATTEMPTS):
            began = time.monotonic()
            try:
                completion = await self.client.complete(self.url, content, seconds=CALL_S)
            except ModelError as error:
                return _Answer(problem=_line(error.got), refused=True)
            except Fault as fault:
                problem = _line(fault.what)
                continue
            choices = completion.get("choices") if isinstance(completion, dict) else None
            if isinstance(choices, list) and choices and all(isinstance(choice, dict) for choice in choices):
                self.took_s.append(time.monotonic() - began)
                return _Answer(choices=tuple(choices), usage=completion.get("usage"), completion=completion)
            problem = "a body that is no chat completion"
        return _Answer(problem=f"{problem}, {ATTEMPTS} times")


async def checkup(url: str, settings: Settings) -> Checkup:
    """A checkup of the model that `polyclinic ask --engine URL` would use.

    Raises SetupError when the server cannot be reached or does not have the model.
    """
    check_url(url)
    key = settings.serving.api_key
    client = Client(key.get_secret_value() if key else None)
    cards = await client.models(url)
    names = [str(card["id"]) for card in cards if "id" in card]
    model = settings.model or next(iter(names), None)
    if model is None or (names and model not in names):
        slash = "" if url.rstrip("/").endswith("/v1") else "end the URL in /v1, or "
        raise SetupError(
            expected=f"a model that the server at {shown(url)} has: {_line(', '.join(names)) or 'it lists none'}",
            got="none named" if model is None else repr(model),
            fix=f"{slash}name one that it has with --model",
        )
    stated = settings.serving.profile
    profile = profile_named(stated) if stated else served_profile(model, cards)
    return Checkup(url=url, model=model, profile=profile, cards=cards, settings=settings, client=client)


def tiny_picture() -> str:
    """A PNG as a data URL: the left half black, the right half white."""
    half = 3 * TINY_PX // 2
    row = b"\0" + b"\0" * half + b"\xff" * half  # each row says first how it is filtered
    header = struct.pack(">IIBBBBB", TINY_PX, TINY_PX, 8, 2, 0, 0, 0)  # 8 bits of red, green and blue
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(row * TINY_PX)), (b"IEND", b""))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _turn_task() -> Task[SpecialistTurn]:
    role = next(role for role in load_roles() if role.name == "pulmonology")
    case = Case(
        question="A film after a fall shows a thin line beside the ribs without lung markings beyond it. What is it?",
        options={"A": "Pneumothorax", "B": "Pleural effusion"},
    )
    return Task(kind="specialist", agent=role.name, schema=SpecialistTurn, case=case, role=role, last=True)


def _form(model: type[Frozen]) -> Json:
    schema = {"name": model.__name__.strip("_"), "strict": True, "schema": closed(model.model_json_schema())}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def _finding(
    name: str, tried: str, answer: _Answer, *, came: str = "", change: str = "", needed: bool = False,
    result: Result = "ok",
) -> Finding:  # fmt: skip
    """The finding of one answer: `came` with `result`, or else its problem and what to change."""
    if not answer.problem:
        return Finding(name=name, tried=tried, result=result, came=came, needed=needed)
    how: Result = "missing" if answer.refused else "failed"
    return Finding(name=name, tried=tried, result=how, came=answer.problem, change=change, needed=needed)


def _plain(name: str, tried: str, came: str, *, good: bool = True, change: str = "") -> Finding:
    return Finding(name=name, tried=tried, result="ok" if good else "missing", came=came, change=change)


def _words(choice: Json, *keys: str) -> str:
    """The first of these texts that the message of a choice holds."""
    message = choice.get("message")
    texts = [message.get(key) for key in keys] if isinstance(message, dict) else []
    return next((text for text in texts if isinstance(text, str) and text), "")


def _count(holder: Any, name: str) -> int | None:
    value = holder.get(name) if isinstance(holder, dict) else None
    return value if isinstance(value, int) and value >= 0 else None


def _difference(longer: _Answer, shorter: _Answer) -> int | None:
    if longer.prompt_tokens is None or shorter.prompt_tokens is None:
        return None
    return longer.prompt_tokens - shorter.prompt_tokens


def _blank(text: str) -> bool:
    """Whether a reply that was cut off was filling itself with white space."""
    return re.search(rf"\s{{{_BLANKS}}}", text) is not None or not text.strip()


def _limit(images: int) -> str:
    return f"""'{{"image":{images}}}'"""


def _line(text: str, most: int = 300) -> str:
    """Someone else's words in one line that a terminal can show."""
    harmless = "".join(letter if letter.isprintable() else " " for letter in text[: 4 * most])
    line = " ".join(harmless.split())
    return line if len(line) <= most else line[: most - 1] + "…"
