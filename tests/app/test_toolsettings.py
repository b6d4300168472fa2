"""What is typed after --set becomes what the tool takes."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.app.toolsettings import kind_words, parse_settings
from polyclinic.core.errors import InputError
from polyclinic.tools.card import Tool
from polyclinic.tools.registry import TOOLS, Toolbox

BOX = Toolbox().get("lesion_size")
whole = st.integers(-10_000, 10_000)


@given(st.tuples(whole, whole, whole, whole))
def test_a_list_is_the_same_with_commas_and_as_json(box: tuple[int, ...]) -> None:
    with_commas = parse_settings(["box=" + ",".join(map(str, box))], BOX)
    assert with_commas == parse_settings([f"box={json.dumps(box)}"], BOX) == {"box": list(box)}


@given(st.text(max_size=40))
def test_whatever_is_typed_is_taken_or_refused_in_plain_words(text: str) -> None:
    with contextlib.suppress(InputError):
        assert parse_settings([text], BOX).keys() <= {"box", "point"}
    with pytest.raises(InputError, match=r"^expected --set box with 4 integers, such as 10,20,30,40; got "):
        parse_settings([f"box=x{text}"], BOX)


def test_groups_and_texts() -> None:
    box = Toolbox()
    points = parse_settings(["points=10,20,1;30,40,0"], box.get("prompted_segmentation"))
    assert points == {"points": [[10, 20, 1], [30, 40, 0]]}
    with pytest.raises(InputError, match=r"got '10,20,7'"):
        parse_settings(["points=10,20,7"], box.get("prompted_segmentation"))


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.card.name)
def test_every_argument_is_said_in_words(tool: Tool) -> None:
    for part in tool.card.arguments.values():
        assert kind_words(part) not in {"", "array", "value"}
