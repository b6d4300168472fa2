"""Decide, write down, use: recorded answers are returned, live ones recorded, replays never go live."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from polyclinic.core.errors import DivergenceError, ModelError, RunLockedError, TraceError
from polyclinic.core.journal import Journal, Outcome
from polyclinic.core.report import Report, TraceRef
from polyclinic.core.runs import Opening, fork, open_run, read_run, report_of, verify_run
from polyclinic.core.trace import read_trace

CASE = {"id": "case-1", "question": "Why?"}
OPENING = Opening(case=CASE, config={"engine": "test/1"})


class Source:
    """A live source that counts how often it is really asked."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def ask(self, name: str):
        async def do() -> Outcome:
            await asyncio.sleep(0)
            self.calls.append(name)
            if name == "broken":
                raise ModelError(expected="an answer", got="none", fix="ask again")
            return Outcome(result=f"{name} answered", usage={"prompt_tokens": 7, "completion_tokens": 2})

        return do


def report(journal: Journal) -> Report:
    return Report(
        case_id="case-1", status="answered", question="Why?", answer="Because.", engine="test/1",
        usage=journal.usage(), trace=TraceRef(path="x", hash=journal.head),
    )  # fmt: skip


async def work(journal: Journal, source: Source, *names: str) -> list[str]:
    async def one(name: str) -> str:
        try:
            outcome = await journal.decide("chat", "say", {"to": name}, source.ask(name), scope=name)
        except ModelError as error:
            return f"error: {error.got}"
        return str(outcome.result)

    async with journal.node("all"):
        return list(await asyncio.gather(*map(one, names)))


async def test_a_finished_run_replays_without_a_call_and_byte_for_byte(tmp_path: Path) -> None:
    source, names = Source(), ("a", "broken", "c")
    run = open_run(tmp_path, OPENING)
    live = await work(run.journal, source, *names)
    run.finish(report(run.journal))
    run.close()
    assert live == ["a answered", "error: none", "c answered"]

    records = read_run(run.folder)[1]
    replay, unused = Journal(records), Source()
    assert await work(replay, unused, *reversed(names)) == list(reversed(live))
    again = report(replay)
    replay.close_with(again)
    assert again == report_of(records)
    assert not unused.calls
    assert verify_run(run.folder) == len(records)


async def test_equal_requests_are_told_apart_by_how_often_they_came(tmp_path: Path) -> None:
    source = Source()
    run = open_run(tmp_path, OPENING)
    for _ in range(3):
        await run.journal.decide("chat", "say", {}, source.ask("x"), scope="one")
    await run.journal.decide("chat", "say", {}, source.ask("x"), scope="other")
    run.close()
    assert len(source.calls) == 4
    assert len({record.key for record in read_run(run.folder)[1][1:]}) == 4


async def test_an_unfinished_run_resumes_and_a_finished_one_starts_the_next(tmp_path: Path) -> None:
    first = open_run(tmp_path, OPENING)
    await work(first.journal, Source(), "a")
    first.close()
    source = Source()
    second = open_run(tmp_path, OPENING)
    assert second.folder == first.folder
    assert await work(second.journal, source, "a", "b") == ["a answered", "b answered"]
    assert source.calls == ["b"]
    second.finish(report(second.journal))
    second.close()
    third = open_run(tmp_path, OPENING)
    third.close()
    assert third.folder.name == first.folder.name[:-1] + "2"
    other = open_run(tmp_path, Opening(case=CASE, config={"engine": "test/2"}))
    other.close()
    assert other.folder.name.endswith("-1")


async def test_a_run_killed_before_its_report_was_copied_is_finished_not_started_over(tmp_path: Path) -> None:
    run = open_run(tmp_path, OPENING)
    await work(run.journal, Source(), "a")
    run.finish(report(run.journal))
    run.close()
    (run.folder / "report.json").unlink()
    before, source = (run.folder / "trace.jsonl").read_bytes(), Source()
    again = open_run(tmp_path, OPENING)
    await work(again.journal, source, "a")
    again.finish(report(again.journal))
    again.close()
    assert again.folder == run.folder
    assert not source.calls
    assert (run.folder / "trace.jsonl").read_bytes() == before
    assert verify_run(run.folder) == before.count(b"\n")


async def test_a_replay_names_the_step_that_diverges_and_shows_both_requests(tmp_path: Path) -> None:
    run = open_run(tmp_path, OPENING)
    await run.journal.decide("chat", "say", {"to": "the old prompt"}, Source().ask("x"), scope="one")
    run.finish(report(run.journal))
    run.close()
    replay = Journal(read_run(run.folder)[1])
    with pytest.raises(DivergenceError) as caught:
        await replay.decide("chat", "say", {"to": "the new prompt"}, Source().ask("x"), scope="one")
    text = str(caught.value)
    assert "step 1" in text
    assert "the old prompt" in text
    assert "the new prompt" in text
    with pytest.raises(DivergenceError, match="no more steps of other"):
        await replay.decide("chat", "say", {}, Source().ask("x"), scope="other")


async def test_a_changed_version_diverges(tmp_path: Path) -> None:
    run = open_run(tmp_path, OPENING)
    await run.journal.decide("tool", "ruler", {}, Source().ask("x"), scope="one", version="1")
    run.finish(report(run.journal))
    run.close()
    with pytest.raises(DivergenceError, match='"version": "2"'):
        await Journal(read_run(run.folder)[1]).decide("tool", "ruler", {}, Source().ask("x"), scope="one", version="2")


async def test_a_replayed_report_must_be_the_recorded_one(tmp_path: Path) -> None:
    run = open_run(tmp_path, OPENING)
    run.finish(report(run.journal))
    run.close()
    replay = Journal(read_run(run.folder)[1])
    with pytest.raises(DivergenceError, match="a report that differs"):
        replay.close_with(report(replay).model_copy(update={"answer": "Otherwise."}))


async def test_an_unfinished_trace_does_not_replay_past_its_end(tmp_path: Path) -> None:
    run = open_run(tmp_path, OPENING)
    run.close()
    replay = Journal(read_run(run.folder)[1])
    with pytest.raises(DivergenceError, match="to finish the run"):
        await replay.decide("chat", "say", {}, Source().ask("x"), scope="one")
    with pytest.raises(TraceError, match="finished"):
        replay.close_with(report(replay))


async def test_a_fork_takes_over_steps_and_asks_the_rest_of_another_version(tmp_path: Path) -> None:
    run = open_run(tmp_path, OPENING)
    for name in ("a", "b", "c"):
        await run.journal.decide("chat", "say", {"to": name}, Source().ask(name), scope="one", version="old")
    run.finish(report(run.journal))
    run.close()
    source = Source()
    opening = fork(read_run(run.folder)[1], 2, {"engine": "test/2"})
    started = open_run(tmp_path, opening)
    started.close()
    trace = started.folder / "trace.jsonl"
    trace.write_bytes(b"".join(trace.read_bytes().splitlines(keepends=True)[:2]))  # killed while taking over
    forked = open_run(tmp_path, opening)
    assert forked.folder == started.folder
    for name in ("a", "b", "c"):
        await forked.journal.decide("chat", "say", {"to": name}, source.ask(name), scope="one", version="new")
    assert source.calls == ["c"]
    forked.finish(report(forked.journal))
    forked.close()
    replay = Journal(read_run(forked.folder)[1])
    for name in ("a", "b", "c"):
        await replay.decide("chat", "say", {"to": name}, source.ask(name), scope="one", version="new")
    assert source.calls == ["c"]
    assert verify_run(forked.folder) == 6


async def test_the_clock_is_a_decision(tmp_path: Path) -> None:
    moments = iter(range(10**18, 2 * 10**18, 10**15))
    run = open_run(tmp_path, OPENING, clock=lambda: next(moments))
    then = await run.journal.now("one")
    run.finish(report(run.journal))
    run.close()
    assert then.startswith("2001-")
    assert then.endswith("Z")
    assert await Journal(read_run(run.folder)[1]).now("one") == then


async def test_time_between_sessions_is_not_time_worked(tmp_path: Path) -> None:
    now = [10**18]
    run = open_run(tmp_path, OPENING, clock=lambda: now[0])
    now[0] += 3 * 10**9
    await run.journal.decide("chat", "say", {}, Source().ask("x"), scope="one")
    run.close()
    now[0] += 86_400 * 10**9
    again = open_run(tmp_path, OPENING, clock=lambda: now[0])
    now[0] += 10**9
    assert again.journal.elapsed_s() == pytest.approx(4.0)
    again.close()


async def test_a_run_has_one_writer(tmp_path: Path) -> None:
    run = open_run(tmp_path, OPENING)
    with pytest.raises(RunLockedError):
        open_run(tmp_path, OPENING)
    run.close()


async def test_usage_adds_up_per_agent_whatever_order_they_came_in(tmp_path: Path) -> None:
    run = open_run(tmp_path, OPENING)
    await work(run.journal, Source(), "b", "a")
    usage = run.journal.usage()
    run.close()
    assert list(usage.agents) == ["a", "b"]
    assert usage.total.chat_calls == 2
    assert usage.total.prompt_tokens == 14


@pytest.mark.parametrize("kept", ["none", "report only"])
async def test_lines_cut_off_the_end_of_a_finished_run_are_missed(tmp_path: Path, kept: str) -> None:
    run = open_run(tmp_path, OPENING)
    await work(run.journal, Source(), "a")
    run.finish(report(run.journal))
    run.close()
    trace = run.folder / "trace.jsonl"
    lines = trace.read_bytes().splitlines(keepends=True)
    trace.write_bytes(b"".join(lines[:-1]))
    with pytest.raises(TraceError, match=f"line {len(lines)} to be the closing report"):
        verify_run(run.folder)
    trace.write_bytes(b"".join(lines))
    if kept == "report only":
        (run.folder / "report.json").write_text("{}")
        with pytest.raises(TraceError, match="to be the report of line"):
            verify_run(run.folder)
    else:
        assert verify_run(run.folder) == len(read_trace(trace)[0])


async def test_two_agents_who_ask_the_same_keep_their_own_answers_in_any_order(tmp_path: Path) -> None:
    def says(answer: str):
        async def do() -> Outcome:
            return Outcome(result=answer, usage={})

        return do

    run = open_run(tmp_path, OPENING)
    for agent in ("one", "two"):
        await run.journal.decide("chat", "say", {"same": True}, says(f"answer to {agent}"), scope=agent)
    run.close()  # killed here; resumed with the agents in the other order
    again = open_run(tmp_path, OPENING)
    for agent in ("two", "one"):
        outcome = await again.journal.decide("chat", "say", {"same": True}, says("asked anew"), scope=agent)
        assert outcome.result == f"answer to {agent}"
    again.close()


async def test_a_forks_agent_may_not_say_something_else_in_the_part_taken_over(tmp_path: Path) -> None:
    run = open_run(tmp_path, OPENING)
    await run.journal.decide("chat", "say", {"prompt": "old"}, Source().ask("x"), scope="one")
    run.finish(report(run.journal))
    run.close()
    forked = open_run(tmp_path, fork(read_run(run.folder)[1], 1, {"engine": "test/2"}))
    with pytest.raises(DivergenceError, match="fork before step 1"):
        await forked.journal.decide("chat", "say", {"prompt": "new"}, Source().ask("x"), scope="one")
    forked.close()
    assert [record.kind for record in read_run(forked.folder)[1]] == ["run", "chat"], "a first start is no resume"


async def test_forks_from_different_steps_are_different_runs(tmp_path: Path) -> None:
    run = open_run(tmp_path, OPENING)
    for name in ("a", "b"):
        await run.journal.decide("chat", "say", {"to": name}, Source().ask(name), scope="one")
    run.finish(report(run.journal))
    run.close()
    records = read_run(run.folder)[1]
    folders = set()
    for step in (1, 2):
        forked = open_run(tmp_path, fork(records, step, OPENING.config))
        forked.close()
        folders.add(forked.folder)
    assert len(folders) == 2
    assert run.folder not in folders


async def test_a_report_sealed_with_another_hash_is_found(tmp_path: Path) -> None:
    run = open_run(tmp_path, OPENING)
    wrong = report(run.journal).model_copy(update={"trace": TraceRef(path="x", hash="0" * 64)})
    run.finish(wrong)
    run.close()
    with pytest.raises(TraceError, match="sealed with this trace's hash"):
        verify_run(run.folder)


async def test_a_torn_end_is_found_by_verify(tmp_path: Path) -> None:
    run = open_run(tmp_path, OPENING)
    run.finish(report(run.journal))
    run.close()
    with (run.folder / "trace.jsonl").open("ab") as file:
        file.write(b'{"half')
    with pytest.raises(TraceError, match="line 3 to be a whole line"):
        verify_run(run.folder)


async def test_a_finished_run_that_was_damaged_does_not_block_its_case(tmp_path: Path) -> None:
    run = open_run(tmp_path, OPENING)
    await work(run.journal, Source(), "a")
    trace = run.folder / "trace.jsonl"
    damaged = trace.read_bytes().replace(b"answered", b"ANSWERED", 1)
    run.finish(report(run.journal))
    run.close()
    whole = trace.read_bytes()
    trace.write_bytes(whole.replace(b"answered", b"ANSWERED", 1))
    following = open_run(tmp_path, OPENING)
    following.close()
    assert following.folder.name.endswith("-2")
    (run.folder / "report.json").unlink()
    (following.folder / "trace.jsonl").unlink()
    following.folder.rmdir()
    trace.write_bytes(damaged)
    with pytest.raises(TraceError, match="delete the folder to start over"):
        open_run(tmp_path, OPENING)


async def test_node_spans_are_written_once(tmp_path: Path) -> None:
    run = open_run(tmp_path, OPENING)
    await work(run.journal, Source(), "a")
    run.close()
    again = open_run(tmp_path, OPENING)
    await work(again.journal, Source(), "a")
    again.close()
    nodes = [record for record in read_run(run.folder)[1] if record.kind == "node"]
    assert len(nodes) == 1
    children = [record for record in read_run(run.folder)[1] if record.kind == "chat"]
    assert {child.parent_id for child in children} == {nodes[0].span_id}
