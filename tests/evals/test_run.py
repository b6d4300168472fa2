"""Runs through inspect: the same samples for every arm, logs that are read again, and kills that cost nothing."""

from __future__ import annotations

import json
import logging
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from polyclinic.core.case import Case
from polyclinic.core.errors import DivergenceError, InputError, RunLockedError, SetupError, StorageError, TraceError
from polyclinic.core.runs import verify_run
from polyclinic.core.settings import Budget, Settings
from polyclinic.evals.arms import Majority
from polyclinic.evals.benchmarks.table import benchmark
from polyclinic.evals.logs import LOGS, newest_logs, rows_of, unfinished
from polyclinic.evals.merge import merge
from polyclinic.evals.outcomes import Row, Said
from polyclinic.evals.plan import only_run, said_of
from polyclinic.evals.results import by_arm
from polyclinic.evals.run import RUNS, Plan, chosen, run
from polyclinic.evals.sample import Answer, Sample

pytest.importorskip("inspect_ai", reason="needs the extra [eval]")

pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # streams inspect leaves open
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.usefixtures("inspect_clean"),
]

ARMS = ("embedded", "majority", "random")
FIXTURES = Path(__file__).resolve().parent / "fixtures"
PUBMEDQA = benchmark("pubmedqa")


def asked(data: Path, out: Path, *, arms: tuple[str, ...] = ARMS, **plan: object) -> list[Row]:
    return run([PUBMEDQA], arms, data, out, Settings(), Plan(**plan))  # type: ignore[arg-type]


def unpriced(rows: list[Row]) -> list[dict[str, object]]:
    """Rows without what differs between two runs of the same: seconds, and the names of folders."""
    return [row.model_dump(exclude={"said": {"seconds", "trace"}}) for row in rows]


def test_every_arm_is_given_the_same_samples_and_the_logs_hold_the_rows(data: Path, tmp_path: Path) -> None:
    rows = asked(data, tmp_path / "out", limit=12)
    groups = by_arm(rows)
    assert set(groups) == {("pubmedqa", arm) for arm in ARMS}
    samples = [[row.sample for row in group] for group in groups.values()]
    assert samples[0] == samples[1] == samples[2]
    assert len(set(samples[0])) == 12
    assert {row.said.option for row in groups["pubmedqa", "majority"]} == {"A"}
    assert rows_of([tmp_path / "out"]) == rows
    for row in groups["pubmedqa", "embedded"]:
        assert verify_run(tmp_path / "out" / row.said.trace) > 3
        assert "SECRET" not in (tmp_path / "out" / row.said.trace / "trace.jsonl").read_text()


def test_shards_part_the_samples_and_together_are_the_whole(data: Path, tmp_path: Path) -> None:
    parts = [asked(data, tmp_path / f"part{n}", arms=("majority",), limit=11, shard=(n, 3)) for n in (1, 2, 3)]
    whole = asked(data, tmp_path / "whole", arms=("majority",), limit=11)
    assert sorted(row.sample for part in parts for row in part) == [row.sample for row in whole]
    assert unpriced(by_arm(rows_of([tmp_path / f"part{n}" for n in (3, 1, 2)]))["pubmedqa", "majority"]) == unpriced(
        whole
    )
    with pytest.raises(InputError, match=r"twice; name each shard once"):
        by_arm(rows_of([tmp_path / "part1", tmp_path / "part1"]))


def test_a_second_run_reads_what_was_finished(data: Path, tmp_path: Path) -> None:
    first = asked(data, tmp_path, arms=("embedded",), limit=6)
    traces = sorted(tmp_path.glob(f"{RUNS}/*/*/*/*/trace.jsonl"))
    written = [path.stat().st_mtime_ns for path in traces]
    assert asked(data, tmp_path, arms=("embedded",), limit=6) == first
    assert sorted(tmp_path.glob(f"{RUNS}/*/*/*/*/trace.jsonl")) == traces
    assert [path.stat().st_mtime_ns for path in traces] == written


def test_epochs_ask_again(data: Path, tmp_path: Path) -> None:
    rows = asked(data, tmp_path, arms=("random",), limit=20, epochs=3)
    assert sorted({row.epoch for row in rows}) == [1, 2, 3]
    assert len(rows) == 60
    said = [[row.said.option for row in rows if row.epoch == epoch] for epoch in (1, 2, 3)]
    assert said[0] != said[1]


def test_another_plan_for_the_same_folder_is_refused(data: Path, tmp_path: Path) -> None:
    asked(data, tmp_path, arms=("majority",), limit=4)
    with pytest.raises(InputError, match=r"the plan of the run in .*; got another limit; name another folder"):
        asked(data, tmp_path, arms=("majority",), limit=5)
    assert len(asked(data, tmp_path, arms=("random",), limit=4)) == 4
    assert {row.arm for row in rows_of([tmp_path])} == {"majority", "random"}


def test_a_folder_without_a_finished_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"finished logs in .*; got none; type polyclinic eval run"):
        rows_of([tmp_path])


def test_the_samples_do_not_depend_on_their_order(data: Path) -> None:
    samples = list(PUBMEDQA.samples(PUBMEDQA.at(data)))
    plan = Plan(limit=10, seed=3)
    assert chosen(samples[::-1], plan) == chosen(samples, plan)
    assert chosen(samples, Plan(limit=10, seed=4)) != chosen(samples, plan)


def test_samples_that_count_together_are_asked_together() -> None:
    samples = [
        Sample(case=Case(id=f"c{chain}-{step}", question="?"), target=Answer(accepted=("x",)), group=f"g{chain}",
               asked_with=f"c{chain}")
        for chain in range(10)
        for step in range(6)
    ]  # fmt: skip
    for plan in (Plan(limit=20, seed=1), Plan(limit=20, seed=1, shard=(1, 2)), Plan(limit=20, seed=1, shard=(2, 2))):
        assert {*Counter(each.asked_with for each in chosen(samples, plan)).values()} == {6}
    parts = [{each.id for each in chosen(samples, Plan(limit=20, seed=1, shard=(part, 2)))} for part in (1, 2)]
    assert not parts[0] & parts[1]
    assert parts[0] | parts[1] == {each.id for each in chosen(samples, Plan(limit=20, seed=1))}
    assert len(parts[0] | parts[1]) == 18
    with pytest.raises(InputError, match=r"--limit 6 or more: 6 samples of c\d count together; got 5; type --limit 6"):
        chosen(samples, Plan(limit=5))


def test_runs_that_are_killed_end_with_the_same_table_and_ask_nothing_twice(data: Path, tmp_path: Path) -> None:
    program = str(Path(sys.executable).with_name("polyclinic"))
    command = [program, "eval", "run", "pubmedqa", "--data", str(data), "--arm", "embedded", "--concurrency", "4"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    started = time.monotonic()
    subprocess.run([*command, "--out", str(whole)], check=True, capture_output=True)
    seconds = time.monotonic() - started
    moments = random.Random(0)
    for _ in range(3):
        child = subprocess.Popen([*command, "--out", str(killed)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(moments.uniform(0.3, 0.9) * seconds)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    subprocess.run([*command, "--out", str(killed)], check=True, capture_output=True)
    assert unpriced(rows_of([killed])) == unpriced(rows_of([whole]))
    for folder in sorted((killed / RUNS / "pubmedqa" / "embedded").iterdir()):
        if folder.name == "blobs":
            continue
        (one,) = sorted(folder.iterdir())
        verify_run(one)
        keys = [
            record["key"] for record in map(json.loads, (one / "trace.jsonl").read_text().splitlines()) if record["key"]
        ]
        assert len(keys) == len(set(keys))
    assert len(sorted((killed / LOGS).glob("*.eval"))) == 1  # those of the killed runs are gone


def test_teams_of_a_served_model_are_counted_with_what_they_cost(data: Path, tmp_path: Path, server: Any) -> None:
    server.configure(team=["cardiology"], latency_s=0.0)
    settings = Settings(engine=server.url)
    rows = run([PUBMEDQA], ["team", "team-no-tools"], data, tmp_path, settings, Plan(limit=4))
    groups = by_arm(rows)
    assert set(groups) == {("pubmedqa", "team"), ("pubmedqa", "team-no-tools")}
    assert {row.outcome for row in rows} <= {"right", "wrong"}
    assert all(row.said.prompt_tokens > 100 and row.said.chat_calls >= 3 for row in rows)
    assert all(row.said.confidence is not None for row in rows)


def test_two_models_are_not_one_arm(data: Path, tmp_path: Path, server: Any) -> None:
    def asked_of_both(out: str, part: int = 1, parts: int = 1) -> list[Row]:
        plan = Plan(limit=4, shard=(part, parts))
        return run([PUBMEDQA], ["single"], data, tmp_path / out, Settings(engine=server.url), plan)

    server.configure(latency_s=0.0)
    asked_of_both("out")
    asked_of_both("one", 1, 2)
    assert said_of([tmp_path / "out"]) == ("Asked of vllm/double: single.",)
    server.configure(models=["another"])
    with pytest.raises(InputError, match="another model"):
        asked_of_both("out")
    asked_of_both("two", 2, 2)
    for together in (rows_of, lambda folders: merge(folders, tmp_path / "whole")):
        with pytest.raises(InputError, match=r"another arm \(pubmedqa, single\)"):
            together([tmp_path / "one", tmp_path / "two"])


def test_what_a_server_does_wrong_is_an_outcome_of_its_own(data: Path, tmp_path: Path, server: Any) -> None:
    server.configure(fault_from={"index": 0, "count": 1000, "kind": "malformed"}, latency_s=0.0)
    (row,) = run([PUBMEDQA], ["team"], data, tmp_path, Settings(engine=server.url), Plan(limit=1))
    assert row.outcome == "unparsable"
    assert row.said.option is None
    assert row.said.why


def test_another_configuration_into_the_same_folder_is_refused(data: Path, tmp_path: Path) -> None:
    asked(data, tmp_path, arms=("embedded",), limit=2)
    other = Settings(budget=Budget(calls=19))
    with pytest.raises(InputError, match=r"the arm embedded as it was .*; got another model, sampling, index"):
        run([PUBMEDQA], ("embedded",), data, tmp_path, other, Plan(limit=2))
    assert len(asked(data, tmp_path, arms=("embedded",), limit=2)) == 2


def test_a_tool_is_not_asked_about_texts(data: Path, tmp_path: Path) -> None:
    told = r"a benchmark of pictures for the arm tool:nuclei; got pubmedqa, one of texts alone"
    with pytest.raises(InputError, match=told):
        asked(data, tmp_path, arms=("tool:nuclei",), limit=2)


def test_the_folder_of_a_set_is_as_good_as_that_of_all(data: Path) -> None:
    assert PUBMEDQA.at(data / "pubmedqa") == PUBMEDQA.at(data)


def test_a_log_that_is_repeated_is_kept_once_and_other_arms_keep_theirs(data: Path, tmp_path: Path) -> None:
    for arms in (("majority",), ("random",), ("majority",)):
        asked(data, tmp_path, arms=arms, limit=3)
    assert len(sorted((tmp_path / LOGS).glob("*.eval"))) == 2
    assert {row.arm for row in rows_of([tmp_path])} == {"majority", "random"}


def test_a_log_that_a_kill_tore_is_unfinished_and_goes_with_the_next_run(data: Path, tmp_path: Path) -> None:
    rows = asked(data, tmp_path, arms=("random",), limit=3)
    (log,) = sorted((tmp_path / LOGS).glob("*.eval"))
    for number, size in enumerate((0, 300)):
        torn = f"2026-01-0{number + 1}T00-00-00-00-00_pubmedqa-random_{'a' * 21}{number}.eval"
        (tmp_path / LOGS / torn).write_bytes(log.read_bytes()[:size])
    assert rows_of([tmp_path]) == rows
    asked(data, tmp_path, arms=("random",), limit=3)
    assert len(sorted((tmp_path / LOGS).glob("*.eval"))) == 1


def test_a_second_run_into_a_folder_that_is_being_written_is_refused(data: Path, tmp_path: Path) -> None:
    with (
        only_run(tmp_path),
        pytest.raises(RunLockedError, match=r"got another run that is writing there; wait until it ends, or name anot"),
    ):
        asked(data, tmp_path, arms=("majority",), limit=3)
    assert len(asked(data, tmp_path, arms=("majority",), limit=3)) == 3


@pytest.mark.parametrize(
    ("raised", "shown"),
    [
        (ZeroDivisionError("an invented bug"), r"an invented bug"),
        (DivergenceError(expected="one call", got="another", fix="fork it"), r"one call; got another; fork it"),
        (
            StorageError(expected="room and permission to write x", got="nothing", fix="type --runs"),
            r"room and permission to write x; got nothing; free some space, then type the same command",
        ),
        (
            OSError(28, "No space left on device"),
            r"room and permission for a run in \S+/majority/pubmedqa-10\d\d-1; got No space left .*; free some",
        ),
    ],
)
def test_what_breaks_in_an_arm_is_told_as_what_it_is(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception, shown: str
) -> None:
    async def answer(self: Majority, sample: Sample, folder: Path, *, root: Path) -> Said:
        raise raised

    monkeypatch.setattr(Majority, "answer", answer)
    with pytest.raises((ZeroDivisionError, DivergenceError, StorageError), match=shown) as stopped:
        asked(data, tmp_path, arms=("majority",), limit=1)
    (note,) = stopped.value.__notes__
    assert re.fullmatch(r"at the sample pubmedqa-10\d\d of pubmedqa, arm majority", note)
    monkeypatch.undo()
    assert len(asked(data, tmp_path, arms=("majority",), limit=1)) == 1
    assert len(sorted((tmp_path / LOGS).glob("*.eval"))) == 1


def test_more_shards_than_samples_are_refused_in_every_shard(data: Path, tmp_path: Path) -> None:
    for n in (1, 7):
        told = r"sets of them: 5 of pubmedqa; got 7 shards; type --shard 1/5 to --shard 5/5"
        with pytest.raises(InputError, match=told):
            asked(data, tmp_path, arms=("majority",), limit=5, shard=(n, 7))
    assert not list(tmp_path.iterdir())


def test_self_consistency_is_not_asked_in_shards(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"got --shard 1/2; run the other arms in shards, merge them, and type"):
        asked(data, tmp_path, arms=("team", "single", "self-consistency"), limit=6, shard=(1, 2))


def test_a_person_is_told_while_the_server_is_away(
    data: Path, tmp_path: Path, server: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    server.configure(latency_s=0.0, fault_from={"index": 1, "count": 3, "kind": "500"})
    rows = run([PUBMEDQA], ["team"], data, tmp_path, Settings(engine=server.url), Plan(limit=2, concurrency=1))
    assert {row.outcome for row in rows} <= {"right", "wrong"}
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("polyclinic: ")]
    assert re.match(r"polyclinic: double at http://\S+ does not answer; waiting for it up to", told[0])
    assert re.match(r"polyclinic: asking double at http://\S+ again after", told[1])


def test_no_arm_is_asked_where_another_cannot_be(data: Path, tmp_path: Path) -> None:
    for arm, told in (
        ("tool:nosuch", "expected one of the tools"),
        ("tool:nuclei", "a benchmark of pictures"),
        ("brightness", "pictures with the same options each, for the arm brightness; got pubmedqa, which is none"),
        ("self-consistency", "the arms team and single"),
    ):
        with pytest.raises(InputError, match=told):
            asked(data, tmp_path / "out", arms=("majority", arm), limit=2)
        assert not (tmp_path / "out").exists()


def test_an_arm_that_would_be_silent_on_every_sample_is_refused(data: Path, tmp_path: Path) -> None:
    for set_name, arms in (("agentclinic", ("majority", "random", "constant")), ("bioasq-list", ("majority",))):
        for arm in arms:
            with pytest.raises(InputError, match=rf"for the arm {arm}; got {set_name}, which is none; leave the arm"):
                run([benchmark(set_name)], [arm], FIXTURES, tmp_path / "out", Settings(), Plan())
    assert not (tmp_path / "out").exists()


def test_a_run_that_found_no_server_does_not_own_its_folder(data: Path, tmp_path: Path) -> None:
    away = Settings(engine="http://127.0.0.1:9/v1")
    with pytest.raises(SetupError, match="expected an OpenAI-compatible server"):
        run([PUBMEDQA], ["team"], data, tmp_path, away, Plan(limit=3))
    assert len(asked(data, tmp_path, arms=("majority",), limit=2)) == 2
    with pytest.raises(InputError, match="another limit"):
        asked(data, tmp_path, arms=("majority",), limit=3)


def test_what_has_no_log_is_told(data: Path, tmp_path: Path) -> None:
    asked(data, tmp_path, limit=4)
    assert unfinished(tmp_path) == ()
    (log,) = (tmp_path / LOGS).glob("*embedded_*.eval")
    whole = log.read_bytes()
    log.write_bytes(whole[: len(whole) // 2])
    assert unfinished(tmp_path) == ("pubmedqa, embedded",)
    log.unlink()
    assert unfinished(tmp_path) == ("pubmedqa, embedded",)
    asked(data, tmp_path, limit=4)
    assert unfinished(tmp_path) == ()


def test_a_damaged_log_is_told_with_what_to_type(data: Path, tmp_path: Path) -> None:
    asked(data, tmp_path, arms=("majority",), limit=4)
    (log,) = (tmp_path / LOGS).glob("*.eval")
    spoilt = bytearray(log.read_bytes())
    third = len(spoilt) // 3
    spoilt[third : third + 200] = bytes(byte ^ 255 for byte in spoilt[third : third + 200])
    log.write_bytes(spoilt)
    with pytest.raises(
        InputError, match=r"expected a whole log at .*; delete it, and type the same polyclinic eval run"
    ):
        rows_of([tmp_path])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda log: log.samples[0].metadata["polyclinic"].pop("arm"), "arm: Field required"),
        (lambda log: log.samples[0].metadata.pop("polyclinic"), "polyclinic: is not there"),
        (lambda log: log.samples.pop(), "3 of 4 samples"),
    ],
)
def test_a_log_that_holds_something_else_is_told(data: Path, tmp_path: Path, change: Any, told: str) -> None:
    from inspect_ai.log import read_eval_log, write_eval_log

    asked(data, tmp_path, arms=("majority",), limit=4)
    (place,) = map(str, (tmp_path / LOGS).glob("*.eval"))
    log = read_eval_log(place)
    change(log)
    write_eval_log(log, place)
    with pytest.raises(InputError, match=rf"a whole log at \S+; got {told}; delete it, and type the same"):
        rows_of([tmp_path])


def test_a_person_who_has_seen_enough_gets_one_line_and_goes_on_later(data: Path, tmp_path: Path) -> None:
    program = str(Path(sys.executable).with_name("polyclinic"))
    command = [program, "eval", "run", "pubmedqa", "--data", str(data), "--out", str(tmp_path), "--concurrency", "1"]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's & ignores it, for children too
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    assert child.stderr is not None
    assert child.stderr.readline().startswith("pubmedqa, embedded: ")
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 1
    assert not out
    assert err.splitlines()[-1] == "polyclinic: interrupted; the same command resumes the run"
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "| embedded |" in done.stdout
    assert unfinished(tmp_path) == ()


def test_a_damaged_trace_is_told_with_what_to_delete(data: Path, tmp_path: Path) -> None:
    before = asked(data, tmp_path, arms=("embedded",), limit=3)
    trace = sorted((tmp_path / RUNS).glob("*/*/*/*/trace.jsonl"))[1]
    trace.write_bytes(trace.read_bytes()[:3000])
    with pytest.raises(TraceError) as told:
        asked(data, tmp_path, arms=("embedded",), limit=3)
    sample = trace.parents[1]
    assert told.value.fix == f"delete {sample} and type the same command: that sample is asked anew"
    trace.unlink()
    with pytest.raises(TraceError, match=r"a readable trace at .*; got No such file or directory; delete \S+ and type"):
        asked(data, tmp_path, arms=("embedded",), limit=3)
    shutil.rmtree(sample)
    after = asked(data, tmp_path, arms=("embedded",), limit=3)
    assert [row.outcome for row in after] == [row.outcome for row in before]


def test_a_person_who_waits_is_told_of_every_epoch(data: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    plan = Plan(limit=2, epochs=3)
    run([PUBMEDQA], ["majority"], data, tmp_path, Settings(), plan, watch=lambda *each: seen.append(each))
    assert seen == [("pubmedqa, majority", n, 6) for n in range(1, 7)]


def test_the_smallest_set_says_how_many_shards_there_can_be(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"sets of them: 1 of bioasq-list; got 5 shards"):
        run([PUBMEDQA, benchmark("bioasq-list")], ["embedded"], both(data, tmp_path), tmp_path / "out", Settings(),
            Plan(shard=(1, 5)))  # fmt: skip


def both(data: Path, folder: Path) -> Path:
    """The invented PubMedQA beside the fixture of BioASQ."""
    shutil.copytree(data, folder / "data")
    shutil.copytree(FIXTURES / "bioasq_golden", folder / "data" / "bioasq_golden")
    return folder / "data"


def test_silence_is_not_right_in_inspects_log_and_a_run_leaves_no_handler(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from inspect_ai.log import read_eval_log

    async def answer(self: Majority, sample: Sample, folder: Path, *, root: Path) -> Said:
        return Said(silence="abstained")

    before = list(logging.getLogger("polyclinic").handlers)
    monkeypatch.setattr(Majority, "answer", answer)
    asked(data, tmp_path, arms=("majority",), limit=2)
    log = read_eval_log(newest_logs(tmp_path)["pubmedqa-majority"])
    assert log.results is not None
    assert log.results.scores[0].metrics["accuracy"].value == 0.0
    assert logging.getLogger("polyclinic").handlers == before


def test_a_run_that_a_bug_stopped_leaves_no_log(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(self: Majority, sample: Sample, folder: Path, *, root: Path) -> Said:
        raise ZeroDivisionError("an invented bug")

    monkeypatch.setattr(Majority, "answer", answer)
    with pytest.raises(ZeroDivisionError):
        asked(data, tmp_path, arms=("majority",), limit=1)
    assert not list((tmp_path / LOGS).glob("*.eval"))
