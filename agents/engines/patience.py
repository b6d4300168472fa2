"""Patience with a server: who goes next, what follows a failed attempt, and when nobody goes. It sends nothing.

Fault      one attempt that brought no reply
Gate       lets a number of calls through at a time, those of earlier cases first
Breaker    stops calls while a server fails all of them, and finds out by itself when it is back
persist    one call, through gate and breaker, attempted again after faults
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import math
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, TypeVar

from ...core.errors import ModelError

_log = logging.getLogger("polyclinic")  # what a person who waits must know; without a handler it goes to stderr

FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 8.0
LONGEST_RETRY_AFTER_S = 60.0
FAILURES_OF_AN_OUTAGE = 3
REMIND_S = 60.0
"""How often a person who waits is told so."""
HANGS = 2
"""A call that was cancelled for hanging is tried once more."""

FaultKind: TypeAlias = Literal["down", "hung", "busy", "garbled"]
R = TypeVar("R")


def printable(text: str) -> str:
    """`text` without control characters: what a server says must not steer a terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


class Fault(Exception):  # noqa: N818 - it never leaves the engines
    """One attempt that brought no reply.

    `down`: it may be an outage; `hung`: the deadline passed; `busy`: the server is well and asks to wait, for
    `retry_after_s` where it says so; `garbled`: what came back was no reply.
    """

    def __init__(self, what: str, kind: FaultKind, *, retry_after_s: float | None = None) -> None:
        super().__init__(what)
        self.what, self.kind, self.retry_after_s = what, kind, retry_after_s


class Gate:
    """At most `limit` calls at a time; whoever has the lowest rank goes next, equals in the order they came."""

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._count = itertools.count()

    @asynccontextmanager
    async def slot(self, rank: int) -> AsyncIterator[None]:
        """A place among the calls on their way, given back at the end."""
        if self._free:
            self._free -= 1
        else:
            place = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (rank, next(self._count), place))
            try:
                await place
            except asyncio.CancelledError:
                if place.done() and not place.cancelled():  # it was given to us in the moment we left
                    self._give_back()
                raise
        try:
            yield
        finally:
            self._give_back()

    def _give_back(self) -> None:
        while self._waiting:
            _, _, place = heapq.heappop(self._waiting)
            if not place.done():
                place.set_result(None)
                return
        self._free += 1


class Breaker:
    """Open during an outage: after three failures in a row, with no success between, until `probe` returns True.

    `paused_s` is how long it has been open in all.
    """

    def __init__(
        self, probe: Callable[[], Awaitable[bool]], whom: str = "the server", patience_s: float = math.inf
    ) -> None:
        self._probe, self._whom, self._patience_s = probe, whom, patience_s
        self.succeeded_s = -math.inf
        self._failures = 0
        self._closed = asyncio.Event()
        self._closed.set()
        self._watch: asyncio.Task[None] | None = None
        self._opened_s = 0.0
        self._past_s = 0.0
        self._told_s = -math.inf

    @property
    def is_open(self) -> bool:
        return not self._closed.is_set()

    @property
    def paused_s(self) -> float:
        return self._past_s + (0.0 if self._closed.is_set() else time.monotonic() - self._opened_s)

    async def passed(self, patience_s: float) -> None:
        """Returns when calls may be made. Raises TimeoutError when the outage outlasts `patience_s`."""
        if not self._closed.is_set():
            async with asyncio.timeout(patience_s):
                await self._closed.wait()

    def succeeded(self) -> None:
        self._failures, self.succeeded_s = 0, time.monotonic()
        if self._watch is not None:
            self._watch.cancel()

    def failed(self) -> None:
        self._failures += 1
        if self._failures >= FAILURES_OF_AN_OUTAGE and self._watch is None:
            self._closed.clear()
            self._opened_s = time.monotonic()
            waiting = "%s does not answer; waiting for it up to %g s (Ctrl-C stops, the same command resumes)"
            self._told_s = self._opened_s
            _log.warning(waiting, self._whom, self._patience_s)
            self._watch = asyncio.ensure_future(self._watched())
            self._watch.add_done_callback(self._over)  # also when cancelled: nobody may wait for a watch that has ended

    def remind(self, since_s: float, what: str) -> None:
        """Say that calls have been waiting `since_s`, once a minute, whoever waits."""
        now_s = time.monotonic()
        if now_s - max(since_s, self._told_s) >= REMIND_S:
            self._told_s = now_s
            _log.warning("still waiting for %s, since %.0f s: %s", self._whom, now_s - since_s, what)

    async def _watched(self) -> None:
        for number in itertools.count():
            await asyncio.sleep(_jittered(number))
            if await self._probe():
                return
            self.remind(self._opened_s, "it does not answer")

    def _over(self, watch: asyncio.Task[None]) -> None:
        if not watch.cancelled():
            watch.exception()  # looked at, whatever the probe raised: the next call will meet it
        away_s = time.monotonic() - self._opened_s
        if not watch.cancelled():
            _log.warning("asking %s again after %.0f s", self._whom, away_s)
        self._past_s += away_s
        self._failures, self._watch = 0, None
        self._closed.set()


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a call is kept up: `faults` failed attempts, and `patience_s` of an outage or of a busy server."""

    gate: Gate
    breaker: Breaker
    faults: int
    patience_s: float
    seen: list[str] = field(default_factory=list)


async def persist(
    attempt: Callable[[int], Awaitable[R]], patience: Patience, *, rank: int, whom: str, total_s: float = math.inf
) -> R:
    """What `attempt` returns, tried again after a Fault, each of which is written into `patience.seen`.

    `attempt` is told how many times its usual deadline it has. A call that hung while the server answered others was
    queued there, and is given twice the time; one that hung while it answered nobody may meet an outage.

    Raises ModelError when the attempts, `total_s` without outages, or the patience with an outage are used up; its
    cause is "late" where a deadline passed, and not where the server refused until nobody would ask it again.
    """
    kinds: Counter[FaultKind] = Counter()
    start_s, paused_s = time.monotonic(), patience.breaker.paused_s
    times = 1
    while True:
        try:
            await patience.breaker.passed(patience.patience_s)
        except TimeoutError as error:
            raise _given_up(whom, f"an outage of more than {patience.patience_s:g} s", "down") from error
        began_s = time.monotonic()
        try:
            async with patience.gate.slot(rank):
                if patience.breaker.is_open:  # since this call came to the gate
                    continue
                began_s = time.monotonic()
                reply = await attempt(times)
        except Fault as fault:
            patience.seen.append(fault.what)
            queued = fault.kind == "hung" and patience.breaker.succeeded_s > began_s
            kinds["busy" if queued else fault.kind] += 1
            if queued:
                times *= 2
            elif fault.kind in ("down", "hung"):
                patience.breaker.failed()
            waited_too_long = fault.kind == "busy" and time.monotonic() - start_s > patience.patience_s
            worked_s = time.monotonic() - start_s - (patience.breaker.paused_s - paused_s)
            too_often = kinds.total() - kinds["busy"] >= patience.faults or kinds["hung"] >= HANGS
            if too_often or waited_too_long or worked_s > total_s:
                late = fault.kind == "hung" or not (too_often or waited_too_long)
                got = f"{fault.what}, after {len(patience.seen)} attempts"
                raise _given_up(whom, got, fault.kind, late=late) from fault
            patience.breaker.remind(start_s, fault.what)
            stated = min(fault.retry_after_s or 0.0, LONGEST_RETRY_AFTER_S)
            await asyncio.sleep(max(stated, _jittered(len(patience.seen) - 1)))
            continue
        patience.breaker.succeeded()
        return reply


def _jittered(number: int) -> float:
    """Seconds before the next attempt: doubling, and somewhere in the upper half, so that callers do not march."""
    longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(number, 16))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret


def _given_up(whom: str, got: str, kind: FaultKind, *, late: bool = False) -> ModelError:
    fixes: dict[FaultKind, str] = {
        "hung": "raise budget.call_timeout_s, or lower serving.cases_at_once",
        "busy": "raise budget.call_timeout_s or budget.seconds, or lower serving.cases_at_once",
        "garbled": "look at the server's log",
        "down": "look at the server's log; ask the case again when it is back",
    }
    return ModelError(expected=f"a reply from {whom}", got=got, fix=fixes[kind], cause="late" if late else "")
