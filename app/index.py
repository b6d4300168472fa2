"""`polyclinic index build | show` and `polyclinic search`: making indexes and looking things up in them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from ..core.errors import InputError

if TYPE_CHECKING:
    from ..knowledge.index.build import Plan
    from ..knowledge.index.finish import Watch
    from ..knowledge.index.manifest import Manifest
    from ..knowledge.store import Hit, Query

index = typer.Typer(
    name="index", no_args_is_help=True, rich_markup_mode=None, help="Build indexes of passages and pictures."
)

Folder = Annotated[Path, typer.Argument(help="An index folder.")]


@index.command()
def build(
    sources: Annotated[
        list[str], typer.Argument(help="Files or folders, or KIND:PATH; `shipped` is what comes with the package.")
    ],
    out: Annotated[Path, typer.Option(help="The index folder; one that is there is added to.")],
    text_encoder: Annotated[
        str | None,
        typer.Option(help="minilm, a model's folder, or QUERY,ARTICLE; without one words alone are indexed."),
    ] = None,
    image_encoder: Annotated[
        str | None, typer.Option(help="radiomics, a model's folder, or none (as the index has it; else radiomics).")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="How vectors are kept: flat, hnsw or ivfpq.")] = None,
    licence: Annotated[str | None, typer.Option(help="The licence, where the source does not say it.")] = None,
    citation: Annotated[str | None, typer.Option(help="What to cite, where the source does not say it.")] = None,
    modality: Annotated[str | None, typer.Option(help="What the pictures are, such as xray or ultrasound.")] = None,
    name: Annotated[str | None, typer.Option(help="What to call the source (from its file name by default).")] = None,
    shared: Annotated[
        bool, typer.Option("--shared", help="Patients are anonymous: show their records to all.")
    ] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Drop what an unfinished build has read.")] = False,
) -> None:
    """Build an index from sources, or add them to it; the same command goes on with a build that was interrupted."""
    from ..knowledge.index.build import build_index

    plan = _plan(
        sources, text_encoder, image_encoder or _usual_image_encoder(out), kind,
        {"licence": licence, "citation": citation, "modality": modality, "name": name}, shared=shared,
    )  # fmt: skip
    try:
        with _watching() as watch:
            manifest = build_index(plan, out, restart=restart, watch=watch)
    except KeyboardInterrupt:
        print("polyclinic: interrupted; the same command goes on with the build", file=sys.stderr)
        raise typer.Exit(1) from None
    _print_manifest(out, manifest)
    if text_encoder is None and manifest.text is None:
        print("Words alone are indexed; with --text-encoder minilm questions also find what is worded otherwise.")


@index.command()
def show(folder: Folder) -> None:
    """Check every file of an index and say what is in it."""
    from ..knowledge.index.folder import open_index
    from ..knowledge.index.manifest import read_manifest

    version = open_index(folder).version
    _print_manifest(folder, read_manifest(folder))
    print(f"All files are as they were written. Version in traces: {version}")


def search(
    query: Annotated[str, typer.Argument(help="What to look for.")] = "",
    index: Annotated[
        list[Path] | None, typer.Option(help="An index folder; may be repeated (default: shipped).")
    ] = None,
    image: Annotated[str | None, typer.Option(help="Find pictures like this PNG, JPEG or DICOM file.")] = None,
    modality: Annotated[str | None, typer.Option(help="Only what holds for this modality.")] = None,
    domain: Annotated[list[str] | None, typer.Option(help="Only this field, such as cardiology; repeatable.")] = None,
    source: Annotated[list[str] | None, typer.Option(help="Only this source of the index; repeatable.")] = None,
    patient: Annotated[str | None, typer.Option(help="Also this patient's own records.")] = None,
    until: Annotated[str | None, typer.Option(help="Nothing dated after this day, such as 2024-01-31.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=50, help="At most so many hits.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print the hits as JSON, one a line.")] = False,
) -> None:
    """Look something up: hits with their scores, where they come from and under which licence."""
    from ..knowledge.index.folder import open_index
    from ..knowledge.index.joined import Joined, shipped_index

    store = Joined(*map(open_index, index)) if index else shipped_index()
    asked = _query(
        query, image, {"modality": modality, "domains": tuple(domain or ()), "sources": tuple(source or ()),
                       "until": until, "limit": limit}, patient,
    )  # fmt: skip
    picture = None
    if image is not None:
        from ..tools.imaging import read_picture

        if not store.pictured:
            raise InputError(
                expected="an index with pictures for --image", got="one without", fix="build one from pictures"
            )
        picture = read_picture(Path(image))
    hits = store.search(asked, picture)
    if as_json:
        for hit in hits:
            print(json.dumps(hit.model_dump(mode="json"), ensure_ascii=False))
    else:
        _print_hits(hits)


def _usual_image_encoder(out: Path) -> str:
    """What is taken when nothing is said: the encoder an index was begun with, none if it was begun without."""
    from ..knowledge.index.manifest import NAME, read_manifest

    if not (out / NAME).exists():
        return "radiomics"
    there = read_manifest(out).image
    return "none" if there is None else there.spec


def _plan(
    sources: list[str], text_encoder: str | None, image_encoder: str, kind: str | None, said: dict[str, str | None],
    *, shared: bool,
) -> Plan:  # fmt: skip
    """What the options ask for. Raises InputError for what they cannot mean."""
    from ..knowledge.encoders.load import load_encoder
    from ..knowledge.index.build import Plan
    from ..knowledge.index.vectors import Kind
    from ..knowledge.sources.open import open_source
    from ..tools.imaging import read_dicom_facts, read_picture

    if kind not in (None, *get_args(Kind)):
        raise InputError(
            expected="--kind flat, hnsw or ivfpq", got=repr(kind), fix="leave it out: it is chosen by size"
        )
    if said["name"] is not None and len(sources) > 1:
        raise InputError(
            expected="one source beside --name", got=f"{len(sources)}", fix="add the sources one after the other"
        )
    opened = [open_source(spec, **said, read_facts=read_dicom_facts) for spec in sources]
    return Plan(
        sources=opened, text_encoder=load_encoder(text_encoder) if text_encoder else None,
        image_encoder=None if image_encoder == "none" else load_encoder(image_encoder),
        kind=cast(Kind | None, kind), read_picture=read_picture, shared=shared,
    )  # fmt: skip


def _query(text: str, image: str | None, filters: dict[str, Any], patient: str | None) -> Query:
    from pydantic import ValidationError

    from ..core.case import pseudonym
    from ..knowledge.store import Query

    given = {name: value for name, value in filters.items() if value is not None}
    try:
        # The picture is handed over beside the query; its blob's name is not known here, nor needed.
        stands_for = "0" * 64 if image is not None else None
        own = pseudonym(patient) if patient else None
        return Query.model_validate({**given, "text": text, "image": stands_for, "patient_id": own})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "query"
        raise InputError(
            expected=f"a usable {where}: {first['msg']}",
            got=repr(first["input"]) if first["loc"] else "none",
            fix="type polyclinic search --help",
        ) from error


@contextmanager
def _watching() -> Iterator[Watch]:
    """A progress bar on stderr: what is being done, how much, how fast."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[done]}"), \
        TimeElapsedColumn()  # fmt: skip
    console = Console(stderr=True, highlight=False)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def watch(what: str, done: int, total: int | None) -> None:
            if what not in tasks:
                for task in tasks.values():
                    bars.update(task, total=1, completed=1)
                tasks[what] = bars.add_task(what, total=total, done="")
            shown = f"{done:,}" if total is None else f"{done:,} of {total:,}"
            bars.update(tasks[what], completed=done, total=total, done=shown)

        yield watch


def _print_manifest(folder: Path, manifest: Manifest) -> None:
    held = [f"{manifest.passages:,} passages", f"{manifest.pictures:,} of them pictures" if manifest.pictures else "",
            f"{manifest.records:,} records of {manifest.patients:,} patients" if manifest.records else ""]  # fmt: skip
    print(f"{folder}: {', '.join(part for part in held if part)}")
    for stock in manifest.sources:
        kept = stock.passages + stock.records
        print(f"  {stock.name} ({stock.kind}; {stock.licence}): {stock.documents:,} documents, {kept:,} kept")
        left_out = {**stock.skipped, "there already": stock.already, "whose id stands for another text": stock.changed}
        for why, count in left_out.items():
            if count:
                print(f"    {count:,} left out: {why}")
    for name, encoded in (("texts", manifest.text), ("pictures", manifest.image)):
        if encoded is not None:
            print(
                f"  {name}: {encoded.spec}, {encoded.vectors:,} vectors of {encoded.dimension} numbers, {encoded.kind}"
            )


def _print_hits(hits: tuple[Hit, ...]) -> None:
    if not hits:
        print("No support found.")
    for number, hit in enumerate(hits, start=1):
        passage = hit.passage
        dated = f", {passage.date}" if passage.date else ""
        start, end = hit.span
        print(f"{number}. {passage.title}  [{hit.score:.2f} by {hit.found}{dated}]")
        if end > start:
            print(f"   {passage.text[start:end]}")
        shown = f"; picture {passage.picture}" if passage.picture else ""
        print(f"   {passage.id}{shown}; {passage.citation}; {passage.licence}")
