"""What is found out about a server: the good one, each ability it may lack, and replies that are none.

Asked is a stub of a chat server, in this process, that refuses or spoils one thing at a time.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from PIL import Image as Picture

from polyclinic.agents.engines.check import COMPACT, Finding, checkup, tiny_picture
from polyclinic.core.errors import SetupError
from polyclinic.core.settings import Settings

Json = Any
Hook = Callable[[Json], Json]

pytestmark = pytest.mark.usefixtures("loopback")

SEES, READS, THINKS = "Qwen2.5-VL-7B-Instruct", "some-model", "Qwen3-VL-8B-Thinking"
OPINION = {
    "reasoning": "No lung markings beyond a line.", "abstains": False, "answer": "Pneumothorax", "option": "A",
    "confidence": 0.9, "claims": [], "differential": [], "would_change_my_mind": "",
}  # fmt: skip
SAID = {
    "Small": {"finding": "nodule", "count": 3},
    "Letter": {"option": "B"},
    "SpecialistTurn": {"reasoning": "Clear.", "searches": [], "opinion": OPINION},
}


class Stub:
    """A chat server that can do everything, but for what `hook` answers instead: a status, a body or a completion."""

    def __init__(self, model: str, hook: Hook, *, adapters: tuple[str, ...] = (), room: int = 32_768) -> None:
        self.model, self.hook, self.adapters, self.room = model, hook, adapters, room
        self.bodies: list[Json] = []
        self.metrics = ""

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/v1/models", self.models)
        app.router.add_post("/v1/chat/completions", self.chat)
        app.router.add_get("/metrics", self.page)
        return app

    async def models(self, _: web.Request) -> web.Response:
        cards = [{"id": name, "parent": self.model} for name in self.adapters]
        return web.json_response({"data": [*cards, {"id": self.model, "max_model_len": self.room}]})

    async def page(self, _: web.Request) -> web.Response:
        return web.Response(text=self.metrics) if self.metrics else web.Response(status=404)

    async def chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.bodies.append(body)
        answer = self.hook(body)
        if isinstance(answer, int):
            message = f"no \x1b[31m{'such thing ' * 60}" if answer < 500 else "broken"
            return web.json_response({"error": {"message": message}}, status=answer)
        if isinstance(answer, str):
            return web.Response(text=answer, content_type="text/html")
        return web.json_response(completion(body, cached=self.seen(body)) if answer is None else answer)

    def seen(self, body: Json) -> int:
        return 1000 if [one["messages"] for one in self.bodies].count(body["messages"]) > 1 else 0


def completion(body: Json, text: str | None = None, *, cached: int = 0, finish: str = "stop", **message: Any) -> Json:
    """What a good server answers, with other words or another end where they are given."""
    form = named(body)
    said = text if text is not None else json.dumps(SAID[form]) if form in SAID else "ready"
    logprobs = None
    if body.get("logprobs"):
        likely = [{"token": letter, "logprob": odds} for letter, odds in (("B", -0.1), ("A", -2.4))]
        tokens = [{"token": part, "logprob": 0.0, "top_logprobs": []} for part in said.partition("B")]
        tokens[1]["top_logprobs"] = likely
        logprobs = {"content": tokens}
    choice = {"message": {"content": said, **message}, "finish_reason": finish, "logprobs": logprobs}
    size = len(json.dumps(body["messages"])) // 4
    usage = {"prompt_tokens": size, "prompt_tokens_details": {"cached_tokens": cached}}
    return {"choices": [choice] * body.get("n", 1), "usage": usage}


def named(body: Json) -> str:
    return str((body.get("response_format") or {}).get("json_schema", {}).get("name", ""))


def images(body: Json) -> int:
    return json.dumps(body).count('"image_url": {')


def nothing(body: Json) -> Json:
    return None


@asynccontextmanager
async def served(stub: Stub) -> AsyncIterator[str]:
    runner = web.AppRunner(stub.app(), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


async def found(stub: Stub, **settings: Any) -> dict[str, Finding]:
    async with served(stub) as url:
        server = await checkup(url, Settings.model_validate({"engine": url, **settings}))
        return {finding.name: finding async for finding in server.findings()}


def in_the_way(findings: dict[str, Finding]) -> list[str]:
    return [name for name, finding in findings.items() if finding.stands_in_the_way]


async def test_a_good_server_lacks_nothing() -> None:
    stub = Stub(SEES, nothing, adapters=("chest", "eyes"))
    findings = await found(stub)
    results = {name: finding.result for name, finding in findings.items()}
    assert {name for name, result in results.items() if result == "note"} == {"reasoning", "seconds"}
    assert set(results.values()) == {"ok", "note"}
    assert in_the_way(findings) == []
    assert "adapters: chest, eyes" in findings["answers"].came
    assert findings["logprobs"].came == "A 0.09, B 0.91"
    assert findings["images"].came.startswith("8 in one request")
    assert "1,000 of" in findings["prefix cache"].came
    assert "2 of 2" in findings["adapters"].came
    assert len(stub.bodies) <= 25


def test_the_picture_is_one() -> None:
    png = base64.b64decode(tiny_picture().partition(",")[2])
    with Picture.open(io.BytesIO(png)) as picture:
        assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (56, 56))
        assert picture.getpixel((27, 55)) == (0, 0, 0)
        assert picture.getpixel((28, 0)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("lacks", "name", "change", "needed"),
    [
        (lambda body: images(body) > 0, "image", "--limit-mm-per-prompt", True),
        (lambda body: images(body) > 1, "images", """--limit-mm-per-prompt '{"image":8}'""", True),
        (lambda body: images(body) > 2, "images", '{"image":8}', True),
        (lambda body: named(body) == "Small", "schema", COMPACT, True),
        (lambda body: named(body) == "SpecialistTurn", "turn", COMPACT, True),
        (lambda body: body.get("logprobs"), "logprobs", "POLYCLINIC_SAMPLING_LOGPROBS=false", False),
        (lambda body: body.get("n", 1) > 1, "samples", "POLYCLINIC_SAMPLING_SAMPLES=1", False),
        (lambda body: body.get("priority"), "priority", "--scheduling-policy priority", False),
    ],
)
@pytest.mark.parametrize(("status", "result"), [(400, "missing"), (500, "failed")])
async def test_what_a_server_refuses_is_said(
    lacks: Callable[[Json], Any], name: str, change: str, needed: bool, status: int, result: str
) -> None:
    findings = await found(Stub(SEES, lambda body: status if lacks(body) else None))
    finding = findings[name]
    assert finding.result == result
    assert f"HTTP {status}: {'no' if status == 400 else 'broken'}" in finding.came
    assert "\x1b" not in finding.came
    assert change in finding.change
    assert in_the_way(findings) == ([name] if needed else [])


async def test_a_text_model_need_not_see() -> None:
    findings = await found(Stub(READS, lambda body: 400 if images(body) else None))
    assert findings["image"].result == "missing"
    assert "POLYCLINIC_SERVING_PROFILE=generic" in findings["image"].change
    assert in_the_way(findings) == []


async def test_a_model_that_sees_under_an_unknown_name_is_shown_images() -> None:
    findings = await found(Stub(READS, nothing))
    assert findings["images"].result == "ok"


async def test_a_model_that_is_said_not_to_see_is_not_shown_any() -> None:
    findings = await found(Stub(READS, nothing), serving={"profile": "generic"})
    assert "POLYCLINIC_SERVING_PROFILE" in findings["images"].change
    assert findings["images"].result == "not tried"


async def test_an_image_that_costs_nothing_was_not_seen() -> None:
    def hook(body: Json) -> Json:
        return {**completion(body), "usage": {"prompt_tokens": 20}} if "Which half" in json.dumps(body) else None

    findings = await found(Stub(SEES, hook))
    assert findings["image"].result == "failed"
    assert "does not see" in findings["image"].came


async def test_one_fault_is_forgiven() -> None:
    stub = Stub(SEES, lambda _: None)
    stub.hook = lambda _: 500 if len(stub.bodies) % 2 else None  # every request fails the first time
    findings = await found(stub)
    assert in_the_way(findings) == []


@pytest.mark.parametrize("reply", ["<html>", "", "null", "[]", "{}", '{"choices": []}', '{"choices": [3]}'])
async def test_a_server_that_does_not_chat_is_asked_no_further(reply: str) -> None:
    stub = Stub(SEES, lambda _: reply)
    findings = await found(stub)
    assert [(finding.name, finding.result) for finding in findings.values()] == [
        ("answers", "failed"), ("the rest", "not tried"),
    ]  # fmt: skip
    assert in_the_way(findings) == ["answers"]
    assert len(stub.bodies) == 2


@pytest.mark.parametrize("choice", [{}, {"message": None}, {"message": {"content": 3}, "logprobs": {"content": [3]}}])
@pytest.mark.parametrize("usage", [None, 3, {"prompt_tokens": "3", "prompt_tokens_details": 3}])
async def test_replies_without_sense_are_findings(choice: Json, usage: Json) -> None:
    findings = await found(Stub(SEES, lambda _: {"choices": [choice], "usage": usage}))
    assert in_the_way(findings) == ["schema", "turn"]
    assert findings["logprobs"].result == "missing"
    assert findings["context"].result == "note"


@pytest.mark.parametrize("logprobs", [3, {"content": [{"token": '{"option": "B"}', "top_logprobs": 3}]}])
async def test_probabilities_in_another_shape_are_none(logprobs: Json) -> None:
    def hook(body: Json) -> Json:
        reply = completion(body)
        if named(body) == "Letter":
            reply["choices"][0]["logprobs"] = logprobs
        return reply

    assert (await found(Stub(READS, hook)))["logprobs"].result == "missing"


async def test_a_schema_that_is_not_followed() -> None:
    findings = await found(Stub(READS, lambda body: completion(body, "The sun shines.")))
    assert findings["schema"].result == "failed"
    assert "'The sun shines.'" in findings["schema"].came
    assert in_the_way(findings) == ["schema", "turn"]


async def test_a_reply_full_of_blanks_wants_a_flag() -> None:
    def hook(body: Json) -> Json:
        return completion(body, '{"finding":' + " \n" * 200, finish="length") if named(body) else None

    findings = await found(Stub(READS, hook))
    for name in ("schema", "turn"):
        assert findings[name].result == "failed"
        assert "white space" in findings[name].came
        assert findings[name].change == COMPACT


async def test_a_model_that_does_not_stop_wants_a_bound() -> None:
    def hook(body: Json) -> Json:
        unbounded = named(body) == "SpecialistTurn" and '"maxLength"' not in json.dumps(body)
        return completion(body, '{"reasoning": "so and so and so', finish="length") if unbounded else None

    findings = await found(Stub(READS, hook))
    assert "POLYCLINIC_SAMPLING_MAX_CHARS=64" in findings["turn"].change
    assert in_the_way(findings) == ["turn"]
    assert in_the_way(await found(Stub(READS, hook), sampling={"max_chars": 64})) == []


async def test_texts_that_differ_are_only_said() -> None:
    stub = Stub(READS, nothing)
    stub.hook = lambda body: None if named(body) else completion(body, f"number {len(stub.bodies)}")
    findings = await found(stub)
    assert findings["repeats"].result == "note"
    assert "not repeatable" in findings["repeats"].came


async def test_fewer_samples_than_asked_for() -> None:
    findings = await found(Stub(READS, lambda body: completion({**body, "n": 1})))
    assert findings["samples"].result == "missing"
    assert findings["samples"].came.startswith("1 choices")


@pytest.mark.parametrize(
    ("hits", "result", "change"),
    [
        ("5{} 9{}", "ok", "--enable-prompt-tokens-details"),
        ("5{} 5{}", "missing", "--enable-prefix-caching"),
        ("x x", "note", "--enable-prefix-caching --enable-prompt-tokens-details"),
        ("", "note", "--enable-prefix-caching --enable-prompt-tokens-details"),
    ],
)
async def test_the_metrics_tell_where_replies_do_not(hits: str, result: str, change: str) -> None:
    before, _, after = hits.replace("{}", "").partition(" ")

    def hook(body: Json) -> Json:
        twice = stub.seen(body) > 0
        label = 'vllm:prefix_cache_{}_total{{model_name="a b"}} {}\n'
        if hits:
            stub.metrics = label.format("queries", 40 if twice else 20) + label.format(
                "hits", after if twice else before
            )
        return {**completion(body), "usage": {"prompt_tokens": 9}}

    stub = Stub(READS, hook)
    finding = (await found(stub))["prefix cache"]
    assert finding.result == result
    assert change in finding.change
    if result != "note":
        assert finding.came.startswith(f"{int(after) - int(before)} of 20 ")


async def test_no_run_finds_what_another_left_in_the_cache() -> None:
    stub = Stub(READS, nothing)
    for _ in range(2):
        await found(stub)
    long = {json.dumps(body["messages"]) for body in stub.bodies if "line 100:" in json.dumps(body)}
    assert len(long) == 2


async def test_a_small_context_is_named_with_what_is_needed() -> None:
    findings = await found(Stub(READS, nothing, room=4096))
    assert findings["context"].result == "missing"
    assert "of 4,096" in findings["context"].came
    wanted = int(findings["context"].change.removeprefix("--max-model-len "))
    assert (await found(Stub(READS, nothing, room=wanted)))["context"].result == "ok"


async def test_an_adapter_that_does_not_answer() -> None:
    stub = Stub(SEES, lambda body: 404 if body["model"] == "eyes" else None, adapters=("chest", "eyes"))
    findings = await found(stub)
    assert findings["adapters"].result == "failed"
    assert findings["adapters"].came.startswith("eyes: HTTP 404")


async def test_the_models_of_agents_must_be_served() -> None:
    agents: Json = {
        "radiology": {"model": "chest"},
        "attending": {"model": "elsewhere", "url": "http://other:8000/v1"},
        "triage": {"sampling": {"temperature": 0.5}},
    }
    good = await found(Stub(SEES, nothing, adapters=("chest",)), agents=agents)
    assert (good["agents"].result, good["agents"].came) == ("ok", "1 named, all served")
    bad = await found(Stub(SEES, nothing), agents=agents)
    assert bad["agents"].came == "not served: chest for radiology"
    assert "--lora-modules" in bad["agents"].change
    assert in_the_way(bad) == ["agents"]


@pytest.mark.parametrize(
    ("model", "text", "thought", "result", "change"),
    [
        (THINKS, "so</think>42", None, "missing", "--reasoning-parser deepseek_r1"),
        (READS, "<think>so</think>42", None, "missing", "POLYCLINIC_SERVING_PROFILE"),
        ("medgemma-4b", "<unused94>thought so<unused95>42", None, "note", ""),
        (THINKS, "42", {"reasoning": "so"}, "ok", ""),
        (READS, "42", {"reasoning_content": "so"}, "ok", ""),
    ],
)
async def test_where_thinking_comes(model: str, text: str, thought: Json, result: str, change: str) -> None:
    def hook(body: Json) -> Json:
        return None if named(body) else completion(body, text, **(thought or {}))

    finding = (await found(Stub(model, hook)))["reasoning"]
    assert finding.result == result
    assert change in finding.change


async def test_slow_calls_want_a_longer_deadline() -> None:
    findings = await found(Stub(READS, nothing), budget={"call_timeout_s": 1e-6})
    assert "POLYCLINIC_BUDGET_CALL_TIMEOUT_S=" in findings["seconds"].change


async def test_a_model_that_is_not_there_and_a_url_that_is_none() -> None:
    async with served(Stub(SEES, nothing)) as url:
        with pytest.raises(SetupError, match=f"has: {SEES}; got 'other'"):
            await checkup(url, Settings(engine=url, model="other"))
        with pytest.raises(SetupError, match="ends in /v1"):
            await checkup(url.removesuffix("/v1"), Settings())
    with pytest.raises(SetupError, match="OpenAI-compatible server at"):
        await checkup(url, Settings())
    with pytest.raises(SetupError, match="the URL of"):
        await checkup("localhost", Settings())
