"""Patience with a server: who goes next, what follows a fault, and that an outage ends for everybody who waited."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.agents.engines import patience
from polyclinic.agents.engines.patience import Breaker, Fault, Gate, Patience, persist
from polyclinic.core.errors import ModelError

SOON_S = 2.0
"""Long past anything that these tests wait for; whoever is still waiting then hangs."""


@pytest.fixture(autouse=True)
def _no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_WAIT_S", 0.002)
    monkeypatch.setattr(patience, "LONGEST_WAIT_S", 0.004)


class Server:
    """Answers as it is told: `lines` are raised or returned in turn, the last one for ever after."""

    def __init__(self, *lines: Any) -> None:
        self.lines = list(lines)
        self.attempts = self.probes = 0
        self.well = True
        self.drawn = random.Random(0)

    async def attempt(self, times: int) -> Any:
        self.attempts += 1
        await asyncio.sleep(0)
        line = self.lines.pop(0) if len(self.lines) > 1 else self.lines[0]
        if isinstance(line, BaseException):
            raise line
        return line

    async def probe(self) -> bool:
        self.probes += 1
        return self.well

    def patience(self, **more: Any) -> Patience:
        stated = {"gate": Gate(4), "breaker": Breaker(self.probe), "faults": 6, "patience_s": 1.0, **more}
        return Patience(**stated)


def down(what: str = "HTTP 500") -> Fault:
    return Fault(what, "down")


async def ask(server: Server, patient: Patience, rank: int = 0) -> Any:
    async with asyncio.timeout(SOON_S):
        return await persist(server.attempt, patient, rank=rank, whom="the model")


# The gate


async def test_the_lowest_rank_goes_next_and_equals_as_they_came() -> None:
    gate, went = Gate(1), []

    async def one(rank: int, name: str) -> None:
        async with gate.slot(rank):
            went.append(name)
            await asyncio.sleep(0)

    asked = [(5, "first in"), (3, "c"), (1, "a"), (3, "d"), (2, "b"), (3, "e")]
    await asyncio.gather(*(one(*each) for each in asked))
    assert went == ["first in", "a", "b", "c", "d", "e"]


@given(
    limit=st.integers(1, 3),
    calls=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=12),
    cancelled=st.lists(st.tuples(st.integers(0, 11), st.integers(0, 12)), max_size=6),
)
def test_any_interleaving_keeps_the_limit_and_gives_every_place_back(
    limit: int, calls: list[tuple[int, int]], cancelled: list[tuple[int, int]]
) -> None:
    async def interleaved() -> None:
        gate, inside, most, done = Gate(limit), 0, 0, 0

        async def one(rank: int, ticks: int) -> None:
            nonlocal inside, most, done
            async with gate.slot(rank):
                inside += 1
                most = max(most, inside)
                try:
                    for _ in range(ticks):
                        await asyncio.sleep(0)
                finally:
                    inside -= 1
            done += 1

        work = [asyncio.ensure_future(one(*call)) for call in calls]
        for tick in range(13):
            for which, when in cancelled:
                if when == tick and which < len(work):
                    work[which].cancel()
            await asyncio.sleep(0)
        async with asyncio.timeout(SOON_S):
            await asyncio.gather(*work, return_exceptions=True)
        assert most <= limit
        assert inside == 0
        assert done == sum(not task.cancelled() for task in work)
        async with asyncio.timeout(SOON_S):  # every place is free again, all at once
            for _ in range(limit):
                await contextlib.AsyncExitStack().enter_async_context(gate.slot(0))
        late = asyncio.ensure_future(one(0, 0))
        await asyncio.sleep(0)
        assert not late.done()
        late.cancel()
        await asyncio.wait([late])

    asyncio.run(interleaved())


async def test_a_place_given_in_the_moment_of_leaving_goes_to_the_next() -> None:
    gate, went = Gate(1), []

    async def one(name: str) -> None:
        async with gate.slot(0):
            went.append(name)

    async with gate.slot(0):
        leaving, next_one = asyncio.ensure_future(one("leaving")), asyncio.ensure_future(one("next"))
        await asyncio.sleep(0)
    leaving.cancel()  # its place was handed over a line ago, and it has not run since
    async with asyncio.timeout(SOON_S):
        await asyncio.wait([leaving, next_one])
    assert (went, leaving.cancelled()) == (["next"], True)


# The breaker


async def test_it_opens_after_three_failures_in_a_row_and_closes_when_a_probe_succeeds() -> None:
    server = Server("ok")
    breaker = Breaker(server.probe)
    server.well = False
    breaker.failed()
    breaker.failed()
    await asyncio.wait_for(breaker.passed(0.0), SOON_S)  # still closed
    breaker.failed()
    with pytest.raises(TimeoutError):
        await breaker.passed(0.02)
    assert server.probes >= 2
    assert breaker.paused_s >= 0.02
    server.well = True
    await asyncio.wait_for(breaker.passed(SOON_S), SOON_S)
    paused_s = breaker.paused_s
    await asyncio.sleep(0.01)
    assert breaker.paused_s == paused_s  # it grows only while nobody may go


async def test_a_success_between_failures_starts_the_count_anew() -> None:
    breaker = Breaker(Server("ok").probe)
    for _ in range(5):
        breaker.failed()
        breaker.failed()
        breaker.succeeded()
    await asyncio.wait_for(breaker.passed(0.0), SOON_S)
    assert breaker.paused_s == 0


async def test_after_an_outage_three_more_failures_open_it_again() -> None:
    server = Server("ok")
    breaker = Breaker(server.probe)
    for _ in range(2):
        for _ in range(3):
            breaker.failed()
        await asyncio.wait_for(breaker.passed(SOON_S), SOON_S)
    assert server.probes == 2


async def test_a_success_that_comes_in_late_ends_the_outage_for_all_who_wait() -> None:
    server = Server("ok")
    server.well = False
    breaker = Breaker(server.probe)
    for _ in range(3):
        breaker.failed()
    waiting = [asyncio.ensure_future(breaker.passed(SOON_S)) for _ in range(5)]
    await asyncio.sleep(0.01)
    breaker.succeeded()
    await asyncio.wait_for(asyncio.gather(*waiting), SOON_S)


async def test_a_success_in_the_same_tick_as_the_third_failure_leaves_nobody_hanging() -> None:
    breaker = Breaker(Server("ok").probe)
    for _ in range(3):
        breaker.failed()
    breaker.succeeded()  # before the watch has taken its first step
    await asyncio.wait_for(breaker.passed(0.2), SOON_S)
    paused_s = breaker.paused_s
    await asyncio.sleep(0.01)
    assert breaker.paused_s == paused_s


async def test_a_watch_that_is_cancelled_leaves_nobody_hanging() -> None:
    server = Server("ok")
    server.well = False
    breaker = Breaker(server.probe)
    for _ in range(3):
        breaker.failed()
    await asyncio.sleep(0.005)
    watch = breaker._watch
    assert watch is not None
    watch.cancel()
    await asyncio.wait_for(breaker.passed(SOON_S), SOON_S)
    for _ in range(3):
        breaker.failed()  # and it can open again
    with pytest.raises(TimeoutError):
        await breaker.passed(0.01)
    server.well = True
    await asyncio.wait_for(breaker.passed(SOON_S), SOON_S)


# One call


async def test_a_call_is_tried_again_and_what_went_wrong_is_kept() -> None:
    server = Server(down("a"), Fault("b", "garbled"), "reply")
    patient = server.patience()
    assert await ask(server, patient) == "reply"
    assert patient.seen == ["a", "b"]


async def test_it_is_given_up_after_the_stated_number_of_faults() -> None:
    server = Server(Fault("no JSON", "garbled"))
    with pytest.raises(ModelError, match="no JSON, after 4 attempts"):
        await ask(server, server.patience(faults=4))
    assert server.attempts == 4


async def test_a_hang_is_tried_once_more_only() -> None:
    server = Server(Fault("no reply within 1 s", "hung"))
    with pytest.raises(ModelError, match="no reply within 1 s, after 2 attempts"):
        await ask(server, server.patience())
    assert server.attempts == 2


async def test_a_busy_server_costs_patience_and_no_faults() -> None:
    server = Server(*(Fault("HTTP 429", "busy") for _ in range(12)), "reply")
    assert await ask(server, server.patience(faults=1)) == "reply"
    always = Server(Fault("HTTP 429", "busy"))
    start_s = time.monotonic()
    with pytest.raises(ModelError, match="HTTP 429"):
        await ask(always, always.patience(patience_s=0.05))
    assert time.monotonic() - start_s >= 0.05
    assert always.attempts > 2
    assert always.probes == 0  # it is no outage


async def test_an_outage_longer_than_ones_patience_is_a_typed_error() -> None:
    server = Server(down())
    server.well = False
    with pytest.raises(ModelError, match=r"an outage of more than 0\.05 s"):
        await ask(server, server.patience(faults=9, patience_s=0.05))
    assert server.attempts == 3


async def test_all_who_wait_go_on_after_an_outage() -> None:
    server = Server("reply")
    server.well = False
    patient = server.patience()
    for _ in range(3):
        patient.breaker.failed()
    calls = [asyncio.ensure_future(ask(server, patient, rank)) for rank in range(20)]
    await asyncio.sleep(0.02)
    assert server.attempts == 0
    server.well = True
    assert await asyncio.gather(*calls) == ["reply"] * 20


async def test_nothing_is_sent_during_an_outage_by_those_who_were_already_waiting_at_the_gate() -> None:
    server = Server(down())
    server.well = False
    patient = server.patience(gate=Gate(1), patience_s=0.05)
    calls = [asyncio.ensure_future(ask(server, patient)) for _ in range(10)]
    await asyncio.wait(calls)
    assert all(isinstance(call.exception(), ModelError) for call in calls)
    assert server.attempts == 3


@pytest.mark.parametrize(("stated", "low_s", "high_s"), [(0.05, 0.05, 0.05), (900.0, 60.0, 60.0), (-3.0, 0.0, 0.004)])
async def test_retry_after_is_respected_and_bounded(
    monkeypatch: pytest.MonkeyPatch, stated: float, low_s: float, high_s: float
) -> None:
    slept: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await real(0)

    server = Server(Fault("HTTP 429", "busy", retry_after_s=stated), "reply")
    monkeypatch.setattr(patience.asyncio, "sleep", sleep)
    assert await ask(server, server.patience()) == "reply"
    (waited,) = [seconds for seconds in slept if seconds]
    assert low_s <= waited <= high_s


def test_waits_double_up_to_a_bound_and_never_march_in_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_WAIT_S", 0.25)
    monkeypatch.setattr(patience, "LONGEST_WAIT_S", 8.0)
    for number, longest in [(0, 0.25), (1, 0.5), (2, 1.0), (5, 8.0), (6, 8.0), (10_000, 8.0)]:
        waits = [patience._jittered(number) for _ in range(200)]
        assert longest / 2 <= min(waits) < max(waits) <= longest
        assert len(set(waits)) > 100


@pytest.mark.parametrize("where", ["gate", "attempt", "wait", "outage"])
async def test_cancellation_goes_straight_through_and_leaves_everything_usable(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: asyncio.Event = asyncio.Event()
    server = Server("reply")
    patient = server.patience(gate=Gate(1), patience_s=60.0)

    async def hangs(times: int) -> str:
        await held.wait()
        return "never"

    async def fails(times: int) -> str:
        raise down()

    async with contextlib.AsyncExitStack() as stack:
        attempt: Callable[[], Any] = {"attempt": hangs, "wait": fails}.get(where, server.attempt)
        if where == "gate":
            await stack.enter_async_context(patient.gate.slot(0))
        if where == "wait":
            monkeypatch.setattr(patience, "FIRST_WAIT_S", 60.0)
            monkeypatch.setattr(patience, "LONGEST_WAIT_S", 60.0)
        if where == "outage":
            server.well = False
            for _ in range(3):
                patient.breaker.failed()
        call = asyncio.ensure_future(persist(attempt, patient, rank=0, whom="m"))
        await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(call, SOON_S)
    server.well = True
    assert await ask(server, patient) == "reply"


async def test_an_error_that_is_no_fault_is_not_tried_again() -> None:
    refused = ModelError(expected="a", got="HTTP 400", fix="c")
    server = Server(refused, "reply")
    patient = server.patience(gate=Gate(1))
    with pytest.raises(ModelError, match="HTTP 400"):
        await ask(server, patient)
    assert await ask(server, patient) == "reply"
    assert server.attempts == 2


async def test_any_mixture_of_faults_and_cancellations_ends() -> None:
    for seed in range(6):
        drawn = random.Random(seed)

        class Erratic(Server):
            async def attempt(self, times: int) -> Any:
                await asyncio.sleep(self.drawn.random() * 0.003)
                if self.drawn.random() < 0.5:
                    raise Fault("it", self.drawn.choice(("down", "hung", "busy", "garbled")))
                return "reply"

            async def probe(self) -> bool:
                await asyncio.sleep(0)
                return self.drawn.random() < 0.5

        server = Erratic()
        server.drawn = drawn
        patient = server.patience(gate=Gate(3))
        calls = [asyncio.ensure_future(ask(server, patient, drawn.randrange(5))) for _ in range(60)]
        for call in drawn.sample(calls, 15):
            await asyncio.sleep(0.001)
            call.cancel()
        await asyncio.wait(calls)
        ended = [None if call.cancelled() else call.exception() for call in calls]
        assert all(error is None or isinstance(error, ModelError) for error in ended)
        fine = Server("reply")
        assert await asyncio.gather(*(ask(fine, patient) for _ in range(9))) == ["reply"] * 9


async def test_a_call_that_hangs_while_others_are_answered_was_queued_and_gets_more_time() -> None:
    seen: list[int] = []
    breaker = Breaker(Server("ok").probe)
    patient = Patience(gate=Gate(4), breaker=breaker, faults=3, patience_s=1.0)

    async def attempt(times: int) -> str:
        seen.append(times)
        breaker.succeeded()  # somebody else's call
        if len(seen) < 6:
            raise Fault("no reply", "hung")
        return "ok"

    assert await persist(attempt, patient, rank=0, whom="m") == "ok"
    assert seen == [1, 2, 4, 8, 16, 32]
    assert not breaker.is_open


async def test_all_attempts_together_are_bounded() -> None:
    patient = Patience(gate=Gate(4), breaker=Breaker(Server("ok").probe), faults=99, patience_s=99.0)

    async def attempt(times: int) -> str:
        raise Fault("HTTP 429", "busy")

    with pytest.raises(ModelError, match=r"lower serving\.cases_at_once"):
        await persist(attempt, patient, rank=0, whom="m", total_s=0.01)


async def test_whoever_waits_is_reminded_of_an_outage_once_in_a_while(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(patience, "REMIND_S", 0.05)
    server = Server(down(), down(), down(), "ok")
    server.well = False
    asyncio.get_running_loop().call_later(0.3, setattr, server, "well", True)
    patient = server.patience()
    assert await asyncio.gather(ask(server, patient), ask(server, patient)) == ["ok", "ok"]
    told = [record.getMessage() for record in caplog.records]
    assert "does not answer; waiting for it up to" in told[0]
    assert "asking the server again after" in told[-1]
    assert 2 <= len(told[1:-1]) <= 6  # in six times 0.05 s, though two calls wait and many probes fail
    assert all(
        re.fullmatch(r"still waiting for the server, since \d+ s: it does not answer", line) for line in told[1:-1]
    )


async def test_whoever_waits_for_a_busy_server_is_told_what_it_says(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(patience, "REMIND_S", 0.05)
    busy = [Fault("HTTP 429: full", "busy", retry_after_s=0.03) for _ in range(5)]
    assert await ask(Server(*busy, "ok"), Server().patience()) == "ok"
    assert {record.getMessage() for record in caplog.records} == {
        "still waiting for the server, since 0 s: HTTP 429: full"
    }
    caplog.clear()
    assert await ask(Server(busy[0], "ok"), Server().patience()) == "ok"
    assert not caplog.records  # a hiccup is nobody's business


@pytest.mark.parametrize(
    ("lines", "more", "cause"),
    [
        ([Fault("no reply", "hung")], {}, "late"),
        ([down()], {}, ""),
        ([Fault("HTML", "garbled")], {}, ""),
        ([Fault("HTTP 429", "busy")], {"patience_s": 0.05}, ""),
    ],
)
async def test_a_call_given_up_is_late_where_a_deadline_passed(
    lines: list[Fault], more: dict[str, Any], cause: str
) -> None:
    with pytest.raises(ModelError) as caught:
        await ask(Server(*lines), Server().patience(**more))
    assert caught.value.cause == cause
