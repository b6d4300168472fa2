"""Boxes in a model's text: every form is read, the way back to the original pixels is exact, and no text breaks it."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.agents.boxes import LOC_STEPS, MAX_BOXES, MAX_CHARACTERS, Box, Convention, parse_boxes

SEEN, ORIGINAL = (1000, 500), (2000, 1000)
FULL_WIDTH = {"absolute": 1000.0, "thousand": 1000.0, "unit": 1.0}


def found(text: str, convention: Convention = "absolute") -> list[tuple[str, tuple[int, int, int, int]]]:
    return [(box.label, box.box_px) for box in parse_boxes(text, convention, SEEN, ORIGINAL)]


@pytest.mark.parametrize(
    ("text", "convention", "expected"),
    [
        ('{"bbox_2d": [10, 20, 30, 40], "label": "nodule"}', "absolute", [("nodule", (20, 40, 60, 80))]),
        ('{"label": "nodule", "bbox_2d": [10, 20, 30, 40]}', "absolute", [("nodule", (20, 40, 60, 80))]),
        ("{'bbox': [10, 20, 30, 40], 'text': 'a b'}", "absolute", [("a b", (20, 40, 60, 80))]),
        ('{"bbox_2d": [10, 20, 30, 40], "label": "n\\u00f6d"}', "absolute", [("nöd", (20, 40, 60, 80))]),
        (
            '```json\n[\n {"bbox_2d": [\n1,\n2,\n3,\n4\n], "label": "a"},\n {"bbox_2d": [5, 6, 7, 8]}\n]\n```',
            "absolute",
            [("a", (2, 4, 6, 8)), ("", (10, 12, 14, 16))],
        ),
        (
            '{"findings": [{"label": "a", "bbox_2d": [1, 2, 3, 4]}, {"label": "b", "bbox_2d": [[5, 6, 7, 8]]}]}',
            "absolute",
            [("a", (2, 4, 6, 8)), ("b", (10, 12, 14, 16))],
        ),
        ('[{"box_2d": [100, 200, 300, 400], "label": "clavicle"}]', "absolute", [("clavicle", (400, 100, 800, 300))]),
        ('[{"box_2d": [100, 200, 300, 400]}]', "none", [("", (400, 100, 800, 300))]),
        (
            "<ref>left lung</ref><box>[[100, 200, 300, 400], [500, 600, 700, 800]]</box> and [1, 2, 3, 4]",
            "thousand",
            [("left lung", (200, 200, 600, 400)), ("left lung", (1000, 600, 1400, 800)), ("", (2, 2, 6, 4))],
        ),
        ("<ref>腫瘤</ref><box>(100,200),(300,400)</box>", "thousand", [("腫瘤", (200, 200, 600, 400))]),
        (
            "<|object_ref_start|>mass<|object_ref_end|><|box_start|>(100,200),(300,400)<|box_end|>",
            "thousand",
            [("mass", (200, 200, 600, 400))],
        ),
        ("mass(100,200),(300,400)", "thousand", [("", (200, 200, 600, 400))]),  # as vLLM leaves it
        (
            "<loc0256><loc0000><loc0512><loc1023> cat ; <loc0000><loc0512><loc1023><loc1023> dog",
            "none",
            [("cat", (0, 250, 1998, 500)), ("dog", (1000, 0, 1998, 999))],
        ),
        ("It lies at [0.1, .2, 0.5, 5e-1].", "unit", [("", (200, 200, 1000, 500))]),
        ('{"label": "cut off", "bbox_2d": [[10, 20, 30, 40], [50, 60', "absolute", [("cut off", (20, 40, 60, 80))]),
    ],
)  # fmt: skip
def test_every_form_is_read(text: str, convention: Convention, expected: list[object]) -> None:
    assert found(text, convention) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "No box.",
        "[1, 2, 3]",
        "[1, 2, 3, 4, 5]",
        '{"scores": [0.1, 0.2, 0.3, 0.4]}',
        '{"why": "the range is [1, 2, 3, 4]"}',
        "[10, 10, 10, 40]",
        "[1000, 0, 1100, 40]",
        "[-30, -30, -10, -10]",
        "[NaN, 1, 2, 3] [Infinity, 1, 2, 3]",
        "[1e999, 1, 2, 3]",
    ],
)
def test_what_is_no_box_in_the_image_is_left_out(text: str) -> None:
    assert found(text) == []


def test_bare_numbers_are_no_box_for_a_model_that_does_not_point() -> None:
    assert found("[1, 2, 3, 4] (1,2),(3,4) " + '{"bbox_2d": [1, 2, 3, 4]}', "none") == []


def test_corners_are_put_in_order_and_clipped() -> None:
    assert found("[30, 40, 10, 20]") == [("", (20, 40, 60, 80))]
    assert found("[-30, 40, 5000, 20]") == [("", (0, 40, 2000, 80))]


def test_a_model_may_write_y_first() -> None:
    assert parse_boxes("[20, 10, 40, 30]", "absolute", SEEN, ORIGINAL, order="yxyx") == (
        Box(label="", box_px=(20, 40, 60, 80)),
    )


def test_an_image_without_pixels_holds_no_box() -> None:
    assert parse_boxes("[1, 2, 3, 4]", "absolute", (0, 10), (10, 10)) == ()


def test_boxes_and_characters_are_limited() -> None:
    assert len(found("[1, 2, 3, 4]" * (MAX_BOXES * 3))) == MAX_BOXES
    assert found("x" * MAX_CHARACTERS + "[1, 2, 3, 4]") == []


@pytest.mark.parametrize(
    "part", ["[", "[1,", "[1, 2, 3, ", "{", '"', '"label": "', "<ref>", "<loc0001>", "(1,2),", "\\", " ", "1", "'a': "]
)
def test_a_hostile_text_is_read_in_linear_time(part: str) -> None:
    text = part * (MAX_CHARACTERS // len(part))
    before = time.process_time()
    found(text)
    assert time.process_time() - before < 5  # quadratic would be minutes; the scan takes well under one second


@given(
    st.lists(
        st.one_of(
            st.text(max_size=20),
            st.sampled_from(
                [
                    "{", "}", "[", "]", '"', "'", ",", ":", "<ref>", "</ref>", "<box>", "</box>", "<|box_start|>",
                    "<loc0001>", "[1, 2, 3, 4]", "(1,2),(3,4)", '"bbox_2d":', '"box_2d":', '"label": "a\\', "NaN",
                    "1e308", "-",
                ]
            ),
        ),
        max_size=30,
    ).map("".join),
    st.sampled_from(["absolute", "thousand", "unit", "none"]),
)  # fmt: skip
def test_no_text_raises_and_every_box_lies_in_the_image(text: str, convention: Convention) -> None:
    for box in parse_boxes(text, convention, SEEN, ORIGINAL):
        x0, y0, x1, y1 = box.box_px
        assert 0 <= x0 < x1 <= ORIGINAL[0]
        assert 0 <= y0 < y1 <= ORIGINAL[1]
        assert all(type(edge) is int for edge in box.box_px)


@st.composite
def placed(draw: st.DrawFn) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int, int, int]]:
    """An image's size, the size a model saw it in, and a box in it: wide enough to survive the model's units."""
    width, height = draw(st.integers(64, 6000)), draw(st.integers(64, 6000))
    seen = draw(st.integers(64, 2000)), draw(st.integers(64, 2000))
    least_x, least_y = (full // 20 + 1 for full in (width, height))
    x0, y0 = draw(st.integers(0, width - least_x)), draw(st.integers(0, height - least_y))
    return (width, height), seen, (
        x0, y0, draw(st.integers(x0 + least_x, width)), draw(st.integers(y0 + least_y, height))
    )  # fmt: skip


def bound(pixels: int, units: float) -> float:
    """Half a pixel for our rounding and half of the model's unit for its own."""
    return 0.5 + 0.5 * pixels / units + 1e-6


@given(placed(), st.sampled_from(["absolute", "thousand"]), st.sampled_from(["bbox_2d", "ref", "corners", "bare"]))
def test_a_box_in_whole_units_comes_back_within_the_bound(
    case: tuple[tuple[int, int], tuple[int, int], tuple[int, int, int, int]], convention: Convention, form: str
) -> None:
    original, seen, box = case
    units = seen if convention == "absolute" else (1000, 1000)
    x0, y0, x1, y1 = (round(edge * units[axis % 2] / original[axis % 2]) for axis, edge in enumerate(box))
    text = {
        "bbox_2d": json.dumps([{"bbox_2d": [x0, y0, x1, y1], "label": "here"}]),
        "ref": f"<ref>here</ref><box>[[{x0}, {y0}, {x1}, {y1}]]</box>",
        "corners": f"<|object_ref_start|>here<|object_ref_end|><|box_start|>({x0},{y0}),({x1},{y1})<|box_end|>",
        "bare": f"[{x0}, {y0}, {x1}, {y1}]",
    }[form]
    (back,) = parse_boxes(text, convention, seen, original)
    assert back.label == ("" if form == "bare" else "here")
    for axis, (edge, was) in enumerate(zip(back.box_px, box, strict=True)):
        assert abs(edge - was) <= bound(original[axis % 2], units[axis % 2])


@given(placed())
def test_fractions_with_six_digits_come_back_exactly(
    case: tuple[tuple[int, int], tuple[int, int], tuple[int, int, int, int]],
) -> None:
    original, seen, box = case
    written = ", ".join(f"{edge / original[axis % 2]:.6f}" for axis, edge in enumerate(box))
    assert parse_boxes(f"[{written}]", "unit", seen, original) == (Box(label="", box_px=box),)


@given(placed())
def test_the_forms_with_their_own_convention_come_back_within_the_bound(
    case: tuple[tuple[int, int], tuple[int, int], tuple[int, int, int, int]],
) -> None:
    original, seen, (x0, y0, x1, y1) = case
    turned = (y0, x0, y1, x1)
    sides = (original[1], original[0]) * 2
    thousandths = [round(edge * 1000 / side) for edge, side in zip(turned, sides, strict=True)]
    steps = [min(round(edge * LOC_STEPS / side), LOC_STEPS - 1) for edge, side in zip(turned, sides, strict=True)]
    for text, units in (
        (json.dumps({"box_2d": thousandths}), 1000.0),
        # the last step is 1023: the far edge is up to one whole step away
        ("".join(f"<loc{step:04d}>" for step in steps), LOC_STEPS / 2),
    ):
        (back,) = parse_boxes(text, "none", seen, original)
        for axis, (edge, was) in enumerate(zip(back.box_px, (x0, y0, x1, y1), strict=True)):
            assert abs(edge - was) <= bound(original[axis % 2], units)
