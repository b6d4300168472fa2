"""Elements of HTML and SVG. Every text is escaped unless it is an element already, so that no row can write markup."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape


class Html(str):
    """Markup that may stand in a page as it is."""

    __slots__ = ()


def el(name: str, /, *children: str, **attributes: str | float | None) -> Html:
    """An element. An attribute `class_` is class, `stroke_width` stroke-width; those that are None are left out."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_plain(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{given}>{joined(children)}</{name}>")


def joined(children: Iterable[str]) -> Html:
    """Children one after the other, texts escaped."""
    return Html("".join(child if isinstance(child, Html) else escape(child, quote=False) for child in children))


def _plain(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")
