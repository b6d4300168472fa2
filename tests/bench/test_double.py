"""The controlled double: what benchmarks blame on the client must not be the server's doing."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import subprocess
import sys
import time
import urllib.error
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import aiohttp
import pytest

from polyclinic.agents.prompts import messages
from polyclinic.agents.roles import load_roles, prompt
from polyclinic.agents.tasks import SpecialistTurn, Task, TriagePlan, Verdict
from polyclinic.core.case import Case, Image
from polyclinic.core.evidence import Evidence, Source
from polyclinic.tools.registry import Toolbox

Json: TypeAlias = dict[str, Any]
SLOW = 3.0  # how much slower than its model a loaded machine may be

CASE = Case(
    id="c",
    question="What is it?",
    options={"A": "Pneumonia", "B": "Effusion", "C": "Neither"},
    images=[Image(blob="0" * 64, modality="xray")],
)
PASSAGE = Evidence(
    id="radiology.p1",
    kind="passage",
    content="Blunting of the angle means effusion. It is seen early.",
    source=Source(kind="document", name="a book"),
)


def request(task: Task[Any], **more: Any) -> Json:
    """A task as an OpenAI-compatible engine would send it."""
    chat = [{"role": "system", "content": prompt("preamble")}]
    chat += [message for message in messages(task) if message["role"] != "system"]
    chat[1]["content"] = [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{part['blob']}"}} if "blob" in part else part
        for part in chat[1]["content"]
    ]
    schema = {"name": task.schema.__name__, "schema": task.schema.model_json_schema(), "strict": True}
    wanted = {"type": "json_schema", "json_schema": schema}
    return {"model": "double", "messages": chat, "response_format": wanted, **more}


def plain(text: str = "hello", **more: Any) -> Json:
    return {"model": "double", "messages": [{"role": "user", "content": text}], **more}


def specialist(step: int = 0, **more: Any) -> Task[SpecialistTurn]:
    (role,) = (role for role in load_roles() if role.name == "radiology")
    values: Json = {"role": role, "step": step, "last": step > 0, "shared": (PASSAGE,), **more}
    return Task(kind="specialist", agent="radiology", schema=SpecialistTurn, case=CASE, **values)


@pytest.fixture
async def client(server: Any) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
        yield session


class Asker:
    def __init__(self, client: aiohttp.ClientSession, server: Any) -> None:
        self._client = client
        self._url = f"{server.url}/chat/completions"

    async def __call__(self, body: Json, status: int = 200) -> Json:
        async with self._client.post(self._url, json=body) as reply:
            assert reply.status == status, await reply.text()
            read: Json = json.loads(await reply.read())
            return read

    async def content(self, body: Json) -> Any:
        return (await self(body))["choices"][0]["message"]["content"]


@pytest.fixture
def ask(client: aiohttp.ClientSession, server: Any) -> Asker:
    return Asker(client, server)


async def until(reached: Callable[[], bool]) -> None:
    """Waits for what the server will have noticed soon, however busy the machine."""
    deadline = time.monotonic() + 10
    while not reached():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


# --- routes ---


async def test_models_and_health(client: aiohttp.ClientSession, server: Any) -> None:
    server.configure(models=["one", "two"])
    async with client.get(f"{server.url}/models") as reply:
        assert [model["id"] for model in (await reply.json())["data"]] == ["one", "two"]
    async with client.get(server.url.replace("/v1", "/health")) as reply:
        assert reply.status == 200


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"model": "other"}, 404),
        ({"messages": None}, 400),
        ({"messages": []}, 400),
        ({"messages": ["hello"]}, 400),
        ({"stream": True}, 400),
    ],
)
async def test_what_is_not_understood_is_refused_as_openai_does(ask: Asker, changes: Json, status: int) -> None:
    error = (await ask(plain() | changes, status))["error"]
    assert error["message"]
    assert error["code"] == status


async def test_metrics_count_tokens_under_vllms_names(ask: Asker, client: Any, server: Any) -> None:
    usage = [(await ask(plain("x" * 400)))["usage"] for _ in range(2)]
    metrics = server.metrics()
    assert metrics["vllm:prompt_tokens_total"] == metrics["vllm:prefix_cache_queries_total"]
    assert metrics["vllm:prompt_tokens_total"] == sum(each["prompt_tokens"] for each in usage)
    assert metrics["vllm:generation_tokens_total"] == sum(each["completion_tokens"] for each in usage)
    assert metrics["vllm:prefix_cache_hits_total"] == usage[1]["prompt_tokens_details"]["cached_tokens"] > 0
    assert metrics["vllm:num_requests_running"] == metrics["vllm:num_requests_waiting"] == 0
    async with client.get(server.url.replace("/v1", "/metrics")) as reply:
        assert 'vllm:prompt_tokens_total{model_name="double"} ' in await reply.text()


def test_unknown_settings_are_refused(server: Any) -> None:
    for changes in ({"latency": 1}, {"faults": {"0": "sulks"}}, {"outage_mode": "maybe"}):
        with pytest.raises(urllib.error.HTTPError, match="400") as caught:
            server.configure(**changes)
        caught.value.close()


# --- latency and the queue ---


async def test_service_takes_as_long_as_the_model_says(ask: Asker, server: Any) -> None:
    server.configure(latency_s=0.05, per_prompt_token_s=0.001, per_output_token_s=0.002)
    await ask(plain("x" * 800))
    await ask(plain("x" * 800))
    for entry in server.log():
        new = entry["prompt_tokens"] - entry["hit_tokens"]
        due = 0.05 + 0.001 * new + 0.002 * entry["completion_tokens"]
        assert due <= entry["finished_s"] - entry["started_s"] <= SLOW * due
    first, second = server.log()
    assert first["hit_tokens"] == 0
    assert second["hit_tokens"] == 192  # of 207: ⟨<|user|>⟩ 9 characters, 800, a newline, ⟨<|assistant|>⟩ 14


async def test_the_cap_holds_and_nobody_waits_without_one(ask: Asker, server: Any) -> None:
    server.configure(latency_s=0.05, cap=3)
    await asyncio.gather(*(ask(plain(f"{number}")) for number in range(10)))
    spans = [(entry["started_s"], entry["finished_s"]) for entry in server.log()]
    assert max(sum(start <= moment < end for start, end in spans) for moment, _ in spans) == 3
    assert max(entry["running"] for entry in server.log()) == 3
    assert 0 < max(entry["waiting"] for entry in server.log()) <= 7
    server.configure(cap=None)
    server.reset()
    await asyncio.gather(*(ask(plain(f"{number}")) for number in range(10)))
    assert max(entry["running"] for entry in server.log()) > 3
    assert max(entry["waiting"] for entry in server.log()) == 0


@pytest.mark.parametrize(("by_priority", "order"), [(True, [0, 3, 4, 1, 2]), (False, [0, 1, 2, 3, 4])])
async def test_priorities_order_the_queue(ask: Asker, server: Any, by_priority: bool, order: list[int]) -> None:
    server.configure(latency_s=0.2, cap=1, priority=by_priority)
    waiting = []
    for number, priority in enumerate([0, 5, 5, 1, 2]):
        waiting.append(asyncio.create_task(ask(plain(f"{number}", priority=priority))))
        await until(lambda come=number + 1: len(server.log()) == come)
    await asyncio.gather(*waiting)
    log = server.log()
    assert [entry["priority"] for entry in log] == [0, 5, 5, 1, 2]
    assert sorted(range(5), key=lambda index: log[index]["started_s"]) == order


async def test_whoever_leaves_gives_the_place_up(ask: Asker, server: Any) -> None:
    server.configure(latency_s=5, cap=1)
    leaving = [asyncio.create_task(ask(plain(f"{number}"))) for number in range(3)]
    await until(lambda: server.metrics()["vllm:num_requests_waiting"] == 2)
    for task in leaving:
        task.cancel()
    await asyncio.gather(*leaving, return_exceptions=True)
    server.configure(latency_s=0)
    await asyncio.wait_for(ask(plain()), 4)
    await until(lambda: [entry["client_gone"] for entry in server.log()] == [True, True, True, False])
    assert server.metrics()["vllm:num_requests_running"] == 0


async def test_a_pause_takes_requests_and_lets_them_wait(ask: Asker, server: Any) -> None:
    server.pause(0.3)
    await ask(plain())
    (entry,) = server.log()
    assert 0.1 < entry["started_s"] - entry["arrived_s"] < SLOW


# --- the prefix cache ---


async def test_a_shared_prefix_hits_by_whole_blocks(ask: Asker, server: Any) -> None:
    head = "<|user|>\n"
    for shared, hits in [(64 * 5 - len(head), 5), (64 * 5 - len(head) - 1, 4), (64 * 6 - len(head) - 1, 5)]:
        server.reset()
        await ask(plain("s" * shared + "a" * 300))
        again = await ask(plain("s" * shared + "b" * 300))
        assert again["usage"]["prompt_tokens_details"]["cached_tokens"] == hits * 16
    assert [entry["hit_tokens"] for entry in server.log()] == [0, 80]


async def test_the_last_token_is_always_computed(ask: Asker) -> None:
    frame = len("<|user|>\n" + "\n" + "<|assistant|>\n")
    body = plain("x" * (64 * 4 - frame))
    first, second = [(await ask(body))["usage"] for _ in range(2)]
    assert first["prompt_tokens"] == 64
    assert second["prompt_tokens_details"]["cached_tokens"] == 48


async def test_images_count_tokens_and_hit_only_themselves(ask: Asker, server: Any) -> None:
    def body(url: str) -> Json:
        parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "y" * 200}]
        return {"model": "double", "messages": [{"role": "user", "content": parts}]}

    server.configure(image_tokens=100)
    usage = [(await ask(body(f"data:,{name}")))["usage"] for name in "aab"]
    assert usage[0]["prompt_tokens"] == math.ceil(9 / 4) + 100 + math.ceil((1 + 200 + 1 + 14) / 4)
    assert [each["prompt_tokens_details"]["cached_tokens"] for each in usage] == [0, 144, 0]
    assert [entry["images"] for entry in server.log()] == [1, 1, 1]


async def test_agents_of_a_case_share_its_prefix(ask: Asker, server: Any) -> None:
    server.configure(specialist_turns=1)
    for role in ("radiology", "cardiology"):
        (found,) = (each for each in load_roles() if each.name == role)
        await ask(request(specialist(role=found)))
    log = server.log()
    assert log[0]["case"] == log[1]["case"]
    shared = len(request(specialist())["messages"][0]["content"])
    assert log[1]["hit_tokens"] * 4 > shared


# --- faults ---


@pytest.mark.parametrize(("kind", "status"), [("500", 500), ("429", 429)])
async def test_fault_statuses(client: aiohttp.ClientSession, server: Any, kind: str, status: int) -> None:
    server.configure(faults={"1": kind})
    seen = []
    for _ in range(3):
        async with client.post(f"{server.url}/chat/completions", json=plain()) as reply:
            seen.append((reply.status, reply.headers.get("Retry-After"), "error" in await reply.json()))
    assert seen == [(200, None, False), (status, "0.1" if status == 429 else None, True), (200, None, False)]
    assert [(entry["fault"], entry["status"]) for entry in server.log()] == [(None, 200), (kind, status), (None, 200)]


async def test_fault_contents(ask: Asker, server: Any) -> None:
    server.configure(faults={0: "malformed", 1: "empty", 2: "null", 3: "wrong_schema", 4: "no_choices"})
    body = request(Task(kind="attending", agent="attending", schema=Verdict, case=CASE))
    with pytest.raises(json.JSONDecodeError):
        json.loads(await ask.content(body))
    assert await ask.content(body) == ""
    assert await ask.content(body) is None
    with pytest.raises(ValueError, match="answer"):
        Verdict.model_validate(json.loads(await ask.content(body)))
    assert (await ask(body))["choices"] == []
    Verdict.model_validate_json(await ask.content(body))


async def test_fault_html(client: aiohttp.ClientSession, server: Any) -> None:
    server.configure(faults={"0": "html"})
    async with client.post(f"{server.url}/chat/completions", json=plain()) as reply:
        assert reply.status == 200
        assert reply.content_type == "text/html"
        assert (await reply.text()).startswith("<html>")


@pytest.mark.parametrize(("kind", "error"), [("cut", aiohttp.ClientPayloadError), ("drop", aiohttp.ClientOSError)])
async def test_fault_connections(ask: Asker, server: Any, kind: str, error: type[Exception]) -> None:
    server.configure(fault_from={"index": 0, "count": 2, "kind": kind})
    for _ in range(2):
        with pytest.raises((error, aiohttp.ServerDisconnectedError)) as caught:
            await ask(plain())
        assert isinstance(caught.value, error) or kind == "drop"
    await ask(plain())
    assert [entry["fault"] for entry in server.log()] == [kind, kind, None]


async def test_fault_hang_lasts_until_the_client_leaves(ask: Asker, server: Any) -> None:
    server.configure(faults={"0": "hang"})
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(ask(plain()), 0.3)
    await ask(plain())
    await until(lambda: server.log()[0]["client_gone"])
    hung, fine = server.log()
    assert (hung["client_gone"], hung["status"], fine["client_gone"]) == (True, None, False)
    assert hung["finished_s"] - hung["arrived_s"] > 0.2


@pytest.mark.parametrize("mode", ["refuse", "503"])
async def test_outage(ask: Asker, client: aiohttp.ClientSession, server: Any, mode: str) -> None:
    server.outage(60, mode)
    for url in (f"{server.url}/models", server.url.replace("/v1", "/health")):
        if mode == "503":
            async with client.get(url) as reply:
                assert reply.status == 503
        else:
            with pytest.raises(aiohttp.ClientConnectionError):
                await client.get(url)
    if mode == "503":
        await ask(plain(), 503)
    else:
        with pytest.raises(aiohttp.ClientConnectionError):
            await ask(plain())
    server.outage(0.1, mode)
    await asyncio.sleep(0.2)
    await ask(plain())
    assert [entry["fault"] for entry in server.log()] == ["outage", None]
    assert [entry["status"] for entry in server.log()] == [None if mode == "refuse" else 503, 200]


async def test_random_faults_follow_the_request_not_its_place(client: Any, server: Any) -> None:
    server.configure(fault_rate=0.3, fault_kinds=["500", "429"], fault_seed=3, latency_s=0)

    async def statuses(order: list[int]) -> dict[int, list[int]]:
        server.reset()
        seen: dict[int, list[int]] = {}
        for number in order:
            async with client.post(f"{server.url}/chat/completions", json=plain(f"{number}")) as reply:
                seen.setdefault(number, []).append(reply.status)
        return seen

    forward = await statuses([*range(40), *range(40)])
    assert forward == await statuses([*range(39, -1, -1), *range(39, -1, -1)])
    failed = [status for pair in forward.values() for status in pair if status != 200]
    assert {*failed} == {500, 429}
    assert 10 < len(failed) < 40
    assert any(pair[0] != 200 and pair[1] == 200 for pair in forward.values())  # a retry has its own luck


# --- replies ---


async def test_triage_picks_the_team(ask: Asker, server: Any) -> None:
    server.configure(team=["neurology", "ophthalmology"])
    task = Task(kind="triage", agent="triage", schema=TriagePlan, case=CASE, roles=load_roles())
    plan = TriagePlan.model_validate_json(await ask.content(request(task)))
    assert [pick.specialty for pick in plan.specialists] == ["neurology", "ophthalmology"]
    assert (plan.difficulty, plan.urgency) == ("hard", "routine")
    body = request(task)
    body["response_format"]["json_schema"]["schema"]["$defs"]["Pick"]["properties"]["specialty"] = {
        "enum": ["cardiology", "ophthalmology"]
    }
    plan = TriagePlan.model_validate_json(await ask.content(body))
    assert [pick.specialty for pick in plan.specialists] == ["ophthalmology"]


async def test_a_specialist_asks_and_then_gives_an_opinion_with_evidence(ask: Asker, server: Any) -> None:
    cards = Toolbox().cards[:2]
    server.configure(query="effusion")
    first = SpecialistTurn.model_validate_json(await ask.content(request(specialist(last=False, tools=cards))))
    assert [search.query for search in first.searches] == ["effusion"]
    assert [(tool.tool, tool.image) for tool in first.tools] == [(card.name, "image-1") for card in cards[:1]]
    assert first.opinion is None
    second = SpecialistTurn.model_validate_json(await ask.content(request(specialist(step=1))))
    assert second.opinion is not None
    assert (second.tools, second.searches) == ((), ())
    assert (second.opinion.option, second.opinion.answer) == ("A", "Pneumonia")
    (claim,) = second.opinion.claims
    assert claim.evidence == ("radiology.p1",)
    assert claim.text == "Blunting of the angle means effusion."
    assert second.opinion.confidence == 0.8


async def test_a_last_or_only_turn_gives_the_opinion(ask: Asker, server: Any) -> None:
    told = SpecialistTurn.model_validate_json(await ask.content(request(specialist(last=True))))
    assert told.opinion is not None
    server.configure(specialist_turns=1)
    only = SpecialistTurn.model_validate_json(await ask.content(request(specialist(last=False))))
    assert only.opinion is not None


async def test_a_verdict_names_every_met_criterion(ask: Asker) -> None:
    met = PASSAGE.model_copy(update={"id": "criteria.c1", "kind": "criterion", "content": "Criterion met: fever."})
    task = Task(kind="attending", agent="attending", schema=Verdict, case=CASE, shared=(met,), own=(PASSAGE,))
    verdict = Verdict.model_validate_json(await ask.content(request(task)))
    assert [claim.evidence for claim in verdict.claims] == [("radiology.p1",), ("criteria.c1",)]
    assert verdict.option == "A"


async def test_the_schema_has_the_last_word(ask: Asker) -> None:
    task = Task(kind="attending", agent="attending", schema=Verdict, case=CASE, shared=(PASSAGE,))
    body = request(task)
    schema = body["response_format"]["json_schema"]["schema"]
    schema["properties"]["option"] = {"anyOf": [{"enum": ["B", "C"], "type": "string"}, {"type": "null"}]}
    schema["properties"]["confidence"] = {"type": "number", "enum": [0.25, 0.75]}
    schema["$defs"]["ClaimDraft"]["properties"]["evidence"]["items"] = {"enum": ["other.p9"]}
    schema["$defs"]["ClaimDraft"]["properties"]["evidence"]["minItems"] = 1
    schema["required"] = list(schema["properties"])
    reply = json.loads(await ask.content(body))
    assert list(reply) == list(schema["properties"])
    assert (reply["option"], reply["answer"], reply["confidence"]) == ("B", "Effusion", 0.25)
    assert [claim["evidence"] for claim in reply["claims"]] == [["other.p9"]]


async def test_a_tool_request_takes_the_form_its_tool_has(ask: Asker) -> None:
    cards = Toolbox().cards[:2]
    body = request(specialist(last=False, tools=cards))
    schema = body["response_format"]["json_schema"]["schema"]
    scale = {"type": "object", "properties": {"scale": {"type": "number", "minimum": 1}}, "required": ["scale"]}
    schema["properties"]["tools"]["items"] = {
        "anyOf": [
            {
                "type": "object",
                "properties": {"tool": {"enum": [name]}, "image": {"enum": ["image-1"]}, "arguments": scale},
                "required": ["tool", "image", "arguments"],
            }
            for name in ("another", cards[0].name)
        ]
    }
    schema["properties"]["reasoning"]["maxLength"] = 4
    reply = json.loads(await ask.content(body))
    assert reply["tools"] == [{"tool": cards[0].name, "image": "image-1", "arguments": {"scale": 1}}]
    assert reply["reasoning"] == "More"


async def test_any_other_schema_gets_its_smallest_instance(ask: Asker) -> None:
    leaf = {"type": "object", "properties": {"x": {"type": "integer", "minimum": 3}}, "required": ["x"]}
    kinds = {
        "word": {"type": "string", "minLength": 2},
        "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "one": {"const": 7},
        "flag": {"type": "boolean"},
        "share": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        "leaves": {"type": "array", "items": {"$ref": "#/$defs/Leaf"}, "minItems": 2},
        "left_out": {"type": "string"},
    }
    required = [name for name in kinds if name != "left_out"]
    schema = {"type": "object", "$defs": {"Leaf": leaf}, "properties": kinds, "required": required}
    wanted = {"type": "json_schema", "json_schema": {"name": "Other", "schema": schema}}
    reply = json.loads(await ask.content(plain(response_format=wanted)))
    assert reply == {"word": "xx", "maybe": None, "one": 7, "flag": False, "share": 0.5, "leaves": [{"x": 3}] * 2}


async def test_the_same_request_gets_the_same_reply_in_vllms_shape(ask: Asker, server: Any) -> None:
    server.configure(reasoning="Let me think.")
    first, second = [await ask(request(specialist(step=1), seed=4)) for _ in range(2)]
    assert first["choices"] == second["choices"]
    assert (first["object"], first["model"]) == ("chat.completion", "double")
    (choice,) = first["choices"]
    assert (choice["index"], choice["finish_reason"], choice["logprobs"]) == (0, "stop", None)
    assert (choice["message"]["role"], choice["message"]["reasoning"]) == ("assistant", "Let me think.")
    usage = first["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


async def test_several_choices(ask: Asker, server: Any) -> None:
    async def options() -> list[str]:
        reply = await ask(request(specialist(step=1), n=4))
        assert [choice["index"] for choice in reply["choices"]] == [0, 1, 2, 3]
        return [json.loads(choice["message"]["content"])["opinion"]["option"] for choice in reply["choices"]]

    assert await options() == ["A", "A", "A", "A"]
    server.configure(samples_differ=True)
    assert await options() == ["A", "B", "C", "A"]
    assert server.log()[-1]["n"] == 4


async def test_logprobs_spell_the_content_and_weigh_the_letters(ask: Asker) -> None:
    (choice,) = (await ask(request(specialist(step=1), logprobs=True, top_logprobs=5)))["choices"]
    tokens = choice["logprobs"]["content"]
    assert "".join(token["token"] for token in tokens) == choice["message"]["content"]
    (letter,) = (token for token in tokens if len(token["top_logprobs"]) > 1)
    shares = {top["token"]: round(math.exp(top["logprob"]), 6) for top in letter["top_logprobs"]}
    assert letter["token"] == "A"
    assert shares == {"A": 0.7, "B": 0.15, "C": 0.15}
    assert letter["bytes"] == [65]


async def test_a_limit_cuts_the_content(ask: Asker) -> None:
    whole = await ask(request(specialist(step=1)))
    for name in ("max_tokens", "max_completion_tokens"):
        reply = await ask(request(specialist(step=1), **{name: 10}))
        (choice,) = reply["choices"]
        assert choice["finish_reason"] == "length"
        assert reply["usage"]["completion_tokens"] == 10
        assert choice["message"]["content"] == whole["choices"][0]["message"]["content"][:40]
    assert (await ask(request(specialist(step=1), max_tokens=5000)))["choices"] == whole["choices"]


async def test_thinking_uses_the_limit_up(ask: Asker, server: Any) -> None:
    server.configure(reasoning="r" * 80)
    (choice,) = (await ask(request(specialist(step=1), max_tokens=10)))["choices"]
    assert (choice["message"]["content"], choice["message"]["reasoning"]) == (None, "r" * 40)
    assert choice["finish_reason"] == "length"


# --- log, reset, life ---


async def test_the_log_says_who_asked_what(ask: Asker, server: Any) -> None:
    server.configure(keep_bodies=2)
    bodies = [
        request(Task(kind="triage", agent="triage", schema=TriagePlan, case=CASE), seed=1, temperature=0.5),
        request(specialist(last=False), priority=7),
        plain(),
    ]
    replies = [await ask(body) for body in bodies]
    triage, turn, other = log = server.log()
    assert [entry["index"] for entry in log] == [0, 1, 2]
    assert [entry["schema"] for entry in log] == ["TriagePlan", "SpecialistTurn", None]
    assert [entry["role"] for entry in log] == ["TriagePlan", "Radiologist", ""]
    assert [entry["turn"] for entry in log] == [None, 1, None]
    assert (triage["seed"], triage["temperature"], turn["priority"]) == (1, 0.5, 7)
    assert triage["case"] == turn["case"] != other["case"]
    assert [entry["images"] for entry in log] == [1, 1, 0]
    assert [entry["prompt_tokens"] for entry in log] == [reply["usage"]["prompt_tokens"] for reply in replies]
    assert [entry["completion_tokens"] for entry in log] == [reply["usage"]["completion_tokens"] for reply in replies]
    assert all(entry["arrived_s"] <= entry["started_s"] <= entry["finished_s"] for entry in log)
    assert [entry.get("body") for entry in log] == [None, bodies[1], bodies[2]]


async def test_reset_forgets_all_but_the_configuration(ask: Asker, server: Any) -> None:
    server.configure(faults={"0": "500"})
    await ask(plain("x" * 400), 500)
    await ask(plain("x" * 400))
    server.outage(60)
    server.reset()
    assert server.log() == []
    assert server.metrics()["vllm:prompt_tokens_total"] == 0
    await ask(plain(), 500)
    assert (await ask(plain("x" * 400)))["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert [entry["index"] for entry in server.log()] == [0, 1]


def test_it_ends_with_its_block(double: ModuleType, loopback: None) -> None:
    with double.serving(double.DoubleConfig(models=("mine",), cap=2)) as running:
        assert running.log() == []
    with pytest.raises(urllib.error.URLError):
        running.log()
    running.stop()


@pytest.mark.parametrize("end", ["stdin", "term"])
def test_the_script_says_where_it_is_and_ends(double: ModuleType, end: str) -> None:
    command = [sys.executable, str(Path(double.__file__ or "")), "--port", "0", "--cap", "4", "--team", '["surgery"]']
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["url"].startswith("http://127.0.0.1:")
        if end == "stdin":
            process.stdin.close()
        else:
            os.kill(process.pid, signal.SIGTERM)
        started = time.monotonic()
        assert process.wait(timeout=10) == 0
        assert time.monotonic() - started < 8
