"""Arguments that a user fixed: not seen by agents, not to be stated, and whole where the tool runs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from polyclinic.tools.card import ImageArguments
from polyclinic.tools.neural.bound import bound


class Stated(ImageArguments):
    size: int = Field(default=1, ge=1)


class Whole(Stated):
    folder: str


@given(st.text(), st.integers(1))
def test_what_validates_is_whole_and_of_the_importable_class(folder: str, size: int) -> None:
    found = bound(Stated, Whole, folder=folder).model_validate({"image": "a", "size": size})
    assert type(found) is Whole
    assert found == Whole(image="a", size=size, folder=folder)
    assert Whole.model_validate_json(found.model_dump_json()) == found


def test_the_fixed_part_is_in_no_schema_and_cannot_be_stated() -> None:
    arguments = bound(Stated, Whole, folder="here")
    assert set(arguments.model_json_schema()["properties"]) == {"image", "size"}
    with pytest.raises(ValidationError, match=r"folder\n  Extra inputs are not permitted"):
        arguments.model_validate({"image": "a", "folder": "elsewhere"})
    with pytest.raises(ValidationError, match=r"greater than or equal to 1"):
        arguments.model_validate({"image": "a", "size": 0})
