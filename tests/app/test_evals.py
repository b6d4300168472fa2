"""`polyclinic eval` as it is typed: lists, a run with its tables, reports, comparisons, plans, and bad input."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from polyclinic.app.cli import app
from polyclinic.evals.arms import ARMS
from polyclinic.evals.benchmarks.table import BENCHMARKS

pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # streams inspect leaves open
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def typed(*words: str) -> Any:
    return CliRunner().invoke(app, ["eval", *words])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "pubmedqa"
    folder.mkdir(parents=True)
    records = {
        str(number): {
            "QUESTION": f"Is {number} odd?",
            "CONTEXTS": ["It is."],
            "final_decision": "yes" if number % 2 else "no",
        }
        for number in range(1, 10)
    }
    (folder / "pqal_dev.json").write_text(json.dumps(records))
    return tmp_path / "data"


def test_benchmarks_and_arms_are_listed() -> None:
    shown = typed("list").output
    assert all(f"{name} " in shown for name in (*BENCHMARKS, *ARMS))
    assert "never run on the real set" in shown
    assert "needs --engine URL" in shown


def test_a_run_prints_its_tables_and_they_can_be_had_again(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    pytest.importorskip("inspect_ai", reason="needs the extra [eval]")
    done = typed("run", "pubmedqa", "--data", str(data), "--out", str(out), "--arm", "majority", "--arm", "random")
    assert done.exit_code == 0, done.output
    assert "| majority | 9 | 0.556" in done.stdout
    assert "pubmedqa, random: 9 of 9" in done.stderr
    assert typed("report", str(out)).stdout == done.stdout
    written = typed("report", str(out), "--markdown", str(tmp_path / "results.md"))
    assert written.exit_code == 0
    assert (tmp_path / "results.md").read_text() == done.stdout
    drawn = typed("report", str(out), "--html", str(tmp_path / "results.html"))
    assert drawn.exit_code == 0, drawn.output
    assert drawn.stdout == f"{tmp_path / 'results.html'}\n"
    assert "<td>0.556 (0.267 to 0.811)</td>" in (tmp_path / "results.html").read_text()
    assert "another with --html" in str(typed("report", str(out), "--html", str(tmp_path / "no" / "x")).exception)
    again = typed("compare", str(out), str(out)).stdout
    assert "pubmedqa, majority: first minus second +0.000" in again
    assert "exact p = 1" in again


def test_pictures_in_a_table_are_unpacked_by_one_command(tmp_path: Path) -> None:
    fixtures = Path(__file__).resolve().parents[1] / "evals" / "fixtures"
    copy = shutil.copytree(fixtures / "gmai_mmbench", tmp_path / "gmai_mmbench", ignore=lambda *_: ["images"])
    done = typed("unpack", "gmai_mmbench", "--data", str(tmp_path))
    assert done.stdout == f"2 pictures beside {copy}/GMAI_mm_bench_VAL.tsv\n"
    assert sorted(file.name for file in (copy / "images").iterdir()) == ["7.png", "8.png"]
    told = str(typed("unpack", "pubmedqa", "--data", str(tmp_path)).exception)
    assert "whose pictures stand in its file: gmai_mmbench or medq_bench; got pubmedqa" in told


def test_a_plan_says_what_can_be_seen() -> None:
    assert "500 samples show a difference of 0.0" in typed("plan", "500").stdout
    few, many = (float(typed("plan", n).stdout.split("difference of ")[1].split()[0]) for n in ("100", "2000"))
    assert many < few


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "pubmedq", "--data", ".", "--out", "o"], "one of the 35 benchmarks"),
        (["run", "pubmedqa", "--data", ".", "--out", "o", "--arm", "teem"], "one of the arms"),
        (["run", "pubmedqa", "--data", ".", "--out", "o", "--arm", "team"], "a served model for the arm team"),
        (["run", "pubmedqa", "--data", ".", "--out", "o", "--shard", "3/2"], "--shard i/n"),
        (["run", "pubmedqa", "--data", "nowhere", "--out", "o"], "which is no folder"),
        (["report", "nowhere"], "finished logs"),
        (["plan", "20"], "type a larger number of samples"),
        (["run", "agentclinic", "--data", ".", "--out", "o"], "agentclinic_medqa.jsonl of AgentClinic"),
    ],
)
def test_what_cannot_be_run_is_told(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("inspect_ai", reason="needs the extra [eval]")
    monkeypatch.chdir(tmp_path)
    done = typed(*words)
    assert done.exit_code != 0
    assert message in str(done.exception)
    assert not (tmp_path / "o").exists()
