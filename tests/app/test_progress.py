"""Progress shows what is in flight, changes nothing and stays silent when nobody watches."""

from __future__ import annotations

import pytest
from rich.console import Console

from polyclinic.app import progress as module
from polyclinic.app.progress import Progress
from polyclinic.core.events import DecisionMade, DecisionStarted, NodeFinished, NodeStarted


def made(name: str, *, failed: bool = False, recorded: bool = False) -> DecisionMade:
    return DecisionMade(kind="tool", name=name, agent="radiology", seconds=1.5, recorded=recorded, failed=failed)


def started(name: str) -> DecisionStarted:
    return DecisionStarted(kind="tool", name=name, agent="radiology")


def test_a_terminal_shows_everything_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Console(force_terminal=True, width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    monkeypatch.setattr(module, "Console", lambda **_: terminal)
    with terminal.file, Progress(enabled=True) as progress:
        progress.see(NodeStarted(node="specialist", agent="radiology"))
        progress.see(started("one"))
        progress.see(started("two"))
        assert progress._doing["radiology"] == "runs one, runs two …"
        progress.see(made("one"))
        assert progress._doing["radiology"] == "runs two …"
        progress.see(made("two", failed=True))
        assert progress._doing["radiology"] == "runs two (failed)"
        progress.see(made("three", recorded=True))
        assert progress._doing["radiology"] == "runs three (from the trace)"
        progress.see(NodeFinished(node="specialist", agent="radiology", seconds=3.0))
        assert progress._doing["radiology"] == "done in 3.00 s"


@pytest.mark.parametrize(("enabled", "lines"), [(True, 1), (False, 0)])
def test_elsewhere_each_finished_step_is_a_line(enabled: bool, lines: int, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(enabled=enabled) as progress:
        progress.see(NodeStarted(node="intake"))
        progress.see(started("one"))
        progress.see(made("one"))
    assert capsys.readouterr().err.count("radiology: runs one (1.50 s)") == lines
