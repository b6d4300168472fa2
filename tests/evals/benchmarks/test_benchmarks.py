"""Every benchmark by its fixture: samples that fit its task, the same every time, and errors for anything else."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import PIL.Image
import pytest

from polyclinic.core.case import Case
from polyclinic.core.errors import InputError
from polyclinic.evals.benchmark import Benchmark
from polyclinic.evals.benchmarks.table import BENCHMARKS, benchmark
from polyclinic.evals.places import read_truth
from polyclinic.evals.sample import Answer, Answers, Boxes, Letter, Mask, Points, Sample

WITH_DATA = {
    "agentclinic", "bioasq-factoid", "bioasq-list", "bioasq-yesno", "mediq", "medmcqa", "mmlu_medical", "pubmedqa",
    "vqa_rad-open", "vqa_rad-yesno", "blood_cells", "brain_tumour", "brain_tumour-type", "haemorrhage", "nuclei",
    "pneumonia", "vessels_chase", "vessels_drive",
}  # fmt: skip
OF_FOLDERS = {"blood_cells", "brain_tumour", "brain_tumour-type", "haemorrhage", "pneumonia", "vessels_chase",
              "vessels_drive"}  # fmt: skip
"""Sets without a file of records: what lies in their folders is what there is. See test_tool_sets.py."""
OF_TEXT = {"agentclinic", "bioasq-factoid", "bioasq-list", "bioasq-yesno", "mediq", "medmcqa", "medqa",
           "medxpertqa-text", "mmlu_medical", "pubmedqa"}  # fmt: skip
TARGETS = {"choice": Letter, "answer": Answer, "answers": Answers, "boxes": Boxes, "points": Points, "mask": Mask}


def loaded(each: Benchmark, data: Path) -> list[Sample]:
    return list(each.samples(each.at(data)))


def size_of(case: Case) -> tuple[int, int]:
    path = case.images[0].path
    assert path is not None
    with PIL.Image.open(path) as picture:
        return picture.size


def fits(sample: Sample) -> bool:
    """Whether the target can be right at all: its letter is an option, its texts say something, it is on the image."""
    case, target = sample.case, sample.target
    match target:
        case Letter(letter=letter):
            return letter in case.options
        case Answer(accepted=accepted):
            return bool(accepted) and all(map(str.strip, accepted))
        case Answers(items=items):
            return bool(items) and all(names and all(map(str.strip, names)) for names in items)
        case Boxes(boxes=boxes):
            width, height = size_of(case)
            return all(0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height for _, (x0, y0, x1, y1) in boxes)
        case Points(points=points):
            width, height = size_of(case)
            return all(0 <= x <= width and 0 <= y <= height for _, (x, y) in points)
        case Mask():
            truth = read_truth(target)
            return truth.shape == size_of(case)[::-1] and bool((truth > 0).any())


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_fixture_loads_and_its_targets_fit(name: str, fixtures: Path) -> None:
    each = benchmark(name)
    found = loaded(each, fixtures)
    assert each.name == name
    assert found
    assert len({sample.id for sample in found}) == len(found)
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", sample.id) for sample in found)
    assert [sample for sample in found if not fits(sample)] == []
    if each.task == "interactive":
        assert any(sample.known for sample in found)
    else:
        assert {type(sample.target) for sample in found} == {TARGETS[each.task]}
        assert not any(sample.known for sample in found)
    for sample in found:
        assert sample.group
        assert bool(sample.case.options) == isinstance(sample.target, Letter)
        assert list(sample.case.options) == sorted(sample.case.options)
        assert bool(sample.case.images) == (name not in OF_TEXT)
        assert all(Path(str(image.path)).is_relative_to(fixtures) for image in sample.case.all_images())


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_says_whose_it_is_and_whether_it_ran(name: str) -> None:
    each = benchmark(name)
    for text in (each.summary, each.licence, each.citation, each.published_as, each.place):
        assert text.strip()
    assert re.search(r"\b(19|20)\d\d\b", each.citation)
    assert each.tried == (name in WITH_DATA)
    document = sys.modules[f"polyclinic.evals.benchmarks.{name.partition('-')[0]}"].__doc__ or ""
    assert ("Not run on the published set" in document) != each.tried


@pytest.mark.parametrize("name", BENCHMARKS)
def test_samples_are_the_same_whatever_the_folder_lists_first(name: str, fixtures: Path, tmp_path: Path) -> None:
    each = benchmark(name)
    files = (path for path in (fixtures / each.place.split("/")[0]).rglob("*") if path.is_file())
    for path in sorted(files, reverse=True):
        copy = tmp_path / "data" / path.relative_to(fixtures)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    here = [sample.case.model_dump_json() for sample in loaded(each, fixtures)]
    there = [sample.case.model_dump_json() for sample in loaded(each, tmp_path / "data")]
    assert here == [text.replace(str(tmp_path / "data"), str(fixtures)) for text in there]


def main_files(each: Benchmark, data: Path) -> list[Path]:
    """The files with records of a benchmark in a folder of data sets."""
    path = each.at(data)
    if path.is_file():
        return [path]
    return [file for file in sorted(path.rglob("*")) if file.suffix in {".json", ".csv"}]


@pytest.mark.parametrize("name", sorted(set(BENCHMARKS) - OF_FOLDERS))
@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "[1]", "null", "{", '{"a": 1}', '[{"a": 1}]', "a,b\n1,2\n", "a\tb\n1\t2\n", "\x00", "\ud800"],
)
def test_another_file_is_refused(name: str, text: str, copied: Path) -> None:
    each = benchmark(name)
    for path in main_files(each, copied):
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(InputError):
        loaded(each, copied)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_missing_set_is_named(name: str, tmp_path: Path) -> None:
    each = benchmark(name)
    with pytest.raises(InputError, match=re.escape(each.place)):
        each.at(tmp_path)
    with pytest.raises(InputError):
        list(each.samples(tmp_path / "missing"))


@pytest.mark.parametrize("name", [name for name in BENCHMARKS if name not in OF_TEXT | OF_FOLDERS])
def test_a_picture_that_is_not_there_is_named(name: str, copied: Path) -> None:
    each = benchmark(name)
    images = [image for sample in loaded(each, copied) for image in sample.case.all_images()]
    gone = Path(str(images[-1].path))
    gone.unlink()
    with pytest.raises(InputError, match=re.escape(gone.stem)):
        loaded(each, copied)


PICTURES = {
    "cxreasonbench": "p10/p10000001/s50000001/0a1b2c3d-00000001.jpg",
    "medmultipoints": "0a" * 32,
    "medq_bench": "spoons/1.png",
    "medsg_bench": "MedSG-Bench/MedSG-Bench/Task8/a.png",
    "medxpertqa-mm": "MM-7-a.jpeg",
    "mmxu": "files/p10/p10000001/s50000001/a.jpg",
    "omnimedvqa": "Images/Spoons/1.png",
    "pathvqa-open": "test_0001",
    "pmc_vqa": "PMC0000001_F1.jpg",
    "slake-open": "xmlab7/source.jpg",
    "temmed_bench": "train/patient00001/study2/view1_frontal.jpg",
    "vqa_rad-yesno": "syn1.jpg",
}
"""A picture's name as it stands in the fixture's records."""


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("outside", ["../x/p10000001/y/secret", "/x/p10000001/y/secret", "a/../p10000001/../../secret"])
def test_a_picture_that_leaves_the_folder_is_refused(name: str, outside: str, copied: Path) -> None:
    each = benchmark(name)
    if name == "temmed_bench":
        outside = outside.replace("p10000001", "patient00001")
    changed = 0
    for path in sorted((copied / each.place.split("/")[0]).rglob("*")):
        text = path.read_text(encoding="utf-8") if path.suffix in {".json", ".jsonl", ".csv", ".tsv"} else ""
        if PICTURES[name] in text:
            changed += 1
            path.write_text(text.replace(PICTURES[name], f"{outside}.jpg"), encoding="utf-8")
    assert changed
    with pytest.raises(InputError, match="leaves the folder"):
        loaded(each, copied)
