"""Shards joined into one run: the same rows, the same traces, and an error for what does not belong together."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from polyclinic.core.errors import InputError
from polyclinic.core.runs import verify_run
from polyclinic.core.settings import Settings
from polyclinic.evals.benchmarks.table import benchmark
from polyclinic.evals.leakage import leakages
from polyclinic.evals.logs import newest_logs, rows_of
from polyclinic.evals.merge import merge
from polyclinic.evals.plan import read_plan
from polyclinic.evals.run import Plan, run

inspect_ai = pytest.importorskip("inspect_ai", reason="needs the extra [eval]")

pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # streams inspect leaves open
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.usefixtures("inspect_clean"),
]

ARMS = ("embedded", "majority")


@pytest.fixture(scope="module")
def shards(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three shards of eleven samples."""
    folders = [tmp_path_factory.mktemp(f"shard{n}") for n in (1, 2, 3)]
    for n, folder in enumerate(folders, start=1):
        run([benchmark("pubmedqa")], ARMS, data, folder, Settings(), Plan(limit=11, shard=(n, 3)))
    return folders


def test_the_whole_holds_every_row_and_every_trace(shards: list[Path], tmp_path: Path) -> None:
    from inspect_ai.log import read_eval_log

    out = tmp_path / "whole"
    assert merge([shards[2], shards[0], shards[1]], out) == len(ARMS)
    key = "arm", "sample"
    rows = rows_of([out])
    parts = sorted((row for folder in shards for row in rows_of([folder])), key=lambda row: (row.arm, row.sample))
    assert [row.model_dump(include=set(key)) for row in rows] == [row.model_dump(include=set(key)) for row in parts]
    assert rows == parts
    for row in rows:
        assert row.arm == "majority" or verify_run(out / row.said.trace) > 3
    assert leakages(out) == leakages(shards[0]) != ()
    log = read_eval_log(newest_logs(out)["pubmedqa-majority"])
    assert log.results is not None
    right = sum(row.outcome == "right" for row in rows if row.arm == "majority") / 11
    assert log.results.total_samples == 11
    assert log.results.scores[0].metrics["accuracy"].value == pytest.approx(right)


def test_a_shard_that_is_missing_or_named_twice_is_told(shards: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"each of the 3 shards once; got 1/3, 2/3; run the missing ones"):
        merge(shards[:2], tmp_path / "out")
    with pytest.raises(InputError, match=r"got 1/3, 2/3, 2/3"):
        merge([shards[0], shards[1], shards[1]], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_shards_of_another_run_are_refused(shards: list[Path], data: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    run([benchmark("pubmedqa")], ARMS, data, other, Settings(), Plan(limit=12, shard=(3, 3)))
    with pytest.raises(InputError, match=r"with another limit; name the shards of one run"):
        merge([*shards[:2], other], tmp_path / "out")
    fewer = tmp_path / "fewer"
    run([benchmark("pubmedqa")], ARMS[:1], data, fewer, Settings(), Plan(limit=11, shard=(3, 3)))
    with pytest.raises(InputError, match=r"only one of them with pubmedqa-majority"):
        merge([*shards[:2], fewer], tmp_path / "out")


def test_nothing_is_written_over(shards: list[Path], tmp_path: Path) -> None:
    (tmp_path / "there").write_text("mine")
    with pytest.raises(InputError, match=r"a new folder; got .*, which is not empty"):
        merge(shards, tmp_path)
    with pytest.raises(InputError, match=r"the folder of a run, with plan.json"):
        merge([tmp_path], tmp_path / "out")


def test_shards_of_other_arms_or_another_leakage_are_refused(shards: list[Path], tmp_path: Path) -> None:
    copies = [tmp_path / folder.name for folder in shards]
    for folder, copy in zip(shards, copies, strict=True):
        shutil.copytree(folder, copy)
    plan = read_plan(copies[1])
    plan.model_copy(update={"arms": {**plan.arms, "pubmedqa, majority": "another model"}}).write(copies[1])
    with pytest.raises(InputError, match=r"with another arm \(pubmedqa, majority\); name the shards of one run"):
        merge(copies, tmp_path / "out")
    with pytest.raises(InputError, match=r"of one plan with .*; got another arm \(pubmedqa, majority\); report each"):
        rows_of(copies)
    plan.write(copies[1])
    (copies[2] / "leakage.json").write_text("[]")
    with pytest.raises(InputError, match=r"with another leakage; name the shards of one run"):
        merge(copies, tmp_path / "out")


def test_shards_that_all_lack_a_log_are_not_finished(shards: list[Path], tmp_path: Path) -> None:
    copies = [tmp_path / folder.name for folder in shards]
    for folder, copy in zip(shards, copies, strict=True):
        shutil.copytree(folder, copy)
        for log in copy.glob("logs/*embedded*.eval"):
            log.unlink()
    with pytest.raises(InputError, match=r"finished shards; got .*, with no whole log of pubmedqa, embedded; type the"):
        merge(copies, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_runs_of_two_plans_are_not_read_as_one(shards: list[Path], data: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    run([benchmark("pubmedqa")], ARMS[1:], data, other, Settings(), Plan(limit=11, seed=1))
    with pytest.raises(InputError, match=r"got another seed and another number of shards; report each by itself"):
        rows_of([shards[0], other])


@pytest.fixture
def copies(shards: list[Path], tmp_path: Path) -> list[Path]:
    """The shards, to be changed."""
    return [Path(shutil.copytree(folder, tmp_path / folder.name)) for folder in shards]


def rewrite(folder: Path, **changes: Any) -> None:
    read_plan(folder).model_copy(update=changes).write(folder)


def test_shards_of_more_sets_or_other_parts_are_refused(copies: list[Path], tmp_path: Path) -> None:
    before = read_plan(copies[1])
    rewrite(copies[1], sets={**before.sets, "other": "x"})
    with pytest.raises(InputError, match="with another set of other"):
        merge(copies, tmp_path / "out")
    rewrite(copies[1], sets=before.sets, shard=(2, 4))
    with pytest.raises(InputError, match="each of the 3 shards once; got 1/3, 2/4, 3/3"):
        merge(copies, tmp_path / "out")


def test_an_arm_that_no_shard_began_does_not_keep_them_apart(copies: list[Path], tmp_path: Path) -> None:
    for folder in copies:
        rewrite(folder, arms={**read_plan(folder).arms, "pubmedqa, random": ""})
    assert merge(copies, tmp_path / "out") == len(ARMS)


def test_a_merge_is_whole_or_nothing(copies: list[Path], tmp_path: Path) -> None:
    log = Path(newest_logs(copies[1])["pubmedqa-embedded"].removeprefix("file://"))
    whole = log.read_bytes()
    spoilt = bytearray(whole)
    spoilt[len(whole) // 3 : len(whole) // 3 + 200] = bytes(200)
    log.write_bytes(spoilt)
    with pytest.raises(InputError, match=r"a whole log at .*; delete it, and type the same polyclinic eval run"):
        merge(copies, tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == sorted(copies)
    log.write_bytes(whole)
    (tmp_path / "out").mkdir()
    assert merge(copies, tmp_path / "out") == len(ARMS)
    assert sorted(tmp_path.iterdir()) == sorted([*copies, tmp_path / "out"])


def test_a_merge_goes_into_an_empty_folder_however_it_is_named(
    shards: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "there")
    monkeypatch.chdir(tmp_path / "here")
    for out in (Path(), tmp_path / "linked", tmp_path / "deep" / "er"):
        merge(shards, out)
        there = sorted(each.name for each in out.resolve().iterdir())
        assert there == ["leakage.json", "logs", "plan.json", "runs"]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["deep", "here", "linked", "there"]


def test_a_file_in_the_way_is_told(shards: list[Path], tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match="a new folder; got"):
        merge(shards, tmp_path / "out")


def test_traces_are_copied_where_they_cannot_be_linked(
    shards: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refused)
    merge(shards, tmp_path / "out")
    assert len(list((tmp_path / "out").glob("runs/*/*/*/*/trace.jsonl"))) == 11


def test_a_blob_that_two_shards_hold_is_that_of_the_first_and_no_shard_is_written_to(
    copies: list[Path], tmp_path: Path
) -> None:
    blobs = [folder / "runs" / "pubmedqa" / "embedded" / "blobs" / "same" for folder in copies]
    for number, blob in enumerate(blobs):
        blob.parent.mkdir(exist_ok=True)
        blob.write_text(str(number))
    merge(copies, tmp_path / "out")
    assert (tmp_path / "out" / "runs" / "pubmedqa" / "embedded" / "blobs" / "same").read_text() == "0"
    assert [blob.read_text() for blob in blobs] == ["0", "1", "2"]
