"""HTML by construction: text that is put into an element is escaped, so a sequence may be called anything."""

import html

_EMPTY = {"meta", "img", "br", "line", "path", "circle", "rect"}  # elements without a content


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(tag: str, *content: "str | int | None", **attributes: "str | int | float | bool | None") -> Markup:
    """One element. Plain text in it is escaped, `Markup` is not, None is left out.

    An attribute's underscores become hyphens, one at its end is dropped (``class_``); False and None leave it out.
    """
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for name, value in attributes.items()
        if value is not None and value is not False
    )
    if tag in _EMPTY:
        return Markup(f"<{tag}{written}/>")
    return Markup(f"<{tag}{written}>{joined(*content)}</{tag}>")


def joined(*content: "str | int | None") -> Markup:
    """Pieces one after the other, escaped where they are plain text."""
    return Markup(
        "".join(piece if isinstance(piece, Markup) else html.escape(str(piece)) for piece in content if piece is not None)
    )
