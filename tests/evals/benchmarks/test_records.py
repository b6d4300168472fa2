"""How records are read: each named when it is wrong, ids that are legal and differ, names that stay in their folder."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.core.case import Case
from polyclinic.core.errors import InputError
from polyclinic.evals.benchmarks.records import (
    LONGEST_ID,
    case_id,
    chosen,
    letter_for,
    lettered,
    lines,
    listed,
    numbers,
    picture,
    rows,
    samples_of,
    whole,
    worded,
)
from polyclinic.evals.benchmarks.table import BENCHMARKS, benchmark
from polyclinic.evals.sample import Answer, Letter, Sample


@given(st.lists(st.text(max_size=60), min_size=1, max_size=3), st.lists(st.text(max_size=60), min_size=1, max_size=3))
def test_ids_are_legal_and_differ_where_names_do(one: list[str], other: list[str]) -> None:
    first, second = case_id("set", *one), case_id("set", *other)
    assert Case(id=first, question="?").id == first
    assert len(first) <= LONGEST_ID
    assert (first == second) == ("-".join(one) == "-".join(other))


def test_a_legal_name_is_its_own_id() -> None:
    assert case_id("set", 7, "a.b_c") == "set-7-a.b_c"


@given(st.lists(st.text(), max_size=30))
def test_options_are_lettered_in_order_or_refused(texts: list[str]) -> None:
    if len(texts) > 26:
        with pytest.raises(ValueError, match="options, more than there are letters"):
            lettered(texts)
        return
    assert list(lettered(texts).values()) == [text.strip() for text in texts]
    assert "".join(lettered(texts)) == "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: len(texts)]


def test_one_option_reads_a_text() -> None:
    options = {"A": "Yes", "B": "no ", "C": "maybe", "D": "Maybe"}
    assert letter_for(options, " NO") == Letter(letter="B")
    for text in ("maybe", "never", None):
        with pytest.raises(ValueError, match="options read"):
            letter_for(options, text)
    assert chosen(options, "A") == Letter(letter="A")
    with pytest.raises(ValueError, match="none of the options A, B, C, D"):
        chosen(options, "E")


@pytest.mark.parametrize("name", ["", " ", None, 7, "/a.png", "../a.png", "x/../../a.png", "x\\a.png"])
def test_a_name_that_is_no_picture_of_the_folder_is_refused(name: object, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(ValueError, match="picture"):
        picture(tmp_path / "set", name)


@given(st.text(max_size=20))
def test_a_picture_is_below_its_folder(name: str) -> None:
    folder = Path("/nowhere")
    with pytest.raises((ValueError, InputError)) as caught:
        picture(folder, name)
    if isinstance(caught.value, InputError):
        assert Path("/nowhere/" + name).is_relative_to(folder)
        assert ".." not in Path(name).parts


def test_a_picture_may_be_linked_into_the_folder(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.png").write_bytes(b"")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "files").symlink_to(tmp_path / "elsewhere")
    assert picture(tmp_path / "set", "files/a.png", modality="ct").path == str(tmp_path / "set" / "files" / "a.png")


def test_the_line_that_is_no_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n\n{"a": \n')
    with pytest.raises(InputError, match=r"records, line 3, in a\.jsonl"):
        list(lines(path, "records"))
    path.write_bytes(b'{"a": 1}\n"\xff"\n')
    with pytest.raises(InputError, match=r"in a\.jsonl"):
        list(lines(path, "records"))


def test_the_row_with_other_cells_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('a,b\n1,2\n\n"1,\n3",4\n')
    assert [row for _, row in rows(path, "rows")] == [{"a": "1", "b": "2"}, {"a": "1,\n3", "b": "4"}]
    for text in ("a,b\n1,2\n1\n", "a,b\n1,2\n1,2,3\n"):
        path.write_text(text)
        with pytest.raises(InputError, match=r"rows, row 2, in a\.csv"):
            list(rows(path, "rows"))


def test_the_record_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    def make(record: dict[str, str]) -> list[Sample]:
        case = Case(id=f"x-{record['id']}", question=record["id"])
        return [Sample(case=case, target=Answer(accepted=("a",)), group=record["id"])]

    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"id": "1"}, {"id": "2"}, {"id": "1"}]))
    with pytest.raises(InputError, match=r"record 3, in a\.json; got x-1 was there before"):
        list(samples_of(path, listed(path, "records"), make, "records"))
    path.write_text(json.dumps([{"id": "1"}, {"id": ""}]))
    with pytest.raises(InputError, match=r"record 2, in a\.json"):
        list(samples_of(path, listed(path, "records"), make, "records"))
    path.write_text(json.dumps([{"id": "1"}, ["2"]]))
    with pytest.raises(InputError, match=r"record 2, in a\.json; got .* where a record with named fields is published"):
        list(samples_of(path, listed(path, "records"), make, "records"))
    path.write_text("[]")
    with pytest.raises(InputError, match="no records"):
        list(samples_of(path, listed(path, "records"), make, "records"))


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5), st.lists)


@given(JSON)
def test_what_is_no_text_or_number_is_refused_and_nothing_else_is_raised(value: object) -> None:
    for read in (worded, whole, lambda each: numbers(each, 2)):
        with contextlib.suppress(ValueError):
            read(value)


def test_numbers_are_as_many_as_are_published() -> None:
    assert numbers([1, "2.5"], 2) == (1.0, 2.5)
    assert (whole("7"), whole(7.0), worded(7), worded("nan ")) == (7, 7, "7", "nan ")
    for listed_ in ([1], [1, 2, 3], "12", [1, "x"], [1, None], [1, float("nan")], {"1": 1, "2": 2}, None):
        with pytest.raises(ValueError, match="where a list of 2 numbers is published"):
            numbers(listed_, 2)
    for value in (7.5, "x", None, [7], float("inf")):
        with pytest.raises(ValueError, match="where a whole number is published"):
            whole(value)
    for value in (None, True, [7], {"a": 1}, float("nan")):
        with pytest.raises(ValueError, match="where a text is published"):
            worded(value)


def test_an_unknown_benchmark_names_near_ones() -> None:
    with pytest.raises(InputError, match=r"got 'pubmedq'; name pubmedqa"):
        benchmark("pubmedq")
    with pytest.raises(InputError, match=re.escape("name " + " or ".join(BENCHMARKS))):
        benchmark("\x00")
    assert list(BENCHMARKS) == sorted(BENCHMARKS)
