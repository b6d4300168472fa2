"""Lines, list items and texts are read piece by piece, and whatever is damaged is refused with its place."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from polyclinic.core.errors import InputError
from polyclinic.knowledge.sources import reading
from polyclinic.knowledge.sources.medrag import MedRag
from polyclinic.knowledge.sources.reading import MAX_RECORD_BYTES, items, parse_object, records, whole_text

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner),
    max_leaves=12,
)
OBJECTS = st.dictionaries(TEXT, VALUES, max_size=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reading")


@given(st.lists(OBJECTS, max_size=8), st.booleans(), st.booleans(), st.sampled_from(["\n", "\r\n", "\n\n"]))
def test_what_json_writes_is_what_records_reads(
    folder: Path, rows: list[dict[str, Any]], packed: bool, escaped: bool, end: str
) -> None:
    data = "".join(json.dumps(row, ensure_ascii=escaped) + end for row in rows).encode()
    path = folder / "rows.jsonl"
    path.write_bytes(gzip.compress(data) if packed else data)
    assert [record.fields for record in records(path)] == rows


@given(st.lists(OBJECTS, max_size=8), OBJECTS, OBJECTS, st.sampled_from([None, 1, "\t"]), st.integers(1, 40))
@example([{"a": 1}], {"number": 12.5e-7}, {"": 0.0}, None, 1)
@settings(max_examples=50)
def test_what_json_writes_is_what_items_reads(
    folder: Path, rows: list[Any], before: dict[str, Any], after: dict[str, Any], indent: Any, chunk: int
) -> None:
    before, after = ({key: value for key, value in more.items() if key != "rows"} for more in (before, after))
    path = folder / "list.json"
    path.write_text(json.dumps({**before, "rows": rows} | after, indent=indent), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "_CHUNK", chunk)  # so that values lie across the borders of what is read at a time
        assert [record.fields for record in items(path, "rows")] == rows


@given(st.binary(max_size=200))
@example(b'{"a": NaN}')
@example(b'{"a": "\\ud800"}')
@example(b'{"a": ' + b"1" * 5000 + b"}")
@example(b"[" * 100_000)
@example(b"\x1f\x8b")
@example(b'{"rows": [1]}')
@example(b'{"rows": [{}, ]}')
@example(b'{"rows": [{}')
@example(b'{"rows": [{"a": "\\ud800"}]}')
def test_damaged_bytes_are_an_input_error_or_an_object(folder: Path, data: bytes) -> None:
    path = folder / "any.json"
    path.write_bytes(data)
    readers: list[Callable[[], object]] = [
        lambda: list(records(path)), lambda: list(items(path, "rows")), lambda: parse_object(data, "here"),
        lambda: whole_text(path),
    ]  # fmt: skip
    named: list[str] = []
    for read in readers:
        try:
            read()
        except InputError as error:
            named.append(str(error))
    assert all(str(path) in error or "here" in error for error in named)


@pytest.mark.parametrize(
    ("line", "got"),
    [
        (b'{"id": "1"', "something else"),
        (b'["a"]', "a JSON list"),
        (b'{"id": NaN}', "NaN is no JSON number"),
        (b'{"id": "\xff"}', "0xff"),
        (b'{"id": "\\ud83d"}', "half of a surrogate pair"),
        (b'{"id": ' + b"[" * 100_000 + b"}", "nested too deep"),
    ],
)
def test_a_damaged_line_is_named_and_not_passed_over(tmp_path: Path, line: bytes, got: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"id": "0"}\n\n' + line + b'\n{"id": "2"}\n')
    found = records(path)
    assert next(found).fields == {"id": "0"}
    with pytest.raises(InputError, match=r"rows\.jsonl, line 3") as raised:
        next(found)
    assert got in raised.value.got


@pytest.mark.parametrize(
    ("fields", "expected"),
    [({"id": 3, "answer": ["x"]}, "text in the field 'answer'"), ({"answer": "  "}, "text in the field 'answer'")],
)
def test_a_field_of_the_wrong_kind_is_named(fields: dict[str, Any], expected: str) -> None:
    record = reading.Record(fields=fields, where="rows.jsonl, line 7")
    with pytest.raises(InputError, match=r"line 7") as raised:
        record.needed("answer")
    assert raised.value.expected == expected


def test_identifiers_may_be_numbers_and_dates_must_be_dates() -> None:
    record = reading.Record(fields={"id": 7, "flag": True, "date": "2024-02-30"}, where="here")
    assert record.number_or_text("id") == "7"
    assert record.number_or_text("missing") == ""
    with pytest.raises(InputError, match=r"'flag'"):
        record.number_or_text("flag")
    with pytest.raises(InputError, match=r"2024-02-30"):
        record.date("date")


@pytest.mark.parametrize("cut", [5, 30, -4])
def test_a_gzip_file_that_is_cut_short_is_refused(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"id": "a rather long line"}\n' * 20)[:cut])
    with pytest.raises(InputError, match=r"damaged or cut short.*rows\.jsonl\.gz"):
        list(records(path))


def test_a_file_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such file"):
        list(records(tmp_path / "none.jsonl"))
    with pytest.raises(InputError, match=r"is a directory"):
        whole_text(tmp_path)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    line, listed = tmp_path / "bomb.jsonl", tmp_path / "bomb.json"
    spaces = b" " * (MAX_RECORD_BYTES * 4)
    line.write_bytes(gzip.compress(b'{"id": "1"}\n{"id": "' + spaces))
    listed.write_bytes(gzip.compress(b'{"rows": [{"id": "' + spaces))
    for path, read in ((line, records), (listed, lambda path: items(path, "rows"))):
        tracemalloc.start()
        try:
            with pytest.raises(InputError, match=r"at most 20 MiB"):
                list(read(path))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 6 * MAX_RECORD_BYTES  # the bytes, the text and what is joined of them; not four times 20 MiB each
    with pytest.raises(InputError, match=r"at most 20 MiB"):
        whole_text(line)


def test_fifty_megabytes_are_read_in_little_memory(tmp_path: Path) -> None:
    path, count = tmp_path / "large.jsonl.gz", 12_500
    with gzip.open(path, "wt", encoding="utf-8", compresslevel=1) as file:
        for number in range(count):
            file.write(json.dumps({"id": f"s{number}", "title": "t", "content": f"{number:04000d}"}) + "\n")
    source = MedRag(path=path, name="large", licence="CC0")
    tracemalloc.start()
    try:
        documents = source.documents()
        assert next(documents).id == "s0"
        assert tracemalloc.get_traced_memory()[1] < 2 * 2**20, "the first document does not wait for the others"
        assert sum(len(document.text) for document in documents) == (count - 1) * 4000
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    finally:
        tracemalloc.stop()


def test_texts_lose_their_mark_and_their_line_ends_are_alike(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthree\n")
    assert whole_text(path) == "one\ntwo\nthree\n"
