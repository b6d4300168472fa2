"""Which agent is doing what, while it happens: one line each on a terminal, a line per finished step elsewhere."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table

from ..core.events import DecisionMade, DecisionStarted, Event, NodeFinished, NodeStarted

_VERBS = {"chat": "thinks", "tool": "runs", "retrieval": "looks up", "clock": "reads the clock"}


class Progress:
    """Shows events on stderr. On a terminal the lines change in place and stay as a summary of who worked."""

    def __init__(self, *, enabled: bool) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._enabled = enabled
        self._doing: dict[str, str] = {}
        self._waiting: dict[str, list[str]] = {}
        self._live = Live(console=self._console, refresh_per_second=12) if enabled and self._terminal else None

    @property
    def _terminal(self) -> bool:
        return self._console.is_terminal

    def __enter__(self) -> Progress:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def see(self, event: Event) -> None:
        """Take note of one event."""
        line = _line(event)
        if not self._enabled or line is None:
            return
        agent, doing = line
        if self._live:
            self._doing[agent] = self._in_flight(event, agent) or doing
            self._live.update(self._table())
        elif isinstance(event, DecisionMade):
            self._console.print(f"{agent}: {doing}", soft_wrap=True)

    def _in_flight(self, event: Event, agent: str) -> str:
        """What an agent is still waiting for, which may be several things at once."""
        waiting = self._waiting.setdefault(agent, [])
        if isinstance(event, DecisionStarted):
            waiting.append(f"{_VERBS.get(event.kind, event.kind)} {event.name}")
        elif isinstance(event, DecisionMade) and not event.recorded:
            done = f"{_VERBS.get(event.kind, event.kind)} {event.name}"
            if done in waiting:
                waiting.remove(done)
        return ", ".join(waiting) + " …" if waiting else ""

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for agent, doing in self._doing.items():
            table.add_row(f"[bold]{agent}[/]", doing)
        return table


def _line(event: Event) -> tuple[str, str] | None:
    """Agent and what it is doing, or None for an event nobody needs to see."""
    if isinstance(event, NodeStarted):
        return event.agent or event.node, "…"
    if isinstance(event, NodeFinished):
        return event.agent or event.node, f"done in {event.seconds:.2f} s"
    if isinstance(event, DecisionStarted):
        return event.agent, f"{_VERBS.get(event.kind, event.kind)} {event.name} …"
    if isinstance(event, DecisionMade):
        how = "failed" if event.failed else "from the trace" if event.recorded else f"{event.seconds:.2f} s"
        return event.agent, f"{_VERBS.get(event.kind, event.kind)} {event.name} ({how})"
    return None
