"""The vLLM engine on live servers: who answers whom, what is refused at once, and that runs go on and replay."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from polyclinic import Case, Clinic
from polyclinic.agents.clinic import make_engine, replay_run
from polyclinic.agents.engines.client import Client, check_url, shown
from polyclinic.agents.engines.vllm import VllmEngine, profile_named, served_profile
from polyclinic.agents.prompts import handbook
from polyclinic.core.errors import SetupError
from polyclinic.core.events import DecisionMade
from polyclinic.core.runs import read_run, report_text
from polyclinic.core.settings import AgentModel, Budget, Sampling, Serving, Settings

CASE = Case(
    id="served",
    question="Is a pulmonary nodule of 9 mm followed up?",
    options={"A": "Yes, by CT", "B": "No"},
    context=("The nodule measures 9 mm.",),
)
CALLS = 8
"""Triage, two turns of three specialists, the attending: what the double makes of a case."""


def case(number: int) -> Case:
    return CASE.model_copy(update={"id": f"served-{number}"})


def clinic(url: str, runs: Path, **settings: Any) -> Clinic:
    return Clinic(settings=Settings(engine=url, runs=runs, **settings))


def models(server: Any) -> dict[str, set[str]]:
    """The models that each role was asked of."""
    asked: dict[str, set[str]] = {}
    for entry in server.log():
        asked.setdefault(entry["role"], set()).add(entry["model"])
    return asked


async def test_a_case_is_answered_in_as_few_requests_as_it_has_calls(server: Any, tmp_path: Path) -> None:
    report = await Clinic(server.url, runs=tmp_path).consult(CASE)
    assert (report.status, report.option, report.engine) == ("answered", "A", "vllm/double")
    assert [member.specialty for member in report.team] == ["cardiology", "pulmonology", "radiology"]
    assert len(server.log()) == report.usage.total.chat_calls == CALLS
    assert report.confidence == pytest.approx(0.7)  # the double's probability for its letter
    assert report.usage.total.prompt_tokens == sum(entry["prompt_tokens"] for entry in server.log())
    assert not report.limitations


# Who is asked


async def test_agents_with_a_model_of_their_own_are_asked_it(server: Any, tmp_path: Path) -> None:
    server.configure(models=["common", "adapter", "chief"])
    agents = {"radiology": AgentModel(model="adapter"), "attending": AgentModel(model="chief")}
    report = await clinic(server.url, tmp_path, model="common", agents=agents).consult(CASE)
    assert models(server) == {
        "TriagePlan": {"common"}, "Cardiologist": {"common"}, "Pulmonologist": {"common"}, "Radiologist": {"adapter"},
        "Verdict": {"chief"},
    }  # fmt: skip
    assert report.engine == "vllm/common (attending chief, radiology adapter)"


async def test_a_specialty_is_stronger_than_all_specialists(server: Any, tmp_path: Path) -> None:
    server.configure(models=["common", "experts", "heart"])
    agents = {
        "specialist": AgentModel(model="experts", sampling=Sampling(seed=9)),
        "cardiology": AgentModel(model="heart"),
    }
    await clinic(server.url, tmp_path, model="common", agents=agents).consult(CASE)
    asked = models(server)
    assert (asked["Cardiologist"], asked["Radiologist"], asked["Verdict"]) == ({"heart"}, {"experts"}, {"common"})
    seeds = {(entry["role"], entry["seed"]) for entry in server.log()}
    assert seeds >= {("Radiologist", 9), ("Verdict", 0)}


async def test_agents_may_live_on_another_server(double: ModuleType, server: Any, tmp_path: Path) -> None:
    with double.serving(double.DoubleConfig(models=("big",), latency_s=0.01)) as other:
        agents = {"attending": AgentModel(url=other.url), "triage": AgentModel(url=other.url, model="big")}
        report = await clinic(server.url, tmp_path, model="double", agents=agents).consult(CASE)
        assert report.status == "answered"
        assert report.engine == "vllm/double (attending big, triage big)"
        assert set(models(other)) == {"TriagePlan", "Verdict"}
        assert set(models(server)) == {"Cardiologist", "Pulmonologist", "Radiologist"}


async def test_an_adapter_is_known_by_its_base_and_never_taken_for_the_model(stub: Any, tmp_path: Path) -> None:
    stub.models = [
        {"id": "house-lora", "parent": "base", "root": "/adapters/house"},
        {"id": "base", "root": "lingshu-medical-mllm/Lingshu-7B", "parent": None},
    ]
    report = await Clinic(stub.url, runs=tmp_path).consult(CASE)
    assert report.engine == "vllm/base"
    agents = {"radiology": AgentModel(model="house-lora")}
    report = await clinic(stub.url, tmp_path / "2", agents=agents).consult(CASE)
    chats = [record for record in read_run(Path(report.trace.path))[1] if record.kind == "chat"]
    assert {record.result["details"]["profile"] for record in chats} == {"qwen2-5-vl"}


@pytest.mark.parametrize(
    ("model", "card", "expected"),
    [
        ("lingshu-7b", {}, "qwen2-5-vl"),
        ("m", {"root": "google/medgemma-4b-it"}, "medgemma"),
        ("m", {"root": "m", "parent": "m"}, "generic-vision"),
    ],
)
def test_the_profile_follows_the_name_or_what_the_server_says(model: str, card: dict[str, Any], expected: str) -> None:
    assert served_profile(model, ({"id": model, **card},)).name == expected


async def test_a_stated_profile_is_taken(stub: Any, tmp_path: Path) -> None:
    report = await clinic(stub.url, tmp_path, serving=Serving(profile="medgemma")).consult(CASE)
    chat = next(record for record in read_run(Path(report.trace.path))[1] if record.kind == "chat")
    assert chat.result["details"]["profile"] == "medgemma"
    with pytest.raises(SetupError, match="a model profile among"):
        profile_named("nothing")


# What is refused at the start


async def refused(url: str, runs: Path, **settings: Any) -> str:
    with pytest.raises(SetupError) as caught:
        await clinic(url, runs, **settings).consult(CASE)
    assert "\n" not in str(caught.value)
    assert not [name for name in os.listdir(runs) if name.startswith("served")]  # nothing was begun
    return str(caught.value)


async def test_a_model_the_server_does_not_have_is_named_beside_those_it_has(server: Any, tmp_path: Path) -> None:
    server.configure(models=["one", "two"])
    said = await refused(server.url, tmp_path, model="three")
    assert "one, two" in said
    assert "'three'" in said
    said = await refused(server.url, tmp_path, model="one", agents={"radiology": AgentModel(model="four")})
    assert "'four' for radiology" in said


async def test_nobody_listening_is_said_at_once(loopback: None, tmp_path: Path) -> None:
    start_s = time.monotonic()
    said = await refused("http://127.0.0.1:9/v1", tmp_path)
    assert "an OpenAI-compatible server at http://127.0.0.1:9/v1" in said
    assert time.monotonic() - start_s < 5


async def test_an_agents_server_that_is_not_there_is_named(server: Any, tmp_path: Path) -> None:
    said = await refused(server.url, tmp_path, agents={"attending": AgentModel(url="http://127.0.0.1:9/v1")})
    assert "http://127.0.0.1:9/v1" in said


@pytest.mark.parametrize("model", [None, "double"])
async def test_a_url_without_v1_is_a_wrong_url(server: Any, tmp_path: Path, model: str | None) -> None:
    said = await refused(server.url.removesuffix("/v1"), tmp_path, model=model)
    assert "/v1" in said


async def test_a_server_that_answers_with_a_page_is_no_model_server(stub: Any, tmp_path: Path) -> None:
    said = await refused(stub.url.replace("/v1", "/page/v1"), tmp_path)
    assert stub.url.replace("/v1", "/page/v1") in said


async def test_a_server_that_was_down_may_be_tried_again(server: Any, tmp_path: Path) -> None:
    asked = Clinic(server.url, runs=tmp_path)
    server.outage(30)
    with pytest.raises(SetupError):
        await asked.consult(CASE)
    server.reset()
    assert (await asked.consult(CASE)).status == "answered"


@pytest.mark.parametrize("url", ["ftp://h/v1", "http://", "localhost:8000", "", "http:///v1"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(SetupError, match="the URL of an OpenAI-compatible server"):
        VllmEngine(url)
    with pytest.raises(SetupError):
        VllmEngine("http://h/v1", agents={"triage": AgentModel(url=url or "x")})


@pytest.mark.parametrize("url", ["http://[::1/v1", "http://h:port/v1", "http://h:99999/v1"])
def test_a_url_that_cannot_be_read_is_refused_too(url: str) -> None:
    with pytest.raises(SetupError):
        VllmEngine(url)


def test_a_url_is_shown_without_its_secrets() -> None:
    assert shown("http://me:secret@h:8000/v1") == "http://h:8000/v1"
    assert shown("https://h/v1") == "https://h/v1"


def test_a_url_that_is_refused_is_shown_without_its_secrets() -> None:
    with pytest.raises(SetupError) as caught:
        check_url("ftp://me:secret@h/v1")
    assert "secret" not in str(caught.value)


def test_a_bracketed_address_stays_one() -> None:
    assert shown("http://[::1]:8000/v1") == "http://[::1]:8000/v1"


def test_an_agent_that_is_none_is_refused() -> None:
    with pytest.raises(SetupError, match=r"the name of an agent: attending, .*radiology.*got 'astrology'"):
        VllmEngine("http://h/v1", agents={"astrology": AgentModel(model="m")})


def all_text(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.rglob("*") if path.is_file())


async def test_the_key_reaches_the_server_and_nothing_else(stub: Any, tmp_path: Path) -> None:
    settings = Settings.model_validate({"engine": stub.url, "runs": tmp_path, "serving": {"api_key": "sk-secret"}})
    asked = Clinic(settings=settings)
    report = await asked.consult(CASE)
    assert {header["Authorization"] for header in stub.headers} == {"Bearer sk-secret"}
    written = all_text(tmp_path)
    assert report.status == "answered"
    assert "sk-secret" not in written + repr(settings) + repr(asked.engine) + repr(vars(asked.engine))


async def test_a_refused_key_is_in_the_report_with_what_to_do(stub: Any, tmp_path: Path) -> None:
    stub.answer = lambda *_: web.json_response({"error": {"message": "Unauthorized"}}, status=401)
    report = await Clinic(stub.url, runs=tmp_path).consult(CASE)
    assert report.status == "failed"
    assert any("HTTP 401: Unauthorized; set POLYCLINIC_SERVING_API_KEY" in note for note in report.limitations)
    assert len(stub.bodies) == 1


# What makes two runs the same


async def test_sampling_is_part_of_a_runs_identity_and_the_place_is_not(
    double: ModuleType, server: Any, tmp_path: Path
) -> None:
    def folder(url: str, **settings: Any) -> Any:
        return clinic(url, tmp_path, model="double", **settings).engine.settings

    base = folder(server.url)
    assert base == folder("http://elsewhere/v1")
    assert base == folder(server.url, serving=Serving(max_in_flight=3, patience_s=1))
    for other in (
        {"sampling": Sampling(seed=1)},
        {"sampling": Sampling(max_chars=99)},
        {"agents": {"triage": AgentModel(sampling=Sampling(temperature=1))}},
    ):
        assert base != folder(server.url, **other)
    reports = [await clinic(server.url, tmp_path, sampling=Sampling(seed=seed)).consult(CASE) for seed in (0, 1)]
    assert len({Path(report.trace.path).parent for report in reports}) == 2


def test_the_profile_is_part_of_a_runs_identity() -> None:
    named = [VllmEngine("http://h/v1", "m", serving=Serving(profile=name)) for name in ("medgemma", "internvl3")]
    assert named[0].settings != named[1].settings


async def test_a_replay_needs_no_server(double: ModuleType, loopback: None, tmp_path: Path) -> None:
    with double.serving(double.DoubleConfig(latency_s=0.01)) as gone:
        report = await Clinic(gone.url, runs=tmp_path).consult(CASE)
    assert report.status == "answered"
    replayed = await replay_run(report.trace.path)
    assert report_text(replayed) == report_text(report) == (Path(report.trace.path).parent / "report.json").read_text()


async def test_a_run_with_repairs_and_faults_replays_byte_for_byte(server: Any, tmp_path: Path) -> None:
    server.configure(faults={"0": "malformed", "1": "500", "4": "wrong_schema", "6": "429", "8": "null"})
    report = await Clinic(server.url, runs=tmp_path).consult(CASE)
    assert report.status == "answered"
    assert report_text(await replay_run(report.trace.path)) == report_text(report)


async def test_a_run_that_was_cancelled_goes_on_where_it_was(server: Any, tmp_path: Path) -> None:
    server.configure(latency_s=0.1)
    asked, made, four = Clinic(server.url, runs=tmp_path), [], asyncio.Event()

    def listen(event: Any) -> None:
        if isinstance(event, DecisionMade) and event.kind == "chat":
            made.append(event.agent)
            if len(made) == 4:
                four.set()

    work = asyncio.ensure_future(asked.consult(CASE, listener=listen))
    await asyncio.wait_for(four.wait(), 20)  # triage and the first turns
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    before = Counter((entry["role"], entry["turn"]) for entry in server.log())
    server.reset()
    report = await asked.consult(CASE)
    assert report.status == "answered"
    again = Counter((entry["role"], entry["turn"]) for entry in server.log())
    assert again.total() == CALLS - 4
    assert not [call for call in again if call[1] == 1 or call[0] == "TriagePlan"]
    assert before.total() >= 4
    assert len([name for name in os.listdir(tmp_path) if name.startswith("served-")]) == 1
    assert report_text(await replay_run(report.trace.path)) == report_text(report)
    assert report.usage.total.chat_calls == CALLS


async def test_a_cancelled_case_leaves_its_place_to_others(server: Any, tmp_path: Path) -> None:
    server.configure(latency_s=0.1)
    asked = clinic(server.url, tmp_path, serving=Serving(max_in_flight=1))
    works = [asyncio.ensure_future(asked.consult(case(number))) for number in range(3)]
    await asyncio.sleep(0.15)
    for work in works:
        work.cancel()
    await asyncio.wait(works)
    server.configure(latency_s=0.01)
    assert (await asyncio.wait_for(asked.consult(case(9)), 20)).status == "answered"


async def test_a_fork_asks_another_model_for_the_rest(server: Any, tmp_path: Path) -> None:
    report = await Clinic(server.url, runs=tmp_path).consult(CASE)
    triage = next(record.seq for record in read_run(Path(report.trace.path))[1] if record.name == "triage")
    server.reset()
    server.configure(models=["other"])
    forked = await Clinic(server.url, runs=tmp_path).fork(report.trace.path, triage)
    assert forked.engine == "vllm/other"
    assert len(server.log()) == CALLS - 1
    assert "TriagePlan" not in models(server)


async def test_a_consultation_of_two_turns(server: Any, tmp_path: Path) -> None:
    server.configure(keep_bodies=40)
    async with Clinic(server.url, runs=tmp_path).consultation(CASE) as talk:
        first = await talk.ask("Is the nodule followed up?")
        second = await talk.ask("And in a year?")
    assert (first.status, second.status) == ("answered", "answered")
    bodies = [json.dumps(entry["body"]) for entry in server.log()]
    assert len(bodies) == 2 * CALLS
    assert ["Earlier turn 1:" in body for body in bodies] == [False] * CALLS + [True] * CALLS


# Many at once


async def test_thirty_cases_with_one_fault_in_ten_are_all_answered(server: Any, tmp_path: Path) -> None:
    server.configure(fault_rate=0.1, fault_kinds=["500", "429", "drop", "cut", "html", "no_choices"], keep_bodies=0)
    asked = Clinic(server.url, runs=tmp_path)
    reports = await asyncio.gather(*(asked.consult(case(number)) for number in range(30)))
    assert Counter((report.status, report.option) for report in reports) == {("answered", "A"): 30}
    assert not [note for report in reports for note in report.limitations]
    met = [entry for entry in server.log() if entry["fault"]]
    assert len(met) > 10
    assert len(server.log()) == 30 * CALLS + len(met) + sum(entry["schema"] is None for entry in server.log())
    assert sum(report.usage.total.chat_calls for report in reports) == 30 * CALLS


async def test_no_more_are_on_their_way_than_may_be_and_earlier_cases_go_first(stub: Any, tmp_path: Path) -> None:
    stub.latency_s = 0.01
    asked = clinic(stub.url, tmp_path, serving=Serving(max_in_flight=2))
    reports = await asyncio.gather(*(asked.consult(case(number)) for number in range(6)))
    assert {report.status for report in reports} == {"answered"}
    assert stub.most == 2
    ranks = [body["priority"] for body in stub.bodies]
    assert len(set(ranks)) == 6
    last = {rank: len(ranks) - ranks[::-1].index(rank) for rank in ranks}
    assert last[min(ranks)] < last[max(ranks)]


async def test_an_outage_in_the_middle_pauses_and_costs_no_answer(server: Any, tmp_path: Path) -> None:
    server.configure(latency_s=0.05)
    asked = clinic(server.url, tmp_path, budget=Budget(seconds=3.0, call_timeout_s=3.0))
    work = asyncio.gather(*(asked.consult(case(number)) for number in range(4)))
    await asyncio.sleep(0.15)
    await asyncio.to_thread(server.outage, 1.5)
    reports = await work
    assert [report.status for report in reports] == ["answered"] * 4
    assert not [note for report in reports for note in report.limitations]
    assert 0.8 < asked.engine.paused_s < 9
    settled_s = asked.engine.paused_s
    await asyncio.sleep(0.05)
    assert asked.engine.paused_s == settled_s


# Replies that are none


async def test_a_server_that_never_makes_sense_is_a_failed_report_with_what_came(stub: Any, tmp_path: Path) -> None:
    stub.answer = lambda *_: "I think it is A."
    report = await Clinic(stub.url, runs=tmp_path).consult(CASE)
    assert report.status == "failed"
    (reason,) = (note for note in report.limitations if "triage failed" in note)
    assert "asked twice; got It is not JSON" in reason
    assert len(stub.bodies) == report.usage.total.chat_calls == 2
    chats = [record for record in read_run(Path(report.trace.path))[1] if record.kind == "chat"]
    assert [record.result["faulty"]["text"] for record in chats] == ["I think it is A."] * 2
    assert report_text(await replay_run(report.trace.path)) == report_text(report)


@pytest.mark.parametrize(
    "content", ['{"reasoning": "a \\ud83d b"}', "\ud83d", "\x00", "9" * 5000, "[" * 50_000, '{"reasoning": ' * 3000]
)
async def test_no_reply_is_so_odd_that_a_case_crashes(stub: Any, tmp_path: Path, content: str) -> None:
    stub.answer = lambda *_: content
    report = await clinic(stub.url, tmp_path, serving=Serving(faults=2)).consult(CASE)
    assert report.status == "failed"
    assert report_text(await replay_run(report.trace.path)) == report_text(report)


async def test_odd_text_inside_a_good_reply_does_not_crash_a_case(stub: Any, tmp_path: Path) -> None:
    sensible = stub.answer
    stub.answer = lambda number, body: sensible(number, body).replace('"r"', '"a \\ud83d b\\u0000"')
    report = await Clinic(stub.url, runs=tmp_path).consult(CASE)
    assert report.status in ("answered", "failed")
    assert report_text(await replay_run(report.trace.path)) == report_text(report)


@pytest.mark.parametrize(
    "stated",
    [
        "nan", "-1", "inf",
        "Wed, 21 Oct 2015 07:28:00 GMT", "soon",
    ],
)  # fmt: skip
async def test_no_retry_after_is_so_odd_that_a_call_hangs(
    stub: Any, tmp_path: Path, stated: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polyclinic.agents.engines.patience.LONGEST_RETRY_AFTER_S", 0.05)
    sensible = stub.answer

    def answer(number: int, body: dict[str, Any]) -> Any:
        busy = web.json_response({}, status=429, headers={"Retry-After": stated})
        return busy if number == 0 else sensible(number, body)

    stub.answer = answer
    report = await asyncio.wait_for(Clinic(stub.url, runs=tmp_path).consult(CASE), 3)
    assert report.status == "answered"


# Event loops

LOOPS = """
import gc, sys
from polyclinic import Case, Clinic
clinic = Clinic(sys.argv[1], runs=sys.argv[2])
for number in range(2):
    report = clinic.consult_sync(Case(id=f"loop-{number}", question="Is it?", options={"A": "Yes", "B": "No"}))
    assert report.status == "answered", report.limitations
    gc.collect()
"""


def test_two_event_loops_one_after_the_other_leave_no_warning(server: Any, tmp_path: Path) -> None:
    flags = ["-X", "dev", "-W", "error::ResourceWarning", "-W", "error::RuntimeWarning"]
    done = subprocess.run(
        [sys.executable, *flags, "-c", LOOPS, server.url, str(tmp_path)], capture_output=True, text=True, check=False
    )
    said = [line for line in done.stderr.splitlines() if not line.startswith("Executing <")]  # asyncio's: it was slow
    assert (done.returncode, said) == (0, [])


def test_an_event_loop_that_is_closed_is_forgotten(server: Any, tmp_path: Path) -> None:
    asked = Clinic(server.url, runs=tmp_path)
    for number in range(3):
        assert asked.consult_sync(case(number)).status == "answered"
    gc.collect()
    engine: Any = asked.engine
    assert len(engine._loops) <= 1


def test_what_every_request_begins_with_is_the_handbook(server: Any, tmp_path: Path) -> None:
    server.configure(keep_bodies=9)
    Clinic(server.url, runs=tmp_path).consult_sync(CASE)
    heads = {json.dumps(entry["body"]["messages"][0]) for entry in server.log()}
    assert heads == {json.dumps({"role": "system", "content": handbook()})}


def test_a_key_that_a_server_repeats_is_not_shown() -> None:
    client = Client("sk-secret")
    assert client._clean("Incorrect key: Bearer sk-other, sk-secret\x1b[2J") == (
        "Incorrect key: Bearer … …\N{REPLACEMENT CHARACTER}[2J"
    )
    assert Client(None)._clean("none of it") == "none of it"


def test_a_common_key_goes_to_the_common_server_only() -> None:
    serving = Serving(api_key=SecretStr("sk-secret"))
    elsewhere = {"attending": AgentModel(url="http://elsewhere/v1"), "triage": AgentModel(model="small")}
    engine = VllmEngine("http://h/v1", "m", serving=serving, agents=elsewhere)
    keys = {name: wanted.api_key for name, wanted in engine._wanted.items()}
    assert keys == {"common": serving.api_key, "attending": None, "triage": serving.api_key}
    assert "sk-secret" not in str(engine.settings)


async def test_one_of_several_models_must_be_named(server: Any, tmp_path: Path) -> None:
    server.configure(models=["one", "two"])
    assert "one, two; name one of them with --model" in await refused(server.url, tmp_path)


def test_agents_without_a_server_are_a_mistake() -> None:
    with pytest.raises(SetupError, match="name the common server with --engine"):
        make_engine(Settings(agents={"triage": AgentModel(model="small")}))


async def test_a_redirect_is_not_followed(server: Any, tmp_path: Path) -> None:
    async def away(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 307 x\r\nLocation: {server.url}/models\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(away, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        assert "HTTP 307" in await refused(f"http://127.0.0.1:{port}/v1", tmp_path)
