"""Writes what is generated: parts of the README (state machine, help, demo) and docs/tools.md from the tools' cards.

python docs/generate.py           rewrite them
python docs/generate.py --check   exit 1 when they are not what the program says today
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, get_args

if TYPE_CHECKING:
    from polyclinic.tools.card import Figure, ToolCard

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
TOOLS = ROOT / "docs" / "tools.md"
_VARYING = (
    (re.compile(r"\d+\.\d+ s\b"), "… s"),
    (re.compile(r"sha256 [0-9a-f]{64}"), "sha256 …"),
    (re.compile(r"\S*/runs/"), "runs/"),
    (re.compile(r"-[0-9a-f]{10}-(?=\d)"), "-…-"),
)
_SHELVES = {
    "gate": "Whether a picture can be used, and what it shows",
    "classical": "Image analysis without trained weights",
    "learned": "Small networks trained by recipes of this repository",
    "neural": "Large models from a folder or a hub, with the extra [experts]",
    "calculator": "Scores and formulas, no picture",
}


def picture() -> str:
    """The state machine as LangGraph draws it, in Mermaid."""
    from polyclinic.agents.graph import build_graph

    drawn = build_graph().get_graph().draw_mermaid()
    lines = [line for line in drawn.splitlines() if line.strip() and not line.startswith(("---", "config", "  "))]
    body = [line.strip().replace("&nbsp;", " ") for line in lines if not line.strip().startswith("classDef")]
    return "```mermaid\n" + "\n".join(body) + "\n```"


def command_output(*words: str, cwd: Path = ROOT) -> str:
    """What a command prints, with the parts that differ from run to run blanked."""
    program = Path(sys.executable).with_name("polyclinic")
    done = subprocess.run([program, *words], capture_output=True, text=True, cwd=cwd, check=True)
    text = done.stdout
    for pattern, blank in _VARYING:
        text = pattern.sub(blank, text)
    return "```text\n" + "\n".join(line.rstrip() for line in text.strip().splitlines()) + "\n```"


def parts() -> dict[str, str]:
    """Every generated part of the README by the name of its markers."""
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"
        demo = command_output("ask", "examples/retina.yaml", "--runs", str(runs))
    return {"graph": picture(), "help": command_output("--help"), "demo": demo}


def tools_page() -> str:
    """docs/tools.md: every shipped tool with what was measured of it, as its card says."""
    from polyclinic.tools.card import Shelf
    from polyclinic.tools.registry import TOOLS as SHIPPED

    cards = sorted((tool.card for tool in SHIPPED), key=lambda card: card.name)
    lines = [
        "# Tools", "",
        "<!-- Written by `make docs` from the cards in tools/; edit these. -->", "",
        f"{len(cards)} expert tools ship with the package. `polyclinic tools list` names them, `polyclinic tools show "
        "NAME` prints a whole card, `polyclinic tools run NAME IMAGE --out DIR` tries one. Outside its images a tool "
        "refuses. Figures are measured, with 95 % intervals; a tool without figures says so in its limits. "
        "To add one: [adding-a-tool.md](adding-a-tool.md). Seconds and memory of each: [benchmarks.md](benchmarks.md). "
        "Research software, not a medical device.", "",
    ]  # fmt: skip
    for shelf in get_args(Shelf):
        found = [card for card in cards if card.shelf == shelf]
        if found:
            lines += [f"## {shelf.capitalize()}", "", f"{_SHELVES[shelf]}.", "", *_overview(found), *_details(found)]
    return "\n".join(lines).rstrip() + "\n"


def _overview(cards: Iterable[ToolCard]) -> Iterator[str]:
    yield "| tool | version | images | measures |"
    yield "|---|---|---|---|"
    for card in cards:
        images = "none" if not card.looks else ", ".join(card.modalities) or "any"
        parts = f" of {', '.join(card.body_parts)}" if card.body_parts else ""
        parts += ", volumes only" if card.volumes_only else ""
        parts += f", not {' or '.join(card.not_views)}" if card.not_views else ""
        yield f"| `{card.name}` | {card.version} | {_cell(images + parts)} | {_cell('; '.join(card.measures))} |"
    yield ""


def _details(cards: Iterable[ToolCard]) -> Iterator[str]:
    for card in cards:
        yield from (f"### {card.name}", "", card.summary, "")
        if card.figures:
            yield "| figure | value | 95 % interval | n | data |"
            yield "|---|---|---|---|---|"
            yield from map(_figure_row, card.figures)
            yield ""
        for limit in card.limits:
            yield f"- {limit}"
        yield f"- Made from: {card.provenance} ({card.licence})."
        if card.weights is not None:
            weights = card.weights
            yield f"- Weights: `{weights.file}`, {weights.parameters:,} parameters, sha256 `{weights.sha256[:12]}…`."
            yield f"- Trained on: {weights.sources} ({weights.licence}), by `{weights.recipe}`."
        if card.arguments:
            yield f"- Arguments: {', '.join(f'`{name}`' for name in card.arguments)}."
        needs = f"; needs [{card.extra}]" if card.extra else ""
        yield f"- Bounds: {card.timeout_s:g} s and {card.memory_mb} MB a call{needs}."
        yield ""


def _figure_row(figure: Figure) -> str:
    interval = f"{figure.interval[0]:g} to {figure.interval[1]:g}" if figure.interval else "not measured"
    return f"| {_cell(figure.metric)} | {figure.value:g} | {interval} | {figure.n:,} | {_cell(figure.dataset)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def main() -> int:
    before = README.read_text(encoding="utf-8")
    after = before
    for name, body in parts().items():
        marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.S)
        if not marked.search(after):
            print(f"README.md has no place for the part {name!r}", file=sys.stderr)
            return 1
        after = marked.sub(lambda found, body=body: f"{found[1]}{body}\n{found[2]}", after)
    wanted = {README: after, TOOLS: tools_page()}
    if "--check" not in sys.argv[1:]:
        for path, text in wanted.items():
            path.write_text(text, encoding="utf-8")
        return 0
    stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        print(f"{path.relative_to(ROOT)} is not up to date; type: make docs", file=sys.stderr)
    return int(bool(stale))


if __name__ == "__main__":
    sys.exit(main())
