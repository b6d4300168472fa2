"""Where published sets lie, how they write what they mean, and what is said of a file in another format."""

from __future__ import annotations

import base64
import io
import json
import logging
import re
import shutil
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from polyclinic.core.errors import InputError, StorageError
from polyclinic.evals.benchmarks.table import benchmark
from polyclinic.evals.benchmarks.tables import unpack
from polyclinic.evals.sample import Letter, Sample


def png(side: int) -> str:
    """A grey square as base64."""
    data = io.BytesIO()
    PIL.Image.new("L", (side, side), side).save(data, "PNG")
    return base64.b64encode(data.getvalue()).decode()


def side(path: str) -> int:
    with PIL.Image.open(path) as picture:
        return picture.width


def changed(path: Path, **changes: Any) -> None:
    """The first record of a file of JSON lines or of a JSON list, with other values."""
    text = path.read_text()
    by_line = text.startswith("{")
    records = [json.loads(line) for line in text.splitlines()] if by_line else json.loads(text)
    records[0] |= changes
    path.write_text("\n".join(map(json.dumps, records)) if by_line else json.dumps(records))


def set_of(name: str, fixtures: Path, folder: Path) -> tuple[Path, Path]:
    """A copy of a set's folder, and where in it the benchmark's file lies."""
    top, _, below = benchmark(name).place.partition("/")
    copy = Path(shutil.copytree(fixtures / top, folder / top))
    return copy, copy / below


def read(name: str, path: Path) -> list[Sample]:
    return list(benchmark(name).samples(path))


def test_medsg_lies_as_on_the_hub_and_its_training_half_is_not_read(fixtures: Path, tmp_path: Path) -> None:
    plain = read("medsg_bench", fixtures / "MedSG-Bench")
    hub = tmp_path / "MedSG-Bench"
    shutil.copytree(fixtures / "MedSG-Bench", hub / "MedSG-Bench")
    (hub / "croissant.json").write_text("{}")
    (hub / "MedSG-Bench" / "Task9.json").write_text("no record")
    (hub / "MedSG-Train").mkdir()
    (hub / "MedSG-Train" / "Task1.json").write_text("no record")
    there = read("medsg_bench", benchmark("medsg_bench").at(tmp_path))
    assert [(sample.id, sample.target) for sample in there] == [(sample.id, sample.target) for sample in plain]
    shutil.rmtree(hub / "MedSG-Bench")
    with pytest.raises(
        InputError, match=r"Task1\.json to Task8\.json in MedSG-Bench or MedSG-Bench/MedSG-Bench; got none"
    ):
        read("medsg_bench", hub)


@pytest.mark.parametrize("folder", ["figures", "images/images", "images/images2", "images2"])
def test_figures_of_pmc_vqa_lie_where_their_zip_puts_them(fixtures: Path, tmp_path: Path, folder: str) -> None:
    top, path = set_of("pmc_vqa", fixtures, tmp_path)
    pictures = sorted((top / "images").iterdir())
    (top / folder).mkdir(parents=True)
    for picture in pictures[:1]:
        picture.rename(top / folder / picture.name)
    shown = {Path(str(image.path)).name: image.path for sample in read("pmc_vqa", path) for image in sample.case.images}
    assert shown[pictures[0].name] == str(top / folder / pictures[0].name)


def test_another_split_or_version_is_named_by_its_file(fixtures: Path, tmp_path: Path) -> None:
    top, _ = set_of("pmc_vqa", fixtures, tmp_path)
    each = benchmark("pmc_vqa")
    assert [sample.id for sample in each.samples(each.at(top / "test_2.csv"))] == ["pmcvqa-test_2-000001"]
    (top / "test_2.txt").write_text("")
    with pytest.raises(InputError, match="which is no folder"):
        each.at(top / "test_2.txt")


def test_an_answer_may_end_in_a_full_stop(fixtures: Path, tmp_path: Path) -> None:
    top, path = set_of("temmed_bench", fixtures, tmp_path)
    records = top / "TestSet_VQA_ReportGeneration.json"
    records.write_text(records.read_text().replace('"Yes"', '"Yes."').replace('"No"', '"No. "'))
    plain = read("temmed_bench", fixtures / benchmark("temmed_bench").place)
    assert [sample.target for sample in read("temmed_bench", path)] == [sample.target for sample in plain]


@pytest.mark.parametrize(("written", "asked"), [("normal", "normal sperm"), ("polyps", "polyp"), ("spoon", "spoon")])
def test_labels_are_asked_for_in_words_and_pictures_may_be_png(
    fixtures: Path, tmp_path: Path, written: str, asked: str
) -> None:
    top, path = set_of("medmultipoints", fixtures, tmp_path)
    changed(path, label=written)
    for picture in (top / "MedMultiPoints-images").glob("0a*.jpg"):
        picture.rename(picture.with_suffix(".png"))
    first = read("medmultipoints", path)[0]
    assert first.case.question == f"Point to every {asked} in the image. How many are there?"
    assert first.facets["label"] == written
    assert {label for label, _ in first.target.points} == {asked}  # type: ignore[union-attr]
    assert str(first.case.images[0].path).endswith(".png")


@pytest.mark.parametrize(
    ("answer", "options", "letter"),
    [
        ("A spoon", ("A fork", "a spoon."), "B"),
        ("A spoon.", ("A spoon", "A fork"), "A"),
        ("A spoon", ("A spoon", "A spoon."), "A"),
        ("A spoon", ("a spoon", "A spoon"), "B"),
        (None, ("A fork", "A spoon"), None),
        ("A cup", ("A fork", "A spoon"), None),
        ("A cup", ("A cup.", "a cup."), None),
    ],
)
def test_answers_that_are_no_option_are_left_out_and_told(
    fixtures: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    answer: str | None,
    options: tuple[str, str],
    letter: str | None,
) -> None:
    top, path = set_of("omnimedvqa", fixtures, tmp_path)
    before = {sample.id for sample in read("omnimedvqa", path)}
    changed(
        top / "QA_information" / "Open-access" / "Spoons.json", gt_answer=answer, option_A=options[0],
        option_B=options[1], option_C="", option_D="",
    )  # fmt: skip
    with caplog.at_level(logging.WARNING):
        found = {sample.id: sample.target for sample in read("omnimedvqa", path)}
    if letter is None:
        assert before - found.keys() == {"omnimedvqa-Spoons_0001"}
        assert "left out, as their answer is no single one of their options: 1 (Spoons_0001)" in caplog.text
    else:
        assert found["omnimedvqa-Spoons_0001"] == Letter(letter=letter)
        assert not caplog.text


def test_pictures_in_a_table_are_unpacked_once(fixtures: Path, tmp_path: Path) -> None:
    each = benchmark("gmai_mmbench")
    assert each.unpack is not None
    path = tmp_path / "GMAI_mm_bench_VAL.tsv"
    path.write_bytes((fixtures / "gmai_mmbench" / path.name).read_bytes())
    with pytest.raises(
        InputError, match=r"the pictures of index 7 in .*; type polyclinic eval unpack gmai_mmbench --data"
    ):
        list(each.samples(path))
    assert each.unpack(path) == 2
    with PIL.Image.open(tmp_path / "images" / "7.png") as picture:
        assert picture.size == (4, 4)
    assert len(list(each.samples(path))) == 2


def test_a_table_may_hold_several_pictures_of_a_row_or_show_those_of_another_again(tmp_path: Path) -> None:
    path = tmp_path / "medqbench_QA_test.tsv"
    rows = [
        ("1", png(2), "anywhere/1.png"),
        ("2", "4", ""),
        ("3", "1", ""),
        ("4", str([png(3), png(4)]), "['a.png', 'b.png']"),
    ]
    head = "index\tquestion\tA\tB\tanswer\timage\timage_path\tmodality\n"
    path.write_text(head + "".join(f"{n}\tIs it?\tYes\tNo\tA\t{image}\t{named}\tCT\n" for n, image, named in rows))
    each = benchmark("medq_bench")
    assert each.unpack is not None
    assert each.unpack(path) == 3
    found = {sample.id: sample for sample in each.samples(path)}

    def sides(number: int) -> list[int]:
        return [side(str(image.path)) for image in found[f"medqbench-{number}"].case.images]

    assert [sides(number) for number in (1, 2, 3, 4)] == [[2], [3, 4], [2], [3, 4]]
    assert found["medqbench-2"].group == "medqbench-4"
    (tmp_path / "images" / "4-2of2.png").unlink()
    with pytest.raises(InputError, match="the pictures of index 4"):
        list(each.samples(path))


def test_what_cannot_be_unpacked_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    for data, named in (
        ("iVBO!" * 20, "index 7"),
        ("c3Bvb24=" * 20, "index 7"),
        ("c3Bv" * 20, "a PNG or JPEG at index 7"),
        (f"['{png(9)}', 7]", r"index 7, in a\.tsv; got .* where a list of pictures is published"),
        (f"[{png(9)}]", r"index 7, in a\.tsv; got .* where a list of pictures is published"),
    ):
        path.write_text(f"index\timage\n7\t{data}\n")
        with pytest.raises(InputError, match=named):
            unpack(path, "rows")
    path.write_text(f"index\timage\n7\t{png(9)}\n8\t7\n9\t8\n")
    with pytest.raises(InputError, match=r"index 9, in a\.tsv; got a picture of index 8, which holds none"):
        unpack(path, "rows")
    shutil.rmtree(tmp_path / "images")
    (tmp_path / "images").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="write pictures"):
        unpack(path, "rows")


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        ("mediq", {"context": "One sentence."}, r"got 'One sentence\.' where a list of texts is published"),
        ("mediq", {"facts": {"a": 1}}, "where a list of texts is published"),
        ("medqa", {"options": 7}, "got options: Input should be a valid dictionary"),
        ("medqa", {"question": ["?"]}, "got question: Input should be a valid string"),
        ("medmcqa", {"cop": 9}, "got cop 9 is none of 1, 2, 3, 4"),
        ("slake-open", {"answer_type": 3}, "got a value of another kind than is published"),
        ("vqa_rad-open", {"image_name": None}, "got None names no picture"),
        ("agentclinic", {"OSCE_Examination": []}, "got a value of another kind than is published"),
        ("vqa_rad-open", {"answer": None}, "got None where a text is published"),
        ("mmxu", {"id": [7]}, r"got \[7\] where a text is published"),
        ("medmcqa", {"opb": None}, "got None where a text is published"),
        ("temmed_bench", {"img_id": "first"}, "got 'first' where a whole number is published"),
        ("medmultipoints", {"points": [[1]]}, r"got \[1\] where a list of 2 numbers is published"),
    ],
)
def test_a_record_in_another_format_is_told_without_a_word_of_python(
    name: str, changes: dict[str, Any], told: str, fixtures: Path, tmp_path: Path
) -> None:
    _, path = set_of(name, fixtures, tmp_path)
    changed(path, **changes)
    with pytest.raises(InputError, match=told) as caught:
        read(name, path)
    assert not any(word in str(caught.value) for word in ("Error", "object", "subscript", "attribute"))


BY_LINE = ("agentclinic", "medmcqa", "medmultipoints", "medqa", "medxpertqa-text", "mediq", "mmxu")
LISTS = ("omnimedvqa", "pathvqa-open", "slake-open", "temmed_bench", "vqa_rad-open")


@pytest.mark.parametrize("name", [*BY_LINE, *LISTS])
@pytest.mark.parametrize("record", ["[1]", '"text"', "7", "null"])
def test_a_record_without_fields_is_told(name: str, record: str, fixtures: Path, tmp_path: Path) -> None:
    _, path = set_of(name, fixtures, tmp_path)
    if path.is_dir():
        (path,) = path.glob("QA_information/Open-access/S*.json")
    path.write_text(record if name in BY_LINE else f"[{record}]")
    begun = re.escape(repr(json.loads(record)))
    called = "line" if name in BY_LINE else "record"
    with pytest.raises(InputError, match=f"{called} 1, in {path.name}; got {begun} where a record with named fields"):
        read(name, benchmark(name).at(tmp_path))


@pytest.mark.parametrize("name", LISTS)
def test_a_file_that_is_no_list_of_records_is_told(name: str, fixtures: Path, tmp_path: Path) -> None:
    _, path = set_of(name, fixtures, tmp_path)
    if path.is_dir():
        (path,) = path.glob("QA_information/Open-access/S*.json")
    path.write_text('{"records": []}')
    with pytest.raises(InputError, match=f"in {path.name}; got JSON, but no list; name the file as it is published"):
        read(name, benchmark(name).at(tmp_path))


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("agentclinic", "OSCE_Examination"), ("medmcqa", "cop"), ("medqa", "answer_idx"), ("mediq", "facts"),
        ("slake-open", "q_lang"), ("temmed_bench", "img_id"), ("vqa_rad-open", "answer_type"),
    ],
)  # fmt: skip
def test_a_missing_field_is_named(name: str, field: str, fixtures: Path, tmp_path: Path) -> None:
    _, path = set_of(name, fixtures, tmp_path)
    path.write_text(path.read_text().replace(f'"{field}"', '"another"'))
    with pytest.raises(InputError, match=f"(line|record) 1, in {path.name}; got no field '{field}'; name the file"):
        read(name, path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[]", r"in dataset\.json; got JSON, but no pairs by id"),
        (
            '{"10001": ["a"]}',
            r"pair 10001, in dataset\.json; got \['a'\] where a record with named fields",
        ),
        ('{"10001": {"im_1_local": 1}}', r"pair 10001, in dataset\.json; got no field 'im_2_local'"),
    ],
)
def test_what_is_no_mediconfusion_is_told(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "dataset.json"
    path.write_text(text)
    with pytest.raises(InputError, match=told):
        read("mediconfusion", path)


def test_an_mmlu_row_with_other_cells_is_told(tmp_path: Path) -> None:
    path = tmp_path / "anatomy_test.csv"
    for row, told in (("Is it?,a,b,c,A", "not the 6 cells"), ("Is it?,a,b,c,d,E", "'E' is none of the options A, B")):
        path.write_text(f"{row}\n")
        with pytest.raises(InputError, match=rf"row 1, in anatomy_test\.csv; got {told}"):
            read("mmlu_medical", tmp_path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[]", "got JSON, but no records by PMID; name the file as it is published"),
        (
            '{"7": {"QUESTION": "Is it?", "CONTEXTS": "text", "final_decision": "no"}}',
            "PMID 7, .* got 'text' where a list",
        ),
        ('{"7": {"QUESTION": "Is it?", "CONTEXTS": ["text"]}}', "PMID 7, .* got no field 'final_decision'"),
        ('{"seven": {}}', "got JSON, but no records by PMID"),
    ],
)
def test_what_is_no_pubmedqa_is_told(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "pqal_dev.json"
    path.write_text(text)
    with pytest.raises(InputError, match=told):
        read("pubmedqa", path)
