"""`polyclinic index build | show` and `polyclinic search`: making indexes and looking things up in them."""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from ..core.errors import InputError
from .interruption import interruptible

if TYPE_CHECKING:
    from ..knowledge.index.build import Plan
    from ..knowledge.index.finish import Watch
    from ..knowledge.index.manifest import Manifest, Stock
    from ..knowledge.store import Hit, Knowledge, Query

index = typer.Typer(
    name="index", no_args_is_help=True, rich_markup_mode=None, help="Build indexes of passages and pictures."
)

_STEP = 10_000
"""After how many documents a line says so where there is no terminal."""

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
    licence: Annotated[
        str | None, typer.Option(help="The licence of the source (else what its SOURCE.txt or format says).")
    ] = None,
    citation: Annotated[str | None, typer.Option(help="What to cite, where the source does not say it.")] = None,
    modality: Annotated[str | None, typer.Option(help="What the pictures are, such as xray or ultrasound.")] = None,
    name: Annotated[str | None, typer.Option(help="What to call the source (from its file name by default).")] = None,
    shared: Annotated[
        bool, typer.Option("--shared", help="Patients are anonymous: show their records to all.")
    ] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Drop what an unfinished build has read.")] = False,
) -> None:
    """Build an index from sources, or add them to it; the same command goes on with a build that was interrupted."""
    from ..knowledge.index.build import add_to_index

    plan = _plan(
        sources, text_encoder, image_encoder or _usual_image_encoder(out), kind,
        {"licence": licence, "citation": citation, "modality": modality, "name": name}, shared=shared,
    )  # fmt: skip
    with interruptible("goes on with the build"), _watching() as watch:
        built = add_to_index(plan, out, restart=restart, watch=watch)
    _print_held(out, built.manifest)
    for stock in built.added:
        _print_added(stock)
    _print_encoders(built.manifest)
    if text_encoder is None and built.manifest.text is None:
        print("Words alone are indexed; with --text-encoder minilm questions also find what is worded otherwise.")


@index.command()
def show(folder: Folder) -> None:
    """Check every file of an index and say what is in it."""
    from ..knowledge.index.folder import open_index
    from ..knowledge.index.manifest import is_unfinished, read_manifest

    version = open_index(folder).version
    manifest = read_manifest(folder)
    _print_held(folder, manifest)
    for stock in manifest.sources:
        _print_stock(stock)
    _print_encoders(manifest)
    if is_unfinished(folder):
        print("There is an unfinished build, not counted here: type the same index build command to go on with it.")
    print(f"All files are as they were written. Version in traces: {version}")


def search(
    query: Annotated[str, typer.Argument(help="What to look for.")] = "",
    index: Annotated[
        list[str] | None,
        typer.Option(help="An index folder, instead of the shipped passages; repeatable, and `shipped` names those."),
    ] = None,
    image: Annotated[str | None, typer.Option(help="Find pictures like this PNG, JPEG or DICOM file.")] = None,
    modality: Annotated[str | None, typer.Option(help="Only what holds for this modality.")] = None,
    domain: Annotated[list[str] | None, typer.Option(help="Only this field, such as cardiology; repeatable.")] = None,
    source: Annotated[list[str] | None, typer.Option(help="Only this source of the index; repeatable.")] = None,
    patient: Annotated[
        str | None,
        typer.Option(help="Also this patient's own records, by the id in them or by another, such as an MRN."),
    ] = None,
    until: Annotated[str | None, typer.Option(help="Nothing dated after this day, such as 2024-01-31.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=50, help="At most so many hits.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print the hits as JSON, one a line.")] = False,
) -> None:
    """Look something up: hits with their scores, where they come from and under which licence."""
    searched = index or ["shipped"]
    store = _opened(searched)
    manifests = _manifests(searched)
    known = sorted({stock.name for manifest in manifests for stock in manifest.sources})
    asked = _query(
        query, image, {"modality": modality, "domains": tuple(domain or ()), "sources": tuple(source or ()),
                       "until": until, "limit": limit}, patient, known,
    )  # fmt: skip
    picture = None
    if image is not None:
        from ..tools.imaging.store import read_picture

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
        records, patients = sum(one.records for one in manifests), sum(one.patients for one in manifests)
        if not hits and records and patient is None:
            held = f"{_counted(records, 'record')} of {_counted(patients, 'patient')}"
            print(f"{held} {'is' if records == 1 else 'are'} only searched with --patient.")


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
    from ..tools.imaging.store import read_dicom_facts, read_picture

    if kind not in (None, *get_args(Kind)):
        raise InputError(
            expected="--kind flat, hnsw or ivfpq", got=repr(kind), fix="leave it out: it is chosen by size"
        )
    of_one = [f"--{name}" for name, value in said.items() if value is not None]
    if of_one and len(sources) > 1:
        raise InputError(
            expected=f"one source beside {' and '.join(of_one)}",
            got=f"{len(sources)}", fix="add the sources one after the other",
        )  # fmt: skip
    opened = [open_source(spec, **said, read_facts=read_dicom_facts) for spec in sources]
    return Plan(
        sources=opened, text_encoder=load_encoder(text_encoder) if text_encoder else None,
        image_encoder=None if image_encoder == "none" else load_encoder(image_encoder),
        kind=cast(Kind | None, kind), read_picture=read_picture, shared=shared,
    )  # fmt: skip


def _opened(searched: list[str]) -> Knowledge:
    from ..knowledge.index.folder import open_index
    from ..knowledge.index.joined import Joined, shipped_index

    stores = [shipped_index() if one == "shipped" else open_index(Path(one)) for one in searched]
    return Joined(*stores)


def _manifests(searched: list[str]) -> list[Manifest]:
    """What the index folders among them say of themselves."""
    from ..knowledge.index.manifest import read_manifest

    return [read_manifest(Path(one)) for one in searched if one != "shipped"]


def _query(
    text: str, image: str | None, filters: dict[str, Any], patient: str | None, sources: Sequence[str]
) -> Query:  # fmt: skip
    """What is asked, of indexes that have these sources. Raises InputError for what cannot be."""
    from ..core.case import Modality, pseudonym
    from ..knowledge.corpus import DOMAINS
    from ..knowledge.store import Query

    if not text.strip() and image is None:
        raise InputError(expected="a question or --image", got="none", fix="type polyclinic search 'what you look for'")
    modality = filters["modality"]
    _check_known("a modality", [modality] if modality else [], get_args(Modality))
    _check_known("a domain", filters["domains"], DOMAINS)
    _check_known("a source of the index", filters["sources"], sources)
    given = {name: value for name, value in filters.items() if value is not None}
    if filters["until"] is not None:
        given["until"] = _day(filters["until"])
    # The picture is handed over beside the query; its blob's name is not known here, nor needed.
    stands_for = "0" * 64 if image is not None else None
    return Query.model_validate(
        {**given, "text": text, "image": stands_for, "patient_id": pseudonym(patient) if patient else None}
    )


def _check_known(what: str, typed: Sequence[str], known: Sequence[str]) -> None:
    strange = next((one for one in typed if one not in known), None)
    if strange is not None:
        fix = "type one of " + ", ".join(known) if known else "leave it out: there is none, or name an --index"
        raise InputError(expected=what, got=repr(strange), fix=fix)


def _day(typed: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(typed)
    except ValueError:
        raise InputError(
            expected="a day such as 2024-01-31", got=repr(typed), fix="type --until with year, month and day"
        ) from None


@contextmanager
def _watching() -> Iterator[Watch]:
    """What is being done, how much, how fast: a progress bar on stderr, lines where it is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield _lines()
        return
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[done]}"), \
        TimeElapsedColumn()  # fmt: skip
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def watch(what: str, done: int, total: int | None) -> None:
            if what not in tasks:
                for task in tasks.values():
                    bars.update(task, total=1, completed=1)
                tasks[what] = bars.add_task(what, total=total, done="")
            bars.update(tasks[what], completed=done, total=total, done=_done(done, total))

        yield watch


def _lines() -> Watch:
    """A line on stderr for each stage, and one for every so many documents of it."""
    told: dict[str, int] = {}

    def watch(what: str, done: int, total: int | None) -> None:
        if what not in told or done // _STEP > told[what]:
            told[what] = done // _STEP
            print(f"{what}: {_done(done, total)}" if done else what, file=sys.stderr, flush=True)

    return watch


def _done(done: int, total: int | None) -> str:
    return f"{done:,}" if total is None else f"{done:,} of {total:,}"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _print_held(folder: Path, manifest: Manifest) -> None:
    held = [
        _counted(manifest.passages, "passage"),
        f"{manifest.pictures:,} of them {'a picture' if manifest.pictures == 1 else 'pictures'}"
        if manifest.pictures else "",
        f"{_counted(manifest.records, 'record')} of {_counted(manifest.patients, 'patient')}"
        if manifest.records else "",
    ]  # fmt: skip
    print(f"{folder}: {', '.join(part for part in held if part)}")


def _print_stock(stock: Stock) -> None:
    """What a source has given to an index, as it is there."""
    print(f"  {_named(stock)}: {_counted(stock.documents, 'document')} in {_kept(stock)}")
    _print_left_out(stock)
    _print_licences(stock)


def _print_added(stock: Stock) -> None:
    """What a source has given in the build that has just ended."""
    there = _counted(stock.already, "document")
    there = f"{there} {'is' if stock.already == 1 else 'are'} already there; the options typed now do not change"
    there = f"{there} {'it' if stock.already == 1 else 'them'}"
    if stock.documents or stock.aliases:
        print(f"  added from {_named(stock)}: {_given(stock)}")
        _print_licences(stock)
        if stock.aliases:
            print(f"    patients are also found by {_counted(stock.aliases, 'other identifier')}")
        if stock.already:
            print(f"    {there}")
    else:
        said = there if stock.already else "" if stock.changed else "no document was read"
        print(f"  nothing was added from {stock.name}" + (f": {said}" if said else ""))
    _print_left_out(stock)


def _print_licences(stock: Stock) -> None:
    if len(stock.licences) > 1:
        print("    licences: " + "; ".join(f"{licence} ({count:,})" for licence, count in stock.licences.items()))


def _named(stock: Stock) -> str:
    opened = "; open to every case" if stock.shared else ""
    return f"{stock.name} ({stock.kind}; {stock.licence}{opened})"


def _given(stock: Stock) -> str:
    """What a build has taken of a source."""
    if stock.already or stock.changed:
        return f"{_kept(stock)}, of {_counted(stock.read, 'document')} read"
    return f"{_counted(stock.documents, 'document')} in {_kept(stock)}"


def _kept(stock: Stock) -> str:
    kept = [_counted(count, noun) for count, noun in ((stock.passages, "passage"), (stock.records, "record")) if count]
    return " and ".join(kept) or "no passage"


def _print_left_out(stock: Stock) -> None:
    for why, count in stock.skipped.items():
        print(f"    {count:,} left out: {why}")
    if stock.changed:
        one = stock.changed == 1
        print(
            f"    {_counted(stock.changed, 'document')} whose text has changed since {'was' if one else 'were'} left as"
            f" {'it was' if one else 'they were'}: to take {'it' if one else 'them'} in, type polyclinic index build"
            " with all sources and --out with another folder"
        )


def _print_encoders(manifest: Manifest) -> None:
    for name, encoded in (("texts", manifest.text), ("pictures", manifest.image)):
        if encoded is not None and encoded.vectors:
            print(
                f"  {name}: {encoded.spec}, {_counted(encoded.vectors, 'vector')} of {encoded.dimension} numbers,"
                f" {encoded.kind}"
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
