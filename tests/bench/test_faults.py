"""Whatever a model server does wrong, wherever: the answer is the one without faults, or what is missing is said."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from polyclinic.agents.engines import patience

SCRIPT = Path(__file__).resolve().parents[2] / "bench" / "faults.py"


@pytest.fixture(scope="module")
def faults(double: ModuleType) -> ModuleType:
    """The module bench/faults.py; its `double` is the fixture's."""
    spec = importlib.util.spec_from_file_location("faults", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["faults"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits a tenth as long: what is waited for answers on this machine."""
    monkeypatch.setattr(patience, "FIRST_WAIT_S", 0.025)
    monkeypatch.setattr(patience, "LONGEST_WAIT_S", 0.8)


@pytest.mark.parametrize("kind", ["500", "429", "drop", "cut", "malformed", "empty", "null", "hang"])
def test_one_fault_at_any_call_costs_no_answer(
    kind: str, faults: ModuleType, quick: None, server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kind in faults.KINDS
    monkeypatch.setattr(faults, "HANG_S", 2.0)  # the default would judge a busy machine
    places = (0, 3, 7) if kind == "hang" else range(faults.POSITIONS)
    outcomes = [faults.run(server, tmp_path, kind, place) for place in places]
    assert [outcome for outcome in outcomes if not outcome.sound or not outcome.right or outcome.said] == []
    assert [outcome.met for outcome in outcomes] == [1] * len(places)


@pytest.mark.parametrize("place", [0, 7])
@pytest.mark.parametrize("kind", ["500", "malformed"])
def test_eight_faults_in_a_row_are_outlived_or_said(
    kind: str, place: int, faults: ModuleType, quick: None, server: Any, tmp_path: Path
) -> None:
    outcome = faults.run(server, tmp_path, kind, place, faults.IN_A_ROW)
    assert outcome.sound
    assert outcome.status == ("answered" if kind == "500" else "failed")
    if kind == "malformed":
        assert "asked twice" in outcome.said


def test_an_outage_in_the_middle_of_many_cases_costs_none(faults: ModuleType, server: Any, tmp_path: Path) -> None:
    server.configure(latency_s=0.1)
    found = faults.outage(server, tmp_path, cases=12, seconds=3.0, after_s=0.5)
    assert (found["answered"], found["rightly"], found["failed"], found["opinions missing"]) == (12, 12, 0, 0)
    assert found["calls needed"] == 12 * faults.POSITIONS
    assert found["seconds"] >= 3
