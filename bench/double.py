"""A controlled double of a vLLM server: OpenAI's chat API with latency, a queue, a prefix cache and faults on demand.

python bench/double.py --port 0 --cap 16 --faults '{"3": "500"}'    prints {"url": "http://127.0.0.1:PORT/v1"}

It runs until SIGTERM, until its parent is gone or, where stdin is a pipe, until that closes. From Python,
`with serving(DoubleConfig(cap=16)) as double:` runs it in a process of its own, so that its CPU time is not the
client's. It is no language model: what it answers is in `double_replies.py`, what it counts as tokens and as cached in
`double_cache.py`. This file loads without those two, as tests load it by its path; only the server imports them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import heapq
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from double_cache import Prompt

Json = dict[str, Any]

FAULTS = {
    "500", "429", "drop", "hang", "html",  # never reach the queue, as if a proxy in front of the server failed
    "malformed", "empty", "null", "no_choices", "wrong_schema", "cut",  # served like any other, then spoilt
}  # fmt: skip
SPOILT_CONTENT = {"empty": "", "null": None}  # the other two kinds of content need the responder's texts
MOST_BYTES = 512 * 2**20  # of one request; a CT series in data URLs is large
PARENT_LOOK_S = 1.0
START_S = 30.0


@dataclass(frozen=True, kw_only=True)
class DoubleConfig:
    """All that can be set, at the start or while it runs.

    `cap`: requests in service at once (None: no limit); with `priority` the lowest `priority` field goes first, else
    arrival decides alone. `faults`: kind by the index of the request since the last reset; `fault_from`: the same for
    a stretch, {"index": 4, "count": 8, "kind": "500"}; `fault_rate`: share of requests that fail, each drawn by seed,
    body and how often that body came, so that order does not matter and a retry has its own luck.
    """

    models: tuple[str, ...] = ("double",)
    latency_s: float = 0.25
    per_prompt_token_s: float = 0.0
    per_output_token_s: float = 0.0
    cap: int | None = None
    priority: bool = False
    image_tokens: int = 256
    team: tuple[str, ...] = ("cardiology", "pulmonology", "radiology")
    specialist_turns: int = 2
    query: str = "findings"
    use_tools: bool = True
    reasoning: str | None = None
    samples_differ: bool = False
    option_probability: float = 0.7
    faults: dict[str, str] = field(default_factory=dict)
    fault_from: Json | None = None
    fault_rate: float = 0.0
    fault_kinds: tuple[str, ...] = ("500",)
    fault_seed: int = 0
    retry_after_s: float = 0.1
    hang_s: float = 3600.0
    outage_mode: str = "refuse"
    keep_bodies: int = 0

    def changed(self, changes: Json) -> DoubleConfig:
        """This with some fields changed, as JSON gives them; ValueError for a name or a kind that does not exist."""
        unknown = changes.keys() - {each.name for each in fields(self)}
        if unknown:
            raise ValueError(f"expected fields of DoubleConfig; got {sorted(unknown)}")
        typed = dict(changes)
        for name in typed.keys() & {"models", "team", "fault_kinds"}:
            typed[name] = (typed[name],) if isinstance(typed[name], str) else tuple(typed[name])
        if "faults" in typed:
            typed["faults"] = {str(index): kind for index, kind in typed["faults"].items()}
        config = replace(self, **typed)
        stretch = [config.fault_from["kind"]] if config.fault_from else []
        kinds = {*config.faults.values(), *config.fault_kinds, *stretch}
        if kinds - FAULTS or config.outage_mode not in {"refuse", "503"}:
            raise ValueError(f"expected faults of {sorted(FAULTS)}, outage_mode refuse or 503; got {sorted(kinds)}")
        return config


class Double:
    """A running double as its client sees it: where it is, what came, and how to make it misbehave. It blocks."""

    def __init__(self, url: str, process: subprocess.Popen[str]) -> None:
        self.url = url
        self._process = process
        self._root = url.removesuffix("/v1")
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through a proxy

    def log(self) -> list[Json]:
        """One entry per chat request since the last reset, in order of arrival."""
        entries: list[Json] = json.loads(self._call("/double/log"))
        return entries

    def reset(self) -> None:
        """Forgets the log, the counters, the cache, and any outage or pause; the configuration stays."""
        self._call("/double/reset", {})

    def configure(self, **changes: Any) -> None:
        """Changes fields of DoubleConfig for all that is admitted from now on."""
        self._call("/double/config", changes)

    def outage(self, seconds: float, mode: str = "refuse") -> None:
        """From now on every request on /v1 and /health fails; what is already being served goes through."""
        self._call("/double/config", {"outage_s": seconds, "outage_mode": mode})

    def pause(self, seconds: float) -> None:
        """Requests are taken but wait: none is admitted to service before the time is up."""
        self._call("/double/config", {"pause_s": seconds})

    def metrics(self) -> dict[str, float]:
        """What /metrics says by name, summed over models."""
        read: Counter[str] = Counter()
        for line in self._call("/metrics").splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                read[name.partition("{")[0]] += float(value)  # type: ignore[assignment]
        return dict(read)

    def stop(self) -> None:
        """Ends the server, by force if it does not go; stopping twice is harmless."""
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _call(self, path: str, body: Json | None = None) -> str:
        data = None if body is None else json.dumps(body).encode()
        with self._opener.open(self._root + path, data=data, timeout=30) as reply:
            text: str = reply.read().decode()
        return text


@contextlib.contextmanager
def serving(config: DoubleConfig | None = None) -> Iterator[Double]:
    """A double in a process of its own, for as long as the block runs."""
    values = asdict(config or DoubleConfig())
    flags = [f"--{name.replace('_', '-')}={json.dumps(value)}" for name, value in values.items()]
    command = [sys.executable, __file__, *flags]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    too_late = threading.Timer(START_S, process.kill)  # ends the wait below should it never say where it is
    too_late.start()
    try:
        line = process.stdout.readline()
    finally:
        too_late.cancel()
    double = Double(json.loads(line)["url"] if line else "", process)
    try:
        if not line:
            raise RuntimeError(f"the double ended before it listened: {process.wait()}; its stderr says why")
        yield double
    finally:
        double.stop()


class Slots:
    """The places in service and the queue before them."""

    def __init__(self, cap: int | None) -> None:
        self.cap = cap
        self.running = 0
        self._queue: list[tuple[int, int, asyncio.Future[None]]] = []
        self._arrivals = 0
        self._closed_until = 0.0

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @contextlib.asynccontextmanager
    async def place(self, priority: int) -> AsyncIterator[None]:
        """Waits for a place and holds it; whoever leaves early, from the queue too, gives it up."""
        if self._free():
            self.running += 1
        else:
            await self._wait(priority)
        try:
            yield
        finally:
            self.running -= 1
            self.admit()

    def admit(self) -> None:
        while self._queue and self._free():
            admitted = heapq.heappop(self._queue)[2]
            if not admitted.done():  # else its client has just left
                self.running += 1
                admitted.set_result(None)

    def close(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._closed_until = loop.time() + seconds
        loop.call_at(self._closed_until, self.admit)

    def _free(self) -> bool:
        open_again = asyncio.get_running_loop().time() >= self._closed_until
        return open_again and (self.cap is None or self.running < self.cap)

    async def _wait(self, priority: int) -> None:
        self._arrivals += 1
        place = (priority, self._arrivals, asyncio.get_running_loop().create_future())
        heapq.heappush(self._queue, place)
        try:
            await place[2]
        except asyncio.CancelledError:
            if place in self._queue:
                self._queue.remove(place)
                heapq.heapify(self._queue)
            elif not place[2].cancelled():  # admitted in the same tick
                self.running -= 1
                self.admit()
            raise


class RefusedError(Exception):
    """A request that OpenAI's API answers with an error body."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Server:
    """The routes, and what is remembered between requests."""

    def __init__(self, config: DoubleConfig) -> None:
        import double_cache
        import double_replies

        self._cache_model, self._replies = double_cache, double_replies
        self._born = time.monotonic()
        self.config = config
        self.slots = Slots(config.cap)
        self._forget()

    def app(self) -> web.Application:
        app = web.Application(client_max_size=MOST_BYTES)
        app.router.add_post("/v1/chat/completions", self.chat)
        app.router.add_get("/v1/models", self.models)
        app.router.add_get("/health", self.health)
        app.router.add_get("/metrics", self.metrics)
        app.router.add_get("/double/log", self.read_log)
        app.router.add_post("/double/config", self.configure)
        app.router.add_post("/double/reset", self.reset)
        return app

    def _forget(self) -> None:
        self.log: list[Json] = []
        self.cache = self._cache_model.PrefixCache()
        self.counters: Counter[tuple[str, str]] = Counter()
        self._seen: Counter[bytes] = Counter()
        self._outage_until = 0.0

    def _now(self) -> float:
        return time.monotonic() - self._born

    async def models(self, request: web.Request) -> web.Response:
        if down := self._down(request):
            return down
        listed = [{"id": name, "object": "model", "owned_by": "double"} for name in self.config.models]
        return web.json_response({"object": "list", "data": listed})

    async def health(self, request: web.Request) -> web.Response:
        return self._down(request) or web.Response()

    async def metrics(self, _: web.Request) -> web.Response:
        """vLLM's names. The gauges are the whole server's, under the first model's label; cached prompts count once
        however many choices they get."""
        totals = ("prefix_cache_queries", "prefix_cache_hits", "prompt_tokens", "generation_tokens")
        lines = []
        for name in totals:
            lines.append(f"# TYPE vllm:{name} counter")
            for model in self.config.models:
                lines.append(f'vllm:{name}_total{{model_name="{model}"}} {self.counters[name, model]}')
        for name, value in (("running", self.slots.running), ("waiting", self.slots.waiting)):
            lines.append(f"# TYPE vllm:num_requests_{name} gauge")
            lines.append(f'vllm:num_requests_{name}{{model_name="{self.config.models[0]}"}} {value}')
        lines.append(f"process_cpu_seconds_total {time.process_time()}")
        return web.Response(text="\n".join(lines) + "\n")

    async def read_log(self, _: web.Request) -> web.Response:
        return web.json_response(self.log)

    async def reset(self, _: web.Request) -> web.Response:
        self._forget()
        self.slots.close(0)
        return web.json_response({})

    async def configure(self, request: web.Request) -> web.Response:
        changes = await request.json()
        outage_s, pause_s = changes.pop("outage_s", None), changes.pop("pause_s", None)
        try:
            self.config = self.config.changed(changes)
        except (KeyError, TypeError, ValueError) as error:
            return _error(400, str(error))
        if outage_s is not None:
            self._outage_until = self._now() + outage_s
        if pause_s is not None:
            self.slots.close(pause_s)
        self.slots.cap = self.config.cap
        self.slots.admit()
        return web.json_response(asdict(self.config))

    def _down(self, request: web.Request) -> web.Response | None:
        """What an outage does to a request; None when there is none."""
        if self._now() >= self._outage_until:
            return None
        return _dropped(request) if self.config.outage_mode == "refuse" else _error(503, "The server is down.")

    async def chat(self, request: web.Request) -> web.StreamResponse:
        entry = self._arrive()
        try:
            response: web.StreamResponse
            if down := self._down(request):
                entry["fault"], response = "outage", down
            else:
                response = await self._answer(request, entry)
            entry["status"] = None if isinstance(response, Nothing) else response.status
            return response
        except RefusedError as error:
            entry["status"] = error.status
            return _error(error.status, str(error))
        except (asyncio.CancelledError, ConnectionError):
            entry["client_gone"] = True
            raise
        finally:
            entry["finished_s"] = self._now()

    def _arrive(self) -> Json:
        """The log's entry for a request, numbered before its body has come in."""
        unknown = ("model", "schema", "role", "turn", "case", "seed", "temperature", "started_s", "finished_s")
        zero = ("priority", "images", "prompt_tokens", "hit_tokens", "completion_tokens")
        entry: Json = {"index": len(self.log), **dict.fromkeys(unknown), **dict.fromkeys(zero, 0), "n": 1}
        entry |= {"fault": None, "status": None, "client_gone": False, "arrived_s": self._now()}
        entry |= {"waiting": self.slots.waiting, "running": self.slots.running}
        self.log.append(entry)
        return entry

    async def _answer(self, request: web.Request, entry: Json) -> web.StreamResponse:
        raw = await request.read()
        body = self._checked(raw)
        try:
            prompt = self._cache_model.read_chat(body["messages"])
        except (AttributeError, KeyError, TypeError):
            raise RefusedError(400, "expected messages with text and image_url parts") from None
        self._describe(entry, body, prompt)
        fault = entry["fault"] = self._fault(entry["index"], raw)
        if fault in {"500", "429", "drop", "hang", "html"}:
            return await self._unserved(fault, request)
        reply = json.dumps(await self._served(body, prompt, entry), ensure_ascii=False).encode()
        if fault == "cut":
            return await _cut_short(request, reply)
        return web.Response(body=reply, content_type="application/json")

    def _checked(self, raw: bytes) -> Json:
        try:
            body: Json = json.loads(raw)
            model = body.get("model")
        except (ValueError, AttributeError):
            raise RefusedError(400, "expected a JSON object") from None
        if model not in self.config.models:
            raise RefusedError(404, f"The model `{model}` does not exist.")
        if not isinstance(body.get("messages"), list) or not body["messages"]:
            raise RefusedError(400, "expected messages: a list of at least one message")
        if body.get("stream"):
            raise RefusedError(400, "the double does not stream")
        return body

    def _describe(self, entry: Json, body: Json, prompt: Prompt) -> None:
        schema, _ = self._replies.asked_schema(body)
        turn = self._replies.asked_turn(prompt)
        entry |= {name: body.get(name) for name in ("model", "seed", "temperature")}
        entry |= {"schema": schema or None, "role": self._replies.asked_role(prompt) or schema}
        entry |= {"case": prompt.case, "turn": turn[0] if turn else None, "images": prompt.images}
        entry |= {"priority": body.get("priority") or 0, "n": body.get("n") or 1}
        if self.config.keep_bodies:
            entry["body"] = body
            if entry["index"] >= self.config.keep_bodies:
                self.log[entry["index"] - self.config.keep_bodies].pop("body", None)

    def _fault(self, index: int, raw: bytes) -> str | None:
        config, stretch = self.config, self.config.fault_from
        if str(index) in config.faults:
            return config.faults[str(index)]
        if stretch and 0 <= index - stretch["index"] < stretch.get("count", 1):
            return str(stretch["kind"])
        if not config.fault_rate:
            return None
        digest = hashlib.sha256(raw).digest()
        self._seen[digest] += 1
        draw = hashlib.sha256(digest + f"{config.fault_seed} {self._seen[digest]}".encode()).digest()
        if int.from_bytes(draw[:8]) / 2**64 >= config.fault_rate:
            return None
        return config.fault_kinds[int.from_bytes(draw[8:16]) % len(config.fault_kinds)]

    async def _unserved(self, fault: str, request: web.Request) -> web.Response:
        if fault == "500":
            return _error(500, "Internal server error")
        if fault == "429":
            return _error(429, "Too many requests", {"Retry-After": f"{self.config.retry_after_s:g}"})
        if fault == "html":
            return web.Response(text="<html><body><h1>Welcome to nginx</h1></body></html>", content_type="text/html")
        if fault == "hang":
            await asyncio.sleep(self.config.hang_s)  # the client that leaves cancels this
        return _dropped(request)

    async def _served(self, body: Json, prompt: Prompt, entry: Json) -> Json:
        """A place in service, the cache, the time it takes; then the reply's body, spoilt where a fault says so."""
        fault, model = entry["fault"], body["model"]
        tokens = prompt.tokens(self.config.image_tokens)
        asked = entry["prompt_tokens"] = self._cache_model.count(tokens)
        async with self.slots.place(entry["priority"] if self.config.priority else 0):
            config, entry["started_s"] = self.config, self._now()
            hits = entry["hit_tokens"] = self.cache.admit(tokens)
            choices, written = self._choices(body, prompt, entry)
            entry["completion_tokens"] = written
            counted = {"prefix_cache_queries": asked, "prefix_cache_hits": hits, "prompt_tokens": asked}
            self.counters.update({(name, model): value for name, value in counted.items()})
            longest = written / max(1, entry["n"])  # choices are generated side by side
            prefill_s = config.per_prompt_token_s * (asked - hits)
            due_s = entry["started_s"] + config.latency_s + prefill_s + config.per_output_token_s * longest
            await asyncio.sleep(max(0.0, due_s - self._now()))  # working out the reply is part of the time
            self.counters["generation_tokens", model] += written
        usage = {"prompt_tokens": asked, "completion_tokens": written, "total_tokens": asked + written}
        return {
            "id": f"chatcmpl-{entry['index']}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": model,
            "choices": [] if fault == "no_choices" else choices,
            "usage": {**usage, "prompt_tokens_details": {"cached_tokens": hits}},
        }

    def _choices(self, body: Json, prompt: Prompt, entry: Json) -> tuple[list[Json], int]:
        replies = self._replies
        spoilt = {**SPOILT_CONTENT, "malformed": replies.PROSE, "wrong_schema": replies.WRONG_SCHEMA}
        if entry["fault"] in spoilt:
            said = [replies.Generated(content=spoilt[entry["fault"]])] * entry["n"]
        else:
            said = [replies.generate(body, prompt, self.config, choice) for choice in range(entry["n"])]
        written: tuple[list[Json], int] = replies.choices(body, said, self.config)
        return written


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    error = {"message": message, "type": "double_error", "param": None, "code": status}
    return web.json_response({"error": error}, status=status, headers=headers)


class Nothing(web.Response):
    """Stands for the answer that a closed connection never gets; aiohttp wants one."""


def _dropped(request: web.Request) -> Nothing:
    """Closes the connection without a byte."""
    if request.transport is not None:
        request.transport.close()
    return Nothing()


async def _cut_short(request: web.Request, reply: bytes) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = len(reply)
    await response.prepare(request)
    await response.write(reply[: len(reply) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


async def run(config: DoubleConfig, port: int) -> None:
    """Serves on 127.0.0.1 until it is told to stop or nobody is left to tell it."""
    stop, parent = asyncio.Event(), os.getppid()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if stat.S_ISFIFO(os.fstat(0).st_mode):  # /dev/null, a background job's stdin, would be at its end at once
        loop.add_reader(0, lambda: None if os.read(0, 4096) else stop.set())
    runner = web.AppRunner(Server(config).app(), access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, backlog=1024)
    await site.start()
    address = runner.addresses[0]
    print(json.dumps({"url": f"http://127.0.0.1:{address[1]}/v1"}), flush=True)
    while not stop.is_set() and os.getppid() == parent:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), PARENT_LOOK_S)
    await runner.cleanup()


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    for each in fields(DoubleConfig):
        parser.add_argument(f"--{each.name.replace('_', '-')}", type=_json_or_text, help=f"JSON, {each.type}")
    chosen = vars(parser.parse_args())
    port = chosen.pop("port")
    try:
        config = DoubleConfig().changed({name: value for name, value in chosen.items() if value is not None})
    except (KeyError, TypeError, ValueError) as error:
        parser.error(str(error))
    asyncio.run(run(config, port))


if __name__ == "__main__":
    main()
