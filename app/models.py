"""The models that Polyclinic can use, the commands that serve them, and whether a server does what is needed.

`polyclinic models list|show|check`.
"""

from __future__ import annotations

import shlex
import sys
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..agents.engines.check import Checkup, Finding
    from ..agents.profiles import Model, Profile
    from ..core.settings import Settings

models = typer.Typer(name="models", no_args_is_help=True, rich_markup_mode=None, help="Models and how to serve them.")

WIDEST = 100  # columns: a wider table is harder to read, not easier
SQUARE_PX = 1024
_MEANS = {
    "absolute": "pixels of the image as resized",
    "thousand": "thousandths of the image's sides",
    "unit": "fractions of the image's sides",
}
_FORMS = {
    "bbox_2d": '{"bbox_2d": [x1, y1, x2, y2]}',
    "box_2d": '{"box_2d": [y1, x1, y2, x2]}',
    "ref_box": "<ref>…</ref><box>[[x1, y1, x2, y2]]</box>",
    "box_start": "<|box_start|>(x1,y1),(x2,y2)<|box_end|>",
    "loc": "<loc0000> four times",
    "bare": "[x1, y1, x2, y2]",
}
_SERVED = {
    "yes": "yes",
    "converted": "not as published: convert the weights first",
    "unconfirmed": "not confirmed",
}
_MARKS = {"ok": "ok", "missing": "MISSING", "failed": "FAILED", "note": "note", "not tried": "not tried"}


@models.command("list")
def list_profiles() -> None:
    """List the model families and examples of their hub ids."""
    from ..agents.profiles import load_profiles

    rows = [("profile", "sees", "context", "boxes", "examples")]
    rows += [_row(one) for one in load_profiles()]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    room = _columns() - sum(widths) - 2 * len(widths)
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:4], widths, strict=True)]
        print("  ".join([*cells, _fitting(row[4].split(", "), room)]))
    print("\nFacts, memory and the command that serves one: polyclinic models show NAME")


@models.command("show")
def show(
    name: Annotated[str, typer.Argument(help="A profile, a hub id or the name a server gives the model.")],
    lora: Annotated[list[str] | None, typer.Option(help="An adapter to serve too, NAME=PATH; may be repeated.")] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to serve on.")] = 8000,
) -> None:
    """Show what is known about a model and how to serve it."""
    one, model = _known(name)
    command = one.serve_command(model, loras=lora or (), port=port)
    _print_wrapped("", f"{one.family} (profile {one.name})")
    for label, fact in _facts(one):
        _print_wrapped(f"  {label:<15} ", fact)
    if one.models:
        print("\nMemory in bfloat16, before images and activations")
        for listed in one.models:
            _print_wrapped("  ", _memory(one, listed), hanging="    ")
    print("\nServe" + ("" if one.vllm == "yes" else f" ({_SERVED[one.vllm]}; see the note)"))
    print("\n".join(_continued(command, _columns())))
    print("\nAsk")
    served = [model, *(adapter.partition("=")[0] for adapter in lora or ())]
    for called in served:
        print("\n".join(_continued(_ask(called, port), _columns())))
    print("\nNote")
    _print_wrapped("  ", " ".join(one.note.split()))


@models.command("check")
def check(
    url: Annotated[str, typer.Argument(help="A running server, such as http://localhost:8000/v1.")],
    model: Annotated[str | None, typer.Option(help="What the server calls its model (its first by default).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Ask a running server what it can do for Polyclinic, and say what to change.

    Exit code 1 when cases would fail there.
    """
    import asyncio

    from ..core.settings import load_settings

    settings = load_settings({"engine": url, "model": model})
    usable = asyncio.run(_checked(url, settings, as_json=as_json))
    raise typer.Exit(0 if usable else 1)


async def _checked(url: str, settings: Settings, *, as_json: bool) -> bool:
    """Whether the server can be used; what is found is printed as it is found."""
    from ..agents.engines.check import checkup

    server = await checkup(url, settings)
    if not as_json:
        _print_server(server)
    found: list[Finding] = []
    async for finding in server.findings():
        found.append(finding)
        if not as_json:
            _print_finding(finding)
    in_the_way = [finding.name for finding in found if finding.stands_in_the_way]
    if as_json:
        _print_json(server, found, usable=not in_the_way)
    else:
        _print_end(server, in_the_way)
    return not in_the_way


def _print_server(server: Checkup) -> None:
    from ..agents.engines.client import shown

    context = f"{server.context_tokens:,} tokens" if server.context_tokens else "not stated"
    _print_wrapped("", f"{_harmless(server.model)} at {shown(server.url)}")
    for label, fact in (("profile", f"{server.profile.name}: {server.profile.family}"), ("context", context)):
        _print_wrapped(f"  {label:<15} ", fact)
    print(flush=True)


def _print_finding(finding: Finding) -> None:
    tried = f"{finding.tried}: " if finding.result in ("missing", "failed") else ""
    _print_wrapped(f"{_MARKS[finding.result]:<9}  {finding.name:<12}  ", _harmless(tried + finding.came))
    if finding.change:
        _print_wrapped(" " * 11 + "→ ", _harmless(finding.change))
    sys.stdout.flush()  # the next takes its time


def _print_end(server: Checkup, in_the_way: list[str]) -> None:
    from ..agents.engines.client import shown

    if in_the_way:
        print(f"\nCases would fail here ({', '.join(in_the_way)}). Change what → says, then")
        command = ["polyclinic", "models", "check", shown(server.url), "--model", server.model]
    else:
        print("\nAll that a case needs works. Go on with")
        command = ["polyclinic", "ask", "CASE", "--engine", shown(server.url), "--model", server.model]
    print("\n".join(_continued(shlex.join(command), _columns())))


def _print_json(server: Checkup, found: list[Finding], *, usable: bool) -> None:
    import dataclasses
    import json

    from ..agents.engines.client import shown

    report = {
        "url": shown(server.url), "model": server.model, "profile": server.profile.name, "adapters": server.adapters,
        "context_tokens": server.context_tokens, "usable": usable, "findings": list(map(dataclasses.asdict, found)),
    }  # fmt: skip
    print(json.dumps(report, ensure_ascii=False, indent=2))


def _harmless(text: str) -> str:
    from ..agents.engines.patience import printable

    return printable(text)


def _known(name: str) -> tuple[Profile, str]:
    """The profile that `name` means and the model to serve. Raises InputError when nothing is known by that name."""
    from ..agents.profiles import GENERIC, load_profiles, profile_for
    from ..core.errors import InputError

    wanted = name.strip()
    for one in load_profiles():
        if one.name == wanted.lower():
            return one, one.models[0].id if one.models else "MODEL"
    one = profile_for(wanted)
    if one.name == GENERIC:
        raise InputError(
            expected="a known model or profile",
            got=repr(name),
            fix=f"{_nearest(wanted)}list them with: polyclinic models list; any other model is served as {GENERIC}",
        )
    ids = (model.id for model in one.models)
    return one, next((full for full in ids if wanted.lower() in (full.lower(), full.lower().partition("/")[2])), wanted)


def _nearest(wanted: str) -> str:
    import difflib

    from ..agents.profiles import load_profiles

    names = {}
    for one in load_profiles():
        names[one.name] = one.name
        for model in one.models:
            names[model.id.lower()] = names[model.id.lower().partition("/")[2]] = model.id
    near = dict.fromkeys(names[key] for key in difflib.get_close_matches(wanted.lower()[:200], names, n=3))
    return f"did you mean {' or '.join(near)}? or " if near else ""


def _row(one: Profile) -> tuple[str, str, str, str, str]:
    context = f"{one.context_tokens:,}" if one.context_tokens else "?"
    examples = ", ".join(model.id for model in one.models) or one.family
    return one.name, "yes" if one.vision else "no", context, one.boxes.convention, examples


def _facts(one: Profile) -> Iterator[tuple[str, str]]:
    yield "served by vLLM", _SERVED[one.vllm]
    yield "sees images", f"yes; send at most {one.max_images} with a question" if one.vision else "no"
    if one.vision:
        yield "image size", _image_size(one)
        if one.image_placement:
            yield "image place", "before the text" if one.image_placement == "before_text" else "anywhere in the text"
        yield "boxes", _boxes(one)
    yield "context", f"{one.context_tokens:,} tokens" if one.context_tokens else "not confirmed"
    if one.thinking:
        parser = f"vLLM parser {one.thinking.parser}" if one.thinking.parser else "vLLM has no parser for it"
        yield "thinking", f"{one.thinking.opening} … {one.thinking.closing}; {parser}"
    accepts = {True: "accepted", False: "refused", None: "not confirmed"}
    yield "system message", accepts[one.system_role]
    yield "licence", one.licence or "not confirmed"


def _image_size(one: Profile) -> str:
    tokens = one.image_tokens(SQUARE_PX, SQUARE_PX)
    wide, high = one.seen_px(SQUARE_PX, SQUARE_PX)
    limits = [
        f"at most {one.max_pixels:,} pixels" if one.max_pixels else "",
        f"sides of at most {one.max_side_px} px" if one.max_side_px else "",
    ]
    cost = f"about {tokens} tokens" if tokens else "a cost that is not confirmed"
    said = f"{SQUARE_PX} × {SQUARE_PX} is seen as {wide} × {high}, at {cost}"
    return "; ".join([*filter(None, limits), said])


def _boxes(one: Profile) -> str:
    if one.boxes.convention == "none":
        return "none known"
    return f"{_MEANS[one.boxes.convention]}, written {' or '.join(_FORMS[form] for form in one.boxes.forms)}"


def _memory(one: Profile, model: Model) -> str:
    if model.billions is None:
        return f"{model.id}: size not confirmed"
    needed = one.memory_gb(model.billions)
    cache = needed.kv_gb_per_1000_tokens
    kept = f", {cache:.2f} GB for each 1000 tokens of cache" if cache else ", cache not confirmed"
    return f"{model.id}: {model.billions:g}B, {needed.weights_gb:.0f} GB of weights{kept}"


def _ask(model: str, port: int) -> str:
    return f"polyclinic ask CASE --engine http://localhost:{port}/v1 --model {shlex.quote(model)}"


def _continued(command: str, columns: int) -> Iterator[str]:
    """A shell command in lines that fit, each but the last ending in a backslash, so that it can be pasted whole."""
    units: list[str] = []  # a flag stays beside its value where a line holds both
    for word in map(shlex.quote, shlex.split(command)):
        apart = word.startswith("--") or not units or len(units[-1]) + len(word) + 7 > columns
        units[len(units) if apart else -1 :] = [word if apart else f"{units[-1]} {word}"]
    line = "  "
    for unit in units:
        if line.strip() and len(line) + len(unit) + 3 > columns:
            yield f"{line} \\"
            line = "    "
        line += f" {unit}" if line.strip() else unit
    yield line


def _fitting(names: list[str], room: int) -> str:
    """As many of `names` as fit, the first in any case, with … for the rest."""
    shown = names[0] if len(names[0]) <= room else names[0][: room - 1] + "…"
    for name in names[1:]:
        if len(shown) + len(name) + 5 > room:
            return f"{shown}, …" if len(shown) + 3 <= room else shown
        shown += f", {name}"
    return shown


def _print_wrapped(lead: str, text: str, hanging: str | None = None) -> None:
    indent = " " * len(lead) if hanging is None else hanging
    for line in textwrap.wrap(text, _columns(), initial_indent=lead, subsequent_indent=indent, break_on_hyphens=False):
        print(line)


def _columns() -> int:
    import shutil

    return max(60, min(WIDEST, shutil.get_terminal_size().columns))
