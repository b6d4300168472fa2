"""`polyclinic tools`: what the team can measure, shown, checked, tried on a picture and served to other programs."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from ..core.errors import InputError, MissingExtraError, PolyclinicError, ToolRefusedError
from ..core.settings import load_settings

if TYPE_CHECKING:
    from ..tools.card import Figure, ToolCard
    from ..tools.registry import Toolbox

tools = typer.Typer(
    name="tools", no_args_is_help=True, rich_markup_mode=None, help="Show, check, try and serve the expert tools."
)

Models = Annotated[
    Path | None, typer.Option(help="A folder of models' folders: SAM, CLIP, SigLIP, heads (POLYCLINIC_MODELS).")
]
Name = Annotated[str, typer.Argument(help="What `polyclinic tools list` calls it.")]

_WIDTH = 100


@tools.command(name="list")
def list_tools(
    shelf: Annotated[str | None, typer.Option(help="Only gate, classical, learned, neural or calculator.")] = None,
    models: Models = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the cards as JSON, one a line.")] = False,
) -> None:
    """List every tool: what it measures and on which images."""
    from ..tools.card import Shelf

    shelves = get_args(Shelf)
    if shelf not in (None, *shelves):
        raise InputError(expected="--shelf " + ", ".join(shelves), got=repr(shelf), fix="name one of them")
    box = _named(None, models)
    cards = [card for card in box.cards if shelf in (None, card.shelf)]
    if as_json:
        for card in cards:
            print(json.dumps(card.model_dump(mode="json"), ensure_ascii=False))
        return
    for one in shelves:
        _print_shelf(one, [card for card in cards if card.shelf == one])
    _print_unusable(box)


@tools.command()
def show(
    name: Name,
    models: Models = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the card as JSON.")] = False,
) -> None:
    """Show the whole card of a tool.

    Its arguments, the images it holds for, its measured figures, limits and weights.
    """
    card = _named(name, models).get(name).card
    if as_json:
        print(json.dumps(card.model_dump(mode="json"), ensure_ascii=False, indent=2))
    else:
        _print_card(card)


@tools.command()
def run(
    name: Name,
    images: Annotated[
        list[str] | None,
        typer.Argument(metavar="IMAGE", help="The picture; for a comparison the earlier one after it."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for masks, overlays and result.json.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="An argument of the tool; may be repeated.")
    ] = None,
    modality: Annotated[str | None, typer.Option(help="What the picture is, such as fundus, ct or histology.")] = None,
    body_part: Annotated[str | None, typer.Option(help="What it shows, such as eye or chest.")] = None,
    view: Annotated[str | None, typer.Option(help="From where, such as PA.")] = None,
    spacing: Annotated[str | None, typer.Option(metavar="ROW,COLUMN", help="The size of a pixel in mm.")] = None,
    frame: Annotated[int | None, typer.Option(min=1, help="Which frame of several, counted from 1.")] = None,
    models: Models = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Run it in this process and show where it fails.")] = False,
) -> None:
    """Run a tool and say what it measured.

    It looks at the picture named, or at none for a calculator, whose values are --set.
    """
    from . import toolrun
    from .toolsettings import parse_settings

    if out is not None:
        toolrun.clear(out, kept=images or ())
    stated = {
        "modality": modality, "body_part": body_part, "view": view, "frame": frame,
        "spacing_mm": toolrun.parse_spacing(spacing) if spacing is not None else None,
    }  # fmt: skip
    box = _named(name, models)
    request = toolrun.Request(
        name=name, paths=tuple(images or ()), arguments=parse_settings(settings or [], box.get(name)),
        stated={key: value for key, value in stated.items() if value is not None}, out=out, debug=debug,
    )  # fmt: skip
    result = toolrun.run(box, request)
    if as_json:
        print(json.dumps(result, ensure_ascii=False, indent=2))
    else:
        _print_result(result, out)


@tools.command()
def check(name: Annotated[str | None, typer.Argument(help="Only this tool.")] = None, models: Models = None) -> None:
    """Check that every tool can work here.

    Looks for packages and weights and runs each tool's own check; exit code 2 when one cannot work.
    """
    from ..tools.health import examine

    box = _named(name, models)
    chosen = [box.get(name)] if name else box.tools
    failed = 0
    for tool in chosen:
        try:
            examine(tool)
        except PolyclinicError as error:
            optional = isinstance(error, MissingExtraError) and name is None
            failed += not optional
            print(f"{'absent ' if optional else 'BROKEN '}  {tool.card.name}: {error}")
        else:
            print(f"ok       {tool.card.name} {tool.card.version}")
    if not name:
        failed += len(box.unusable)
        _print_unusable(box)
    if failed:
        raise typer.Exit(2)


@tools.command()
def serve(
    root: Annotated[
        Path | None, typer.Option(help="The only folder pictures may be read from (default: here).")
    ] = None,
    models: Models = None,
) -> None:
    """Serve the tools to other programs, over MCP.

    The program that uses them starts this command and speaks to it on standard input and output.
    """
    from .mcp import serve_stdio

    serve_stdio(root or Path(), load_settings({"models": models}).models)


def _named(name: str | None, models: Path | None) -> Toolbox:
    """The installed tools and those of the models' folder. Raises InputError when `name` is none of them."""
    from ..tools.registry import Toolbox

    box = Toolbox.installed(load_settings({"models": models}).models)
    if name is not None:
        try:
            box.get(name)
        except ToolRefusedError as error:
            raise InputError(expected=error.expected, got=error.got, fix="type polyclinic tools list") from None
    return box


def _print_shelf(shelf: str, cards: list[ToolCard]) -> None:
    """One line a tool, cut to fit a terminal; `show` has the rest."""
    if not cards:
        return
    print(shelf)
    name = max(len(card.name) for card in cards)
    domain = min(24, max(len(_domain(card)) for card in cards))
    for card in cards:
        measures = ", ".join(card.measures) or card.summary
        line = f"  {card.name:{name}}  {_cut(_domain(card), domain):{domain}}  {measures}"
        print(_cut(line, _WIDTH))


def _domain(card: ToolCard) -> str:
    if not card.looks:
        return "no image"
    volume = "volume" if card.volumes_only else ""
    return " ".join(filter(None, (", ".join(card.modalities) or "any image", "/".join(card.body_parts), volume)))


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1].rstrip(" ,;(") + "…"


def _print_unusable(box: Toolbox) -> None:
    for point in box.unusable:
        print(f"BROKEN   entry point {point.name} = {point.value}: {point.problem}")


def _print_card(card: ToolCard) -> None:
    print(f"{card.name} {card.version} ({card.shelf})")
    _print_wrapped(card.summary)
    print()
    rows = [
        ("measures", "; ".join(card.measures)),
        ("images", _domain(card)),
        ("run", _run_when(card)),
        *([("figures", "; ".join(map(figure_words, card.figures)) or "none measured")] if card.looks else []),
        ("limits", " ".join(card.limits)),
        ("made from", card.provenance),
        ("licence", card.licence),
        ("needs", f"[{card.extra}]" if card.extra else "nothing more"),
        ("bounds", f"{card.timeout_s:g} s, {card.memory_mb} MB"),
    ]
    if card.weights is not None:
        weights = card.weights
        rows += [
            ("weights", f"{weights.file}, {weights.parameters:,} parameters, sha256 {weights.sha256[:12]}…"),
            ("trained on", f"{weights.sources} ({weights.licence})"),
            ("recipe", weights.recipe),
        ]
    for label, words in rows:
        _print_wrapped(words, first=f"{label + ':':12}", rest=" " * 12)
    for name, words in _arguments(card):
        _print_wrapped(words, first=f"--set {name}: ", rest=" " * 12)


def _run_when(card: ToolCard) -> str:
    return (
        f"on every {'volume' if card.volumes_only else 'image'} of these"
        if card.recommended and card.modalities
        else "when asked for by name"
    )


def _arguments(card: ToolCard) -> Iterator[tuple[str, str]]:
    """Each argument with its type, its bounds and its default, such as `number from 18 to 120`."""
    from .toolsettings import kind_words, settable

    for name, part in settable(card.arguments).items():
        assumed = part.get("default")
        default = f" (default {assumed})" if assumed is not None else " (optional)" if "default" in part else ""
        said = f": {part['description']}" if part.get("description") else ""
        yield name, kind_words(part) + default + said


def figure_words(figure: Figure) -> str:
    """`Dice 0.78 (0.76 to 0.80; n = 28, CHASE_DB1)`."""
    interval = f"{figure.interval[0]:g} to {figure.interval[1]:g}; " if figure.interval else ""
    return f"{figure.metric} {figure.value:g} ({interval}n = {figure.n:,}, {figure.dataset})"


def _print_result(result: dict[str, Any], out: Path | None) -> None:
    for item in result["measurements"]:
        unit = "" if item["unit"] == "1" else f" {item['unit']}"
        spread = f"  (± {item['uncertainty']:g}{unit})" if item["uncertainty"] else ""
        _print_wrapped(item["text"] + spread, first="• ", rest="  ")
    if not result["measurements"]:
        print("Nothing could be measured.")
    for note in result["limitations"]:
        _print_wrapped(note, first="! ", rest="  ")
    for name in result["files"].values():
        print(f"  {out / name if out else name}")
    print(f"{result['tool']} {result['version']}: research software, not a medical device.")


def _print_wrapped(text: str, *, first: str = "", rest: str = "") -> None:
    width = max(60, min(_WIDTH, shutil.get_terminal_size((_WIDTH, 24)).columns))
    for line in _wrapped(first + text, rest, width):
        print(line)


def _wrapped(text: str, rest: str, width: int) -> Iterator[str]:
    yield from textwrap.wrap(text, width, subsequent_indent=rest, break_long_words=False, drop_whitespace=True) or [""]
