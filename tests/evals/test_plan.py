"""The plan in a run's folder: what a set is, wherever it lies, and what is said of a plan that cannot be read."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Picture

from polyclinic.core.case import Case, Image
from polyclinic.core.errors import InputError
from polyclinic.evals.benchmarks.table import benchmark
from polyclinic.evals.plan import FILE, Written, check_together, fingerprint, other_sets, read_plan, said_of, take_up
from polyclinic.evals.sample import Letter, Mask, Sample, Sought

WRITTEN = Written(limit=4, epochs=1, shard=(1, 1), seed=0, sets={"quiz": "abc"}, arms={"quiz, one": "one"})


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    picture = tmp_path / "data" / "picture.png"
    picture.parent.mkdir()
    Picture.new("L", (8, 8)).save(picture)
    return Sample(
        case=Case(id="one", question="Is it?", options={"A": "yes", "B": "no"}, images=(Image(path=str(picture)),)),
        target=Letter(letter="A"), group="patient", known={"test": "positive"},
    )  # fmt: skip


def test_all_that_a_sample_is_counts(sample: Sample) -> None:
    others: tuple[Mapping[str, object], ...] = (
        {"target": Letter(letter="B")}, {"known": {"test": "negative"}}, {"made_of": ("1",)}, {"group": "other"},
        {"gives_away": ("because",)}, {"gold": ("1",)}, {"facets": {"modality": "ct"}}, {"asked_with": "pair"},
        {"sought": Sought(findings={"A": "glioma"})},
        {"case": sample.case.model_copy(update={"question": "Is it not?"})},
    )  # fmt: skip
    found = {fingerprint([sample]), *(fingerprint([replace(sample, **other)]) for other in others)}  # type: ignore[arg-type]
    assert len(found) == len(others) + 1


def test_pixels_count_and_where_they_lie_does_not(sample: Sample, tmp_path: Path) -> None:
    before = fingerprint([sample])
    shutil.copytree(tmp_path / "data", tmp_path / "elsewhere")
    there = Image(path=str(tmp_path / "elsewhere" / "picture.png"))
    assert fingerprint([replace(sample, case=sample.case.model_copy(update={"images": (there,)}))]) == before
    masked = replace(sample, target=Mask(path=tmp_path / "data" / "picture.png", label="lesion"))
    moved = replace(sample, target=Mask(path=tmp_path / "elsewhere" / "picture.png", label="lesion"))
    assert fingerprint([masked]) == fingerprint([moved])
    Picture.new("L", (8, 8), 1).save(tmp_path / "data" / "picture.png")
    assert fingerprint([sample]) != before
    assert fingerprint([masked]) != fingerprint([moved])


@pytest.mark.parametrize("name", ["medmcqa", "mediq", "pneumonia", "vessels_chase", "vqa_rad-yesno"])
def test_a_real_set_is_the_same_however_its_folder_is_spelt(
    name: str, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = benchmark(name)
    try:
        place = found.at(data_dir)
    except InputError:
        pytest.skip(f"no {found.place} in {data_dir}")
    absolute = list(found.samples(place.resolve()))
    monkeypatch.chdir(data_dir)
    assert fingerprint(list(found.samples(found.at(Path("."))))) == fingerprint(absolute)


def answered(folder: Path) -> None:
    """As if an arm had answered one sample."""
    kept = folder / "runs" / "quiz" / "one" / "s1-1" / "said.json"
    kept.parent.mkdir(parents=True)
    kept.write_text("{}")


def test_a_folder_without_an_answer_is_taken_for_another_plan(tmp_path: Path) -> None:
    WRITTEN.write(tmp_path)
    other = WRITTEN.model_copy(update={"limit": 9, "arms": {"quiz, two": ""}})
    take_up(tmp_path, other)
    assert read_plan(tmp_path) == other


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    WRITTEN.write(tmp_path)
    assert read_plan(tmp_path) == WRITTEN
    answered(tmp_path)
    take_up(tmp_path, WRITTEN.model_copy(update={"sets": {"other": "def"}, "arms": {}}))
    assert read_plan(tmp_path) == WRITTEN.model_copy(update={"sets": {"quiz": "abc", "other": "def"}})
    with pytest.raises(InputError, match=r"got another set of quiz; name another folder"):
        take_up(tmp_path, WRITTEN.model_copy(update={"sets": {"quiz": "xyz"}}))
    with pytest.raises(InputError, match=r"got another seed and another shard; name another folder"):
        take_up(tmp_path, WRITTEN.model_copy(update={"seed": 1, "shard": (1, 2)}))


@given(cut=st.integers(min_value=0, max_value=130), junk=st.binary(max_size=1))
def test_a_damaged_plan_is_told_and_says_what_to_do(
    cut: int, junk: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("run")
    WRITTEN.write(folder)
    answered(folder)
    whole = (folder / FILE).read_bytes()
    assert cut < len(whole) - 3
    (folder / FILE).write_bytes(whole[:cut] + junk)
    with pytest.raises(InputError, match=r"the plan of a run in .*; got a damaged file .*; restore it from a copy, or"):
        take_up(folder, WRITTEN)


def test_folders_of_other_sets_or_of_one_plan_are_read_together(tmp_path: Path) -> None:
    parts = [tmp_path / "1", tmp_path / "2", tmp_path / "other"]
    for number, folder in enumerate(parts[:2], start=1):
        WRITTEN.model_copy(update={"shard": (number, 2)}).write(folder)
    WRITTEN.model_copy(update={"sets": {"other": "x"}, "arms": {}, "seed": 7}).write(parts[2])
    check_together(parts)


def test_a_part_of_the_samples_is_told_and_other_data_too(tmp_path: Path) -> None:
    for part in (1, 2, 3):
        (tmp_path / str(part)).mkdir()
        changes = {"shard": (part, 3), "sets": {"quiz": "abc" if part < 3 else "other"}}
        WRITTEN.model_copy(update=changes).write(tmp_path / str(part))
    folders = [tmp_path / str(part) for part in (3, 1, 2)]
    assert said_of(folders) == ()
    assert said_of(folders[:2]) == ("Of 3 shards 1, 3 are here: every figure is of a part of the samples.",)
    assert other_sets(folders[1], folders[2]) == ()
    assert other_sets(folders[1], folders[0]) == ("quiz",)
