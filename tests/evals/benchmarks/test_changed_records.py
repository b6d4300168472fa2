"""Any value of any record replaced by any other: a benchmark says what is wrong, or has samples that can be used."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyclinic.core.errors import InputError
from polyclinic.evals.benchmarks.table import BENCHMARKS, benchmark
from polyclinic.evals.sample import Letter

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
PYTHON = re.compile(
    r"[a-z]Error\b|NoneType|attribute|subscript|iterable|zip\(|to unpack|invalid literal|could not conv"
)
"""Python's own words for what is wrong, which tell a user nothing."""

Way = tuple[str | int, ...]


def ways(value: Any, here: Way = ()) -> Iterator[Way]:
    """The way to every value inside a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inside:
        yield (*here, key)
        yield from ways(below, (*here, key))


def put(value: Any, way: Way, other: Any) -> Any:
    """The value with another one at the end of the way."""
    if not way:
        return other
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[way[0]] = put(value[way[0]], way[1:], other)
    return copy


class File:
    """A file of JSON, or of JSON lines."""

    def __init__(self, path: Path) -> None:
        self.path = path
        text = path.read_text(encoding="utf-8")
        self.by_line = path.suffix == ".jsonl" or text.count("\n{") > 0
        self.value = [json.loads(line) for line in text.splitlines()] if self.by_line else json.loads(text)
        self.ways = list(ways(self.value))

    def write(self, value: Any) -> None:
        lines = [json.dumps(record) for record in value] if self.by_line else [json.dumps(value)]
        self.path.write_text("\n".join(lines) + "\n", encoding="utf-8")


WITHOUT_JSON = {
    "blood_cells", "brain_tumour", "brain_tumour-type", "gmai_mmbench", "haemorrhage", "medq_bench", "mmlu_medical",
    "nuclei", "pmc_vqa", "pneumonia", "vessels_chase", "vessels_drive",
}  # fmt: skip


@cache
def files(name: str, fixtures: Path, folder: Path) -> tuple[Path, list[File]]:
    """A copy of a benchmark's fixture, and its JSON files."""
    top = benchmark(name).place.split("/")[0]
    data = folder / "data"
    shutil.copytree(fixtures / top, data / top)
    return data, [File(path) for path in sorted(data.rglob("*.json*"))]


@pytest.fixture(scope="session")
def spare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("changed")


@pytest.mark.parametrize("name", sorted(set(BENCHMARKS) - WITHOUT_JSON))
@settings(max_examples=60)
@given(data=st.data())
def test_a_changed_value_is_refused_or_harmless(name: str, data: st.DataObject, fixtures: Path, spare: Path) -> None:
    place, found = files(name, fixtures, spare / name)
    file = data.draw(st.sampled_from(found))
    changed = put(file.value, data.draw(st.sampled_from(file.ways)), data.draw(VALUES))
    each = benchmark(name)
    refused = ""
    try:
        file.write(changed)
        samples = list(each.samples(each.at(place)))
    except InputError as error:
        samples, refused = [], str(error)
    finally:
        file.write(file.value)
    assert not PYTHON.search(refused)
    assert len({sample.id for sample in samples}) == len(samples)
    for sample in samples:
        assert all(isinstance(text, str) for text in (*sample.facets.values(), *sample.known.values(), sample.group))
        assert not isinstance(sample.target, Letter) or sample.target.letter in sample.case.options
        assert sample.case.model_validate_json(sample.case.model_dump_json()) == sample.case
