"""Sets of places through inspect: tools and constants as arms, rows that come back from the logs with their places."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from polyclinic.core.settings import Settings
from polyclinic.evals.arms import ARMS, ArmType
from polyclinic.evals.benchmarks.table import benchmark
from polyclinic.evals.logs import rows_of
from polyclinic.evals.outcomes import Row
from polyclinic.evals.run import Plan, run
from polyclinic.evals.set_scores import set_scores
from polyclinic.evals.tool_arm import constant, tool_arm

pytest.importorskip("inspect_ai", reason="needs the extra [eval]")

pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # streams inspect leaves open
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

FIXTURES = Path(__file__).resolve().parent / "fixtures"
TOOL = "tool:fluorescent_nuclei"


@pytest.fixture(autouse=True)
def _arms(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What inspect left open is collected here, where it is ignored, and not in another test."""
    made = {
        "constant": lambda making: constant(making.samples, making.settings),
        TOOL: lambda making: tool_arm("fluorescent_nuclei", making.settings),
    }
    for name, make in made.items():
        monkeypatch.setitem(ARMS, name, ArmType(summary=name, served=False, make=make))
    yield
    gc.collect()


def asked(names: tuple[str, ...], arms: tuple[str, ...], out: Path) -> list[Row]:
    return run([benchmark(name) for name in names], arms, FIXTURES, out, Settings(), Plan())


def test_places_go_through_the_logs_and_a_run_is_taken_up(tmp_path: Path) -> None:
    names = ("nuclei", "blood_cells", "medsg_bench", "medmultipoints")
    rows = asked(names, ("constant", TOOL), tmp_path / "out")
    assert len(rows) == 2 * sum(len(list(each.samples(each.at(FIXTURES)))) for each in map(benchmark, names))
    again = rows_of([tmp_path / "out"])
    assert sorted(again, key=str) == sorted(rows, key=str)
    cells = [row for row in rows if row.benchmark == "blood_cells" and row.arm == "constant"]
    assert [len(row.there) for row in cells] == [3, 2]
    assert set_scores(cells)["mean WBC count error"].value == 0.5
    assert {row.outcome for row in rows if row.arm == TOOL and row.benchmark != "nuclei"} == {"abstained"}
    seconds = {row.sample: row.said.seconds for row in rows if row.arm == TOOL}
    taken_up = asked(names, (TOOL,), tmp_path / "out")
    assert {row.sample: row.said.seconds for row in taken_up} == seconds  # read, not run again
