"""How often roles and tools were right: counted from traces, and read by the attending."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from polyclinic import Case, Clinic, Image
from polyclinic.agents.clinic import replay_run
from polyclinic.agents.reliability import Reliability, Share, modality_of, read_reliability, told
from polyclinic.core.errors import InputError
from polyclinic.core.evidence import Evidence, Source
from polyclinic.core.report import Opinion
from polyclinic.core.runs import read_run, report_text
from polyclinic.core.settings import Settings
from polyclinic.evals.benchmarks.table import benchmark
from polyclinic.evals.reliability import reliability
from polyclinic.evals.run import Plan, run
from polyclinic.evals.statistics.intervals import wilson

pytest.importorskip("inspect_ai", reason="needs the extra [eval]")

pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # streams inspect leaves open
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.usefixtures("inspect_clean"),
]

CASE = Case(id="c", question="Is it?", options={"A": "yes", "B": "no"})
OFTEN = Share(right=31, n=40, low=0.62, high=0.88)
TABLE = Reliability(
    engine="some engine",
    benchmarks=("quiz",),
    roles={"cardiology": {"text": OFTEN}, "radiology": {"text": Share(right=3, n=4, low=0.3, high=0.95)}},
    tools={"counter 1.0.0": {"text": Share(right=1, n=20, low=0.01, high=0.24)}},
)


def test_opinions_are_counted_by_role_and_shown_to_the_attending(data: Path, tmp_path: Path, server: Any) -> None:
    settings = Settings(engine=server.url)
    rows = run([benchmark("pubmedqa")], ["team"], data, tmp_path / "out", settings, Plan(limit=12))
    table = reliability([tmp_path / "out"])
    assert set(table.roles) == {"cardiology", "pulmonology", "radiology"}
    assert table.benchmarks == ("pubmedqa",)
    right = sum(row.target.startswith("A:") for row in rows)  # the double's opinions are always the first option
    share = table.roles["cardiology"]["text"]
    assert (share.right, share.n) == (right, 12)
    assert (share.low, share.high) == pytest.approx(wilson(right, 12), abs=1e-4)

    with pytest.raises(InputError, match=r"each sample of pubmedqa once for the arm team; got .* twice"):
        reliability([tmp_path / "out", tmp_path / "out"])

    path = tmp_path / "table.json"
    path.write_text(table.model_dump_json())
    with pytest.raises(InputError, match=r"measured on other benchmarks than pubmedqa; got one measured on pubmedqa"):
        run([benchmark("pubmedqa")], ["team"], data, tmp_path / "again",
            settings.model_copy(update={"reliability": path}), Plan(limit=2))  # fmt: skip
    clinic = Clinic(settings=settings.model_copy(update={"reliability": path, "runs": tmp_path / "runs"}))
    report = clinic.consult_sync(CASE.model_copy(update={"question": "Does it lower the pressure?"}))
    _, records = read_run(Path(report.trace.path))
    prompts = {record.scope: json.dumps(record.request["messages"]) for record in records if record.kind == "chat"}
    assert f"cardiology was right in {right} of 12 earlier answers on questions without images" in prompts["attending"]
    assert not any("was right in" in text for name, text in prompts.items() if name != "attending")
    path.unlink()


def test_a_sample_that_is_asked_again_counts_once(data: Path, tmp_path: Path, server: Any) -> None:
    settings = Settings(engine=server.url)
    run([benchmark("pubmedqa")], ["team"], data, tmp_path / "out", settings, Plan(limit=3, epochs=2))
    assert reliability([tmp_path / "out"]).roles["cardiology"]["text"].n == 3


async def test_a_replay_needs_the_trace_alone(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_text(TABLE.model_dump_json())
    report = await Clinic(settings=Settings(reliability=path, runs=tmp_path / "runs")).consult(CASE)
    path.unlink()
    assert report_text(await replay_run(report.trace.path)) == report_text(report)


def test_only_what_was_measured_often_enough_for_this_engine_is_told() -> None:
    opinions = [Opinion(specialty=name, answer="a", option="A") for name in ("radiology", "cardiology", "surgery")]
    source = Source(kind="tool", name="counter", version="1.0.0")
    evidence = [Evidence(id="e", kind="measurement", content="3 of them.", value=3, unit="1", source=source)]
    assert told(TABLE, "some engine", CASE, opinions, evidence) == (
        "cardiology was right in 31 of 40 earlier answers on questions without images (0.78, 95 % interval 0.62 to "
        "0.88).",
        "counter 1.0.0 was right in 1 of 20 earlier answers on questions without images (0.05, 95 % interval 0.01 to "
        "0.24).",
    )
    assert len(told(TABLE, "another engine", CASE, opinions, evidence)) == 1
    assert told(None, "some engine", CASE, opinions, evidence) == ()


def test_a_table_holds_for_its_modality() -> None:
    image = Image(path="a.png", modality="xray")
    assert modality_of(CASE) == "text"
    assert modality_of(CASE.model_copy(update={"images": (image,)})) == "xray"
    assert modality_of(CASE.model_copy(update={"images": (image, Image(path="b.png", modality="ct"))})) == "several"


def test_runs_without_a_team_and_files_that_are_no_table_are_told(data: Path, tmp_path: Path) -> None:
    run([benchmark("pubmedqa")], ["majority"], data, tmp_path / "out", Settings(), Plan(limit=2))
    with pytest.raises(InputError, match=r"by the arm team or by tool:NAME; got none in .*out; leave that run out"):
        reliability([tmp_path / "out"])
    share = '{"right": 9, "n": 7, "low": 0.9, "high": 0.2}'
    (tmp_path / "t.json").write_text(f'{{"engine": "e", "benchmarks": [], "roles": {{"r": {{"text": {share}}}}}}}')
    with pytest.raises(
        InputError, match=r"got Value error, 9 right of 7, 0.9 to 0.2, is no share in its interval; make"
    ):
        read_reliability(tmp_path / "t.json")
    (tmp_path / "t.json").write_text('{"engine": 3}')
    with pytest.raises(InputError, match=r"a table of reliability in .*; make one: type polyclinic eval reliability"):
        read_reliability(tmp_path / "t.json")
