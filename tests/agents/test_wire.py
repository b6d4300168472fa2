"""The wire: what is really sent begins alike for all agents, and what comes back is a reply or a complaint."""

from __future__ import annotations

import asyncio
import base64
import json
import math
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Picture

from polyclinic import Case, Clinic, Image, Visit
from polyclinic.agents.engines.patience import Fault
from polyclinic.agents.engines.pictures import Pictures
from polyclinic.agents.engines.vllm import profile_named
from polyclinic.agents.engines.wire import Line, images_to_send, read_reply, request_body
from polyclinic.agents.profiles import Profile
from polyclinic.agents.prompts import handbook
from polyclinic.agents.roles import load_roles
from polyclinic.agents.tasks import Call, Faulty, OpinionDraft, SpecialistTurn, Task, TriagePlan, Verdict
from polyclinic.core.blobs import Blobs
from polyclinic.core.errors import ModelError, TraceError
from polyclinic.core.runs import read_run
from polyclinic.core.settings import Sampling
from polyclinic.tools.imaging.store import ImageStore

RETINA = Image(path="package://skimage/data/retina.jpg", modality="fundus", body_part="eye")
OPTIONS = {"A": "Yes", "B": "No", "C": "Neither"}
CASE = Case(id="c", question="Is the eye well?", options=OPTIONS, context=("The eye is well.",))
QWEN = profile_named("qwen2-5-vl")
THINKS = profile_named("qwen3-vl-thinking")


def line(profile: Profile = QWEN, **sampling: Any) -> Line:
    return Line(url="http://h/v1", model="m", profile=profile, sampling=Sampling(**sampling))


def task(schema: type[Any] = Verdict, case: Case = CASE, **more: Any) -> Task[Any]:
    kinds: dict[Any, Any] = {TriagePlan: ("triage", "triage"), Verdict: ("attending", "attending")}
    kind, agent = kinds.get(schema, ("specialist", "radiology"))
    return Task(**{"kind": kind, "agent": agent, "schema": schema, "case": case, **more})


def conclusion(**more: Any) -> dict[str, Any]:
    return {"reasoning": "r", "answer": "Yes", "option": "A", "confidence": 0.4, **more}


def choice(content: Any, finish: str = "stop", **message: Any) -> dict[str, Any]:
    text = json.dumps(content) if isinstance(content, dict) else content
    return {"message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}


def read(
    *choices: dict[str, Any], of: Task[Any] | None = None, at: Line | None = None, usage: Any = None, **more: Any
) -> Any:
    body = {"model": "m", "choices": list(choices), "usage": usage, **more}
    return read_reply(of or task(), at or line(), body, [])


def problem(*choices: dict[str, Any], **more: Any) -> str:
    reply = read(*choices, **more)
    assert reply.value is None
    assert reply.faulty is not None
    return str(reply.faulty.problem)


# What is really sent


def sent(server: Any) -> list[dict[str, Any]]:
    return [entry["body"] for entry in server.log()]


def image_urls(body: dict[str, Any]) -> list[str]:
    content = [message["content"] for message in body["messages"] if isinstance(message["content"], list)]
    return [part["image_url"]["url"] for parts in content for part in parts if part["type"] == "image_url"]


def texts(body: dict[str, Any]) -> str:
    content = [message["content"] for message in body["messages"]]
    parts = [part for each in content for part in ([{"text": each}] if isinstance(each, str) else each)]
    return "\n".join(part.get("text", "") for part in parts)


def up_to_the_evidence(body: dict[str, Any]) -> str:
    """The messages as they travel, up to and including the evidence that all agents see."""
    system, user = body["messages"][:2]
    shared = [number for number, part in enumerate(user["content"]) if "# Shared evidence" in part.get("text", "")]
    assert len(shared) == 1
    return json.dumps([system, {**user, "content": user["content"][: shared[0] + 1]}], ensure_ascii=False)


@pytest.mark.parametrize("model", ["qwen2.5-vl-7b", "internvl3-8b", "some-text-model"])
async def test_all_agents_and_turns_of_a_case_share_their_beginning_byte_for_byte(
    model: str, server: Any, tmp_path: Path, noise: Path
) -> None:
    server.configure(models=[model], keep_bodies=40, faults={"0": "malformed", "3": "malformed"})
    case = CASE.model_copy(update={"images": (Image(path=str(noise), modality="xray"),)})
    report = await Clinic(server.url, runs=tmp_path, tools=()).consult(case)
    assert report.status == "answered", report.limitations
    bodies = sent(server)
    assert len(bodies) == 10  # triage, three specialists with two turns each, attending, and two repairs
    assert {entry["role"] for entry in server.log()} >= {"Radiologist", "Pulmonologist", "Cardiologist"}
    assert len({up_to_the_evidence(body) for body in bodies}) == 1
    shared = up_to_the_evidence(bodies[0]).removesuffix("]}]")
    assert all(json.dumps(body["messages"], ensure_ascii=False).startswith(shared) for body in bodies)
    assert all(list(body)[:2] == ["model", "messages"] for body in bodies)
    assert len({body["priority"] for body in bodies}) == 1


async def test_a_repair_extends_the_request_it_mends(server: Any, tmp_path: Path) -> None:
    server.configure(keep_bodies=40, faults={"0": "malformed"})
    report = await Clinic(server.url, runs=tmp_path).consult(CASE)
    first, repair = sent(server)[:2]
    assert repair["messages"][: len(first["messages"])] == first["messages"]
    said, complaint = repair["messages"][len(first["messages"]) :]
    assert said["role"] == "assistant"
    assert said["content"].startswith("I looked at the case")
    assert "It is not JSON" in complaint["content"][0]["text"]
    same = repair.keys() - {"messages"}
    assert {key: repair[key] for key in same} == {key: first[key] for key in same}
    assert report.usage.agents["triage"].chat_calls == 2
    chats = [record for record in read_run(Path(report.trace.path))[1] if record.kind == "chat"]
    broken, mended = [record for record in chats if record.scope == "triage"]
    assert broken.result["value"] is None
    assert broken.result["faulty"]["text"] == said["content"]
    assert mended.result["value"] is not None
    assert broken.usage["prompt_tokens"] > 0
    counted = sum(record.usage["prompt_tokens"] + record.usage["completion_tokens"] for record in chats)
    assert counted == report.usage.total.prompt_tokens + report.usage.total.completion_tokens


async def test_images_travel_as_data_urls_of_the_size_the_model_looks_at(server: Any, tmp_path: Path) -> None:
    server.configure(models=["qwen2.5-vl-7b"], keep_bodies=40)
    await Clinic(server.url, runs=tmp_path, tools=()).consult(CASE.model_copy(update={"images": (RETINA,)}))
    urls = [image_urls(body) for body in sent(server)]
    assert [len(each) for each in urls] == [1] * 8
    assert len({each[0] for each in urls}) == 1
    head, _, data = urls[0][0].partition(",")
    assert head == "data:image/png;base64"
    width, height = Picture.open(BytesIO(base64.b64decode(data))).size
    assert QWEN.max_pixels is not None
    assert 0.9 * QWEN.max_pixels < width * height <= QWEN.max_pixels
    assert math.isclose(width / height, 1.0, abs_tol=0.01)


async def test_a_model_that_takes_fewer_images_is_told_so_and_so_is_the_reader(
    server: Any, tmp_path: Path, noise: Path
) -> None:
    server.configure(models=["llava-1.5-7b"], keep_bodies=40)
    case = CASE.model_copy(update={"images": (RETINA, Image(path=str(noise), modality="xray"))})
    report = await Clinic(server.url, runs=tmp_path, tools=()).consult(case)
    for body in sent(server):
        assert len(image_urls(body)) == 1
        assert texts(body).count("(this image is not shown to you)") == 1
        assert "image-2: " in texts(body)
    notes = [note for note in report.limitations if "was shown 1 of 2 images" in note]
    assert len(notes) == 1
    assert "llava-1.5-7b" in notes[0]


async def test_a_model_that_does_not_see_is_not_shown_anything(server: Any, tmp_path: Path) -> None:
    server.configure(models=["llama-3-8b"], keep_bodies=40)
    report = await Clinic(server.url, runs=tmp_path, tools=()).consult(CASE.model_copy(update={"images": (RETINA,)}))
    assert not any(image_urls(body) for body in sent(server))
    assert any("cannot see: none of 1 images" in note for note in report.limitations)


# The body of a request


def images(number: int) -> tuple[Image, ...]:
    return tuple(Image(blob=format(place, "x") * 64, modality="xray") for place in range(1, number + 1))


def drawn(asked: Task[Any], at: Line) -> dict[str, str]:
    return {blob: f"data:{blob[0]}" for blob in images_to_send(asked, at.profile)}


def parts(asked: Task[Any], profile: Profile) -> list[Any]:
    at = line(profile)
    messages = request_body(asked, at, drawn(asked, at))["messages"]
    return [part for message in messages for part in message["content"] if isinstance(message["content"], list)]


def kinds(found: list[Any]) -> str:
    return "".join("i" if part["type"] == "image_url" else "t" for part in found)


def test_images_stand_in_place_or_before_the_text() -> None:
    asked = task(case=CASE.model_copy(update={"images": images(2)}))
    assert kinds(parts(asked, QWEN)) == "ttititt"
    before = QWEN.model_copy(update={"image_placement": "before_text"})
    assert kinds(parts(asked, before)) == "ii" + "t" * 6
    named, *rest = [part for part in parts(asked, before) if part["type"] == "text"]
    assert named["text"] == "The pictures above, in their order: image-1, image-2."
    assert rest == [part for part in parts(asked, QWEN) if part["type"] == "text"]


def test_the_handbook_goes_to_the_user_where_there_is_no_system_role() -> None:
    profile = QWEN.model_copy(update={"system_role": False})
    for asked in (task(), task(faulty=Faulty(text="x", problem="It is bad."))):
        messages = request_body(asked, line(profile), {})["messages"]
        assert [message["role"] for message in messages] == ["user", "assistant", "user"][: len(messages)]
        assert messages[0]["content"][0] == {"type": "text", "text": handbook()}
    assert request_body(task(), line(), {})["messages"][0] == {"role": "system", "content": handbook()}


def test_an_image_that_occurs_twice_does_not_exceed_what_the_model_takes() -> None:
    one, two = images(2)
    profile = QWEN.model_copy(update={"max_images": 2})
    asked = task(case=CASE.model_copy(update={"images": (one, two, one.model_copy(update={"view": "lateral"}))}))
    assert kinds(parts(asked, profile)).count("i") <= 2


def test_sampling_and_budget_are_in_the_body() -> None:
    body = request_body(task(call=Call(rank=7)), line(temperature=0.5, top_p=0.9, seed=3, max_tokens=99), {})
    told = {"temperature": 0.5, "top_p": 0.9, "seed": 3, "max_completion_tokens": 99, "priority": 7, "model": "m"}
    assert {name: body[name] for name in told} == told
    assert (body["logprobs"], body["top_logprobs"]) == (True, len(OPTIONS) + 5)
    assert "n" not in body
    assert request_body(task(call=Call(tokens=40)), line(), {})["max_completion_tokens"] == 40
    assert request_body(task(call=Call(tokens=-5)), line(), {})["max_completion_tokens"] == 16


def test_probabilities_are_asked_for_only_where_they_can_be_used() -> None:
    without = [
        (task(TriagePlan, roles=load_roles()), line()),
        (task(case=Case(id="o", question="?")), line()),
        (task(), line(logprobs=False)),
        (task(), line(samples=3, temperature=0.7)),
    ]
    for asked, at in without:
        assert "logprobs" not in request_body(asked, at, {})
    assert request_body(*without[-1], {})["n"] == 3
    many = task(case=Case(id="m", question="?", options=dict.fromkeys("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "x")))
    assert request_body(many, line(), {})["top_logprobs"] == 20


# Pixels


class Counting(ImageStore):
    encoded = 0

    def png(self, blob: str, *, most_pixels: int | None) -> bytes:
        type(self).encoded += 1
        return super().png(blob, most_pixels=most_pixels)


@pytest.fixture
def stored(tmp_path: Path, noise: Path, monkeypatch: pytest.MonkeyPatch) -> Task[Any]:
    """A task with one real image of 160 × 160 in a store that counts."""
    monkeypatch.setattr(Counting, "encoded", 0)
    store = Counting(Blobs(tmp_path / "blobs"))
    taken = store.take_in(Image(path=str(noise), modality="xray"), base=tmp_path, root=None)
    return task(case=CASE.model_copy(update={"images": (taken.image,)}), call=Call(images=store))


async def test_an_image_is_encoded_once_per_size(stored: Task[Any]) -> None:
    pictures = Pictures()
    urls = [await pictures.shown(stored, QWEN) for _ in range(3)]
    assert urls[0] == urls[1] == urls[2]
    assert Counting.encoded == 1
    small = await pictures.shown(stored, QWEN.model_copy(update={"max_pixels": 6400}))
    assert Counting.encoded == 2
    (url,) = small.values()
    width, height = Picture.open(BytesIO(base64.b64decode(url.partition(",")[2]))).size
    assert width * height <= 6400


async def test_agents_that_start_together_encode_an_image_once(stored: Task[Any]) -> None:
    pictures = Pictures()
    await asyncio.gather(*(pictures.shown(stored, QWEN) for _ in range(4)))
    assert Counting.encoded == 1


async def test_pixels_that_are_gone_or_not_there_are_a_typed_error(stored: Task[Any], tmp_path: Path) -> None:
    for call in (Call(images=ImageStore(Blobs(tmp_path / "empty"))), Call()):
        with pytest.raises((ModelError, TraceError), match=r"pixels|blob"):
            await Pictures().shown(replace(stored, call=call), QWEN)


async def test_the_least_recently_used_images_make_room(stored: Task[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polyclinic.agents.engines.pictures.KEPT_BYTES", 1)
    pictures = Pictures()
    for limit in (13_000, 6400, 13_000):
        assert await pictures.shown(stored, QWEN.model_copy(update={"max_pixels": limit}))
    assert Counting.encoded == 3


# The reply


def test_a_good_reply_is_its_value_with_usage_and_reasoning() -> None:
    usage = {
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "total_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 4},
    }
    reply = read(choice(conclusion(), reasoning=" I think. "), usage=usage)
    assert reply.value == Verdict(**conclusion())
    assert reply.faulty is None
    assert reply.usage == {"prompt_tokens": 7, "completion_tokens": 3, "cached_tokens": 4}
    assert reply.reasoning == "I think."
    assert reply.details["profile"] == QWEN.name
    assert reply.details["sampling"]["temperature"] == 0


@pytest.mark.parametrize(
    "usage", [None, [], "x", {}, {"prompt_tokens": None}, {"prompt_tokens": -4}, {"prompt_tokens_details": 3}]
)
def test_usage_that_is_none_counts_nothing(usage: Any) -> None:
    assert read(choice(conclusion()), usage=usage).usage == {}


@pytest.mark.parametrize("wrapped", ["```json\n{}\n```", "```\n{}\n```", "\n\n{}\n", "  ```json{}```  "])
def test_fences_and_blanks_around_the_reply_do_no_harm(wrapped: str) -> None:
    assert read(choice(wrapped.replace("{}", json.dumps(conclusion())))).value == Verdict(**conclusion())


@pytest.mark.parametrize(
    ("text", "message", "reasoning"),
    [
        ("<think>Hm. {}</think>\n\n", {}, "Hm. {}"),
        ("Hm.</think>", {}, "Hm."),
        ("<think></think>", {}, ""),
        ("", {"reasoning": "Apart."}, "Apart."),
        ("", {"reasoning_content": "Apart."}, "Apart."),
    ],
)
def test_thinking_is_kept_apart(text: str, message: dict[str, str], reasoning: str) -> None:
    reply = read(choice(text + json.dumps(conclusion()), **message), at=line(THINKS))
    assert reply.value == Verdict(**conclusion())
    assert reply.reasoning == reasoning


def test_a_closing_tag_inside_the_reply_is_part_of_it() -> None:
    said = conclusion(answer="The tag </think> ends a thought")
    assert read(choice(said), at=line(THINKS)).value == Verdict(**said)


LAST = task(SpecialistTurn, last=True)
GATHERING = task(SpecialistTurn, last=False)
TRIAGE = task(TriagePlan, roles=load_roles())
STRANGER = {
    "reasoning": "r", "urgency": "routine", "difficulty": "easy",
    "specialists": [{"reason": "r", "specialty": "astrology"}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("content", "asked", "complaint"),
    [
        ("", task(), "It was empty."),
        ("   ", task(), "It was empty."),
        (None, task(), "It was empty."),
        (17, task(), "It was empty."),
        ("The answer is A.", task(), "It is not JSON"),
        ('{"reasoning": "r", "answer"', task(), "It is not JSON"),
        ("[]", task(), "At the whole"),
        ({"unexpected": 1}, task(), "At reasoning: Field required"),
        (conclusion(colour=1), task(), "At colour: Extra inputs"),
        (conclusion(confidence=7), task(), "At confidence: Input should be less than or equal to 1; you wrote '7'"),
        (conclusion(option="D"), task(), "The option must be one of A, B, C"),
        (conclusion(option=None), task(), "The option must be one of A, B, C"),
        (conclusion(answer=" "), task(), "The answer is empty"),
        ({"reasoning": "r", "opinion": None}, LAST, "This is your last turn"),
        ({"reasoning": "r", "opinion": None}, GATHERING, "Request tools or passages, or give the opinion."),
        ({"reasoning": "r", "opinion": conclusion(option="Z")}, GATHERING, "The option must be one of"),
        (STRANGER, TRIAGE, "no specialties of the table: astrology"),
        ({**STRANGER, "specialists": []}, TRIAGE, "At specialists"),
    ],
)
def test_a_reply_that_cannot_be_used_is_complained_about(content: Any, asked: Task[Any], complaint: str) -> None:
    assert complaint in problem(choice(content), of=asked)


@pytest.mark.parametrize(
    "content",
    [conclusion(abstains=True, option=None), conclusion(abstains=True, answer=""), conclusion(option="B")],
)
def test_an_abstention_needs_neither_option_nor_answer(content: dict[str, Any]) -> None:
    assert read(choice(content)).value == Verdict(**content)


def test_a_reply_that_was_cut_off_is_to_be_shorter() -> None:
    assert "cut off: at most 64 tokens" in problem(choice('{"reasoning": "and', "length"), at=line(max_tokens=64))
    assert "cut off" in problem(choice(conclusion(), "length"))


def test_thinking_that_took_all_tokens_is_called_cut_off() -> None:
    assert "cut off" in problem(choice(None, "length", reasoning="and then"), at=line(THINKS))


def test_a_reply_cut_off_by_the_budget_names_that_limit() -> None:
    asked = task(call=Call(tokens=100))
    assert "100 tokens" in problem(choice('{"rea', "length"), of=asked)


def test_an_option_that_nobody_offered_is_complained_about() -> None:
    assert problem(choice(conclusion(option="Z")), of=task(case=Case(id="o", question="What is it?")))


HALF = '{"reasoning": "a \\ud83d b", "answer": "Yes", "option": "A"}'


def test_half_a_character_in_the_reply_is_complained_about_or_mended() -> None:
    reply = read(choice(HALF))
    assert reply.faulty is not None or reply.value.reasoning.encode()


def test_a_complaint_and_a_quotation_are_short() -> None:
    told = problem(choice(conclusion(**{f"n{number}": "x" * 5000 for number in range(30)})))
    assert told.count("\n") == 4
    assert len(told) < 1000
    long = read(choice("x" * 50_000)).faulty
    assert long is not None
    assert len(long.text) == 4000


@pytest.mark.parametrize(
    "body", [None, [], "x", {}, {"choices": None}, {"choices": []}, {"choices": ["x"]}, {"choices": {"0": {}}}]
)
def test_a_body_that_is_no_completion_is_a_fault(body: Any) -> None:
    with pytest.raises(Fault, match="no chat completion"):
        read_reply(task(), line(), body, [])


@pytest.mark.parametrize(
    "broken", [{}, {"message": None}, {"message": "x"}, {"message": {"content": [{"text": "x"}]}, "logprobs": [1]}]
)
def test_a_choice_without_content_is_complained_about(broken: Any) -> None:
    assert problem(broken) == "It was empty."


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=9), inside, max_size=3),
    max_leaves=8,
)


@given(message=_JSON, logprobs=_JSON, finish=_JSON, usage=_JSON, model=_JSON)
def test_any_choice_is_a_reply_or_a_complaint(message: Any, logprobs: Any, finish: Any, usage: Any, model: Any) -> None:
    one = {"message": message, "logprobs": logprobs, "finish_reason": finish}
    two = {"message": {"content": message}, "logprobs": logprobs}
    good = {"message": {"content": json.dumps(conclusion()), "reasoning": message}, "logprobs": logprobs}
    for choices in ([one], [two], [good], [one, good], [one, two]):
        reply = read_reply(task(), line(), {"model": model, "choices": choices, "usage": usage}, [])
        assert (reply.value is None) == (reply.faulty is not None)
        assert isinstance(reply.reasoning, str)
        assert all(isinstance(count, int) for count in reply.usage.values())
        json.dumps(reply.details, ensure_ascii=False).encode()


# Confidence


def letters(**shares: float) -> list[dict[str, Any]]:
    return [{"token": each, "bytes": [ord(each)], "logprob": math.log(share)} for each, share in shares.items()]


def weighed(content: dict[str, Any], **shares: float) -> dict[str, Any]:
    text = json.dumps(content)
    before, after = text.rsplit('"option": "' + content["option"], 1)
    pieces = [(before + '"option": "', []), (content["option"], letters(**shares)), (after, [])]
    tokens = [
        {"token": piece, "bytes": list(piece.encode()), "logprob": -0.1, "top_logprobs": top} for piece, top in pieces
    ]
    return {**choice(content), "logprobs": {"content": tokens}}


def test_the_probability_of_the_letter_takes_the_place_of_the_stated_confidence() -> None:
    reply = read(weighed(conclusion(), A=0.6, B=0.3, C=0.1))
    assert reply.value.confidence == 0.6
    assert reply.details["options"] == {"A": 0.6, "B": 0.3, "C": 0.1}
    assert reply.details["stated_confidence"] == 0.4
    turn = read(
        {**weighed(conclusion(), A=0.6, B=0.3, C=0.1)} | choice({"reasoning": "r", "opinion": conclusion()}), of=LAST
    )
    assert turn.value.opinion.confidence == 0.4  # the tokens are of another text
    abstaining = read(weighed(conclusion(abstains=True), A=0.6, B=0.3, C=0.1))
    assert abstaining.value.confidence == 0.4


def test_of_several_samples_the_majority_wins_with_its_share() -> None:
    at = line(samples=5, temperature=0.7)
    said = [conclusion(option=letter, answer=letter + str(n)) for n, letter in enumerate("BABA")]
    reply = read(*map(choice, said), choice("prose"), at=at)
    assert (reply.value.option, reply.value.answer) == ("B", "B0")  # a tie goes to the one that came first
    assert reply.value.confidence == 0.4
    assert reply.details["ballots"] == ["B", "A", "B", "A"]
    assert reply.details["unusable_samples"] == 1
    assert reply.details["stated_confidence"] == 0.4


def test_when_no_sample_can_be_used_the_first_is_complained_about() -> None:
    reply = read(choice("one"), choice(""), at=line(samples=2, temperature=1))
    assert reply.faulty is not None
    assert (reply.faulty.text, reply.details["faults"]) == ("one", [])


def test_samples_that_cannot_be_used_do_not_make_an_answer_surer() -> None:
    spoilt = [choice("prose")] * 4
    assert read(choice(conclusion()), *spoilt, at=line(samples=5, temperature=1)).value.confidence <= 0.5


def test_a_vote_decides_between_asking_and_concluding() -> None:
    asks = {"reasoning": "r", "searches": [{"query": "q"}]}
    concludes = {"reasoning": "r", "opinion": conclusion()}
    at = line(samples=3, temperature=1)
    assert read(*map(choice, (concludes, asks, asks)), of=GATHERING, at=at).value.opinion is None
    turn = read(*map(choice, (asks, concludes, concludes)), of=GATHERING, at=at).value
    assert turn.opinion == OpinionDraft(**conclusion(confidence=round(2 / 3, 6)))


def test_where_not_all_images_fit_the_oldest_are_left_out() -> None:
    own, new, old = images(3)
    visits = (Visit(date="2020-01-01", images=(old,)), Visit(date="2024-01-01", images=(new,)))
    asked = task(case=CASE.model_copy(update={"images": (own,), "visits": visits}))
    shown = images_to_send(asked, QWEN.model_copy(update={"max_images": 2}))
    assert shown == (own.blob, new.blob)


def test_open_answers_are_not_made_surer_by_a_vote() -> None:
    at = line(samples=3, temperature=0.7)
    asked = task(case=Case(id="open", question="What is it?"))
    said = [{**conclusion(answer=answer), "option": None} for answer in ("Pneumothorax.", "Left pneumothorax.", "Air.")]
    reply = read(*map(choice, said), at=at, of=asked)
    assert (reply.value.answer, reply.value.confidence) == ("Pneumothorax.", 0.4)


def test_missing_samples_vote_for_nothing() -> None:
    reply = read(choice(conclusion(option="A")), choice(conclusion(option="A")), at=line(samples=5, temperature=0.7))
    assert reply.value.confidence == 0.4


def test_a_tool_the_role_does_not_have_is_complained_about() -> None:
    asked = task(SpecialistTurn, last=False)
    said = {"reasoning": "r", "tools": [{"tool": "rm", "image": "image-1", "arguments": {}}]}
    assert "no such tool: rm" in problem(choice(said), of=asked)


def test_the_models_name_cannot_steer_a_terminal_or_fill_a_trace() -> None:
    reply = read_reply(task(), line(), {"model": "\x1b[2J" + "m" * 999, "choices": [choice(conclusion())]}, ())
    assert reply.details["model"].startswith("\N{REPLACEMENT CHARACTER}[2Jm")
    assert len(reply.details["model"]) == 200
