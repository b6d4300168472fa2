"""The page: well-formed, without scripts or other files, deaf to markup in rows, the same for the same rows."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from random import Random
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest

from polyclinic.evals.outcomes import Outcome, Row, Said
from polyclinic.evals.report.cases import traced_from
from polyclinic.evals.report.page import page
from polyclinic.evals.report.summary import summaries
from polyclinic.evals.tables import markdown

HOSTILE = "<script>alert(1)</script>\"'&<b>"
VOID = {"meta"}


class Elements(HTMLParser):
    """Every element with its attributes; an element that is not closed in its place is told."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def invented(samples: int = 60) -> list[Row]:
    """Three arms, every outcome, pairs, two facets; one arm and every text hostile."""
    random, rows = Random(3), list[Row]()
    outcomes: list[Outcome] = ["abstained", "needs_human", "unparsable", "timed_out", "failed"]
    for arm in ("one", "two", HOSTILE):
        for number in range(samples):
            right, said, silent = "ABC"[number * 7 % 3], random.choice("ABC"), random.random() < 0.2
            outcome = random.choice(outcomes) if silent else "right" if right == said else "wrong"
            trace = "" if arm == "one" else f"runs/x/{number}"
            what = Said(silence=outcome, why=HOSTILE, trace=trace) if outcome in outcomes else Said(
                option=said, confidence=random.random(), prompt_tokens=number, seconds=0.5, chat_calls=1, trace=trace
            )  # fmt: skip
            rows.append(
                Row(
                    benchmark="quiz", arm=arm, sample=f"{HOSTILE}{number}", group=f"g{number // 2}",
                    asked_with=f"p{number // 2}", facets={"modality": "ct" if number % 2 else HOSTILE},
                    target=f"{right}: {HOSTILE}{number}", shown=f"{said}: {HOSTILE}", outcome=outcome, said=what,
                )
            )  # fmt: skip
    return rows


@pytest.fixture(scope="module")
def text() -> str:
    return page(summaries(invented()), runs=["out"], notes=[HOSTILE])


def test_every_element_is_closed_and_none_needs_another_file(text: str) -> None:
    elements = Elements(text)
    assert elements.open == []
    names = {name for name, _ in elements.found}
    assert not names & {"script", "link", "img", "iframe", "object", "b", "form"}
    assert not [value for _, given in elements.found for key, value in given.items() if key == "src" or key[:2] == "on"]
    assert "url(" not in text
    assert "@import" not in text


def test_every_figure_is_xml_with_a_title_a_description_and_finite_places(text: str) -> None:
    figures = re.findall(r"<svg(?=[^>]*role).*?</svg>", text, re.DOTALL)
    assert len(figures) == 7  # forest, cost, risk, three reliability diagrams, letters
    ids = []
    for figure in figures:
        root = ElementTree.fromstring(figure)  # noqa: S314 - written by the test
        title, told = root[0], root[1]
        assert (title.tag.split("}")[1], told.tag.split("}")[1]) == ("title", "desc")
        assert root.get("aria-labelledby") == f"{title.get('id')} {told.get('id')}"
        assert title.text
        assert told.text
        assert "nan" not in re.sub(r">[^<]*<", "><", figure)
        ids.append(title.get("id"))
    assert len(set(ids)) == len(ids)


def test_markup_in_rows_is_text(text: str) -> None:
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_what_is_anchored_is_there(text: str) -> None:
    found = Elements(text).found
    names = {given["id"] for _, given in found if given.get("id")}
    for _, given in found:
        for key in ("aria-labelledby", "href"):
            value = given.get(key) or ""
            wanted = value[1:].split() if value.startswith("#") else value.split() if key != "href" else []
            assert set(wanted) <= names


def test_links_lead_to_the_traces(tmp_path: Path) -> None:
    run, home = tmp_path / "a run", tmp_path / "pages"
    home.mkdir()
    rows = traced_from(invented(), run=run, page=home)
    for row in rows:
        if row.said.trace:
            (home / row.said.trace).mkdir(parents=True, exist_ok=True)
    text = page(summaries(rows))
    links = [given["href"] or "" for name, given in Elements(text).found if name == "a"]
    assert len(links) > 20
    assert all((home / unquote(link)).is_dir() for link in links)
    assert "polyclinic trace '../a run/runs/x/" in text


def test_a_trace_that_looks_like_a_script_is_no_link_to_one() -> None:
    row = invented(1)[1].model_copy(update={"outcome": "wrong", "said": Said(option="A", trace="javascript:alert(1)")})
    links = [given["href"] for name, given in Elements(page(summaries([row]))).found if name == "a"]
    assert links == ["javascript%3Aalert%281%29"]


def test_the_same_rows_make_the_same_bytes_in_any_order(text: str) -> None:
    rows = invented()
    Random(1).shuffle(rows)
    assert page(summaries(rows), runs=["out"], notes=[HOSTILE]) == text


def test_a_page_and_its_tables_can_be_made_of_next_to_nothing() -> None:
    row = Row(
        benchmark="quiz", arm="one", sample="s", group="s", target="x", shown="failed", outcome="failed",
        said=Said(silence="failed"),
    )  # fmt: skip
    found = summaries([row])
    assert Elements(page(found)).open == []
    assert "no reason given" in page(found)
    assert "| one | 1 | 0.000" in markdown(found)
    assert page([]).endswith("</html>\n")


def test_what_a_tool_said_by_itself_is_linked_and_no_trace_is_promised() -> None:
    said = Said(option="A", trace="runs/quiz/tool:x/s1-1")
    row = Row(benchmark="quiz", arm="tool:x", sample="s1", group="s1", target="B: b", shown="A: a", outcome="wrong",
              said=said)  # fmt: skip
    made = page(summaries([row]))
    assert 'href="runs/quiz/tool%3Ax/s1-1/said.json"' in made
    assert "polyclinic trace" not in made
