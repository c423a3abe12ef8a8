"""Names that others chose, as text: viser's Markdown widgets would make elements and requests of some of them."""

from __future__ import annotations


def plain(text: str) -> str:
    """A text as it stands, for Markdown and HTML alike.

    Everything but letters, digits and blanks becomes a character reference, which both decode and neither takes for
    markup: no tag, link, address or emphasis is left.
    """
    return "".join(one if one.isalnum() or one == " " else f"&#{ord(one)};" for one in text if one.isprintable())
