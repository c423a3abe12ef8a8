"""XML from strangers: no document type (so no entities, and nothing from elsewhere), bounded in parts and in depth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.parsers import expat

from headfield.errors import ScanError
from headfield.io import guard

DEEPEST = 200
"""Levels of elements."""

_PER_ELEMENT, _PER_ATTRIBUTE = 500, 200
"""Bytes that they take in a tree."""


def walk(
    path: Path,
    content: bytes,
    start: Callable[[str, dict[str, str]], None] | None = None,
    end: Callable[[str], None] | None = None,
) -> tuple[int, int]:
    """Go through a document without making a tree of it.

    Args:
        path: For messages.
        content: The document.
        start: Called with the name, without its namespace, and the attributes of every element, by full names
            (``namespace name``) where they have one.
        end: Called with the name of every element that ends.
    Returns:
        How many elements and attributes there are.
    Raises:
        ScanError: It declares a document type, or is nested too deeply.
        Exception: It is not well-formed.
    """
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    counts = [0, 0, 0]

    def refuse(*_):
        raise ScanError(
            f"{path}: declares a document type or entities, which are never expanded. Export it again without."
        )

    def begin(name: str, attributes: dict[str, str]) -> None:
        counts[0] += 1
        counts[1] += len(attributes)
        counts[2] += 1
        if counts[2] > DEEPEST:
            raise ScanError(f"{path}: elements of XML more than {DEEPEST} levels deep. Export it again.")
        if start is not None:
            start(name.rpartition(" ")[2], attributes)

    def finish(name: str) -> None:
        counts[2] -= 1
        if end is not None:
            end(name.rpartition(" ")[2])

    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler = begin, finish
    parser.Parse(content, True)
    return counts[0], counts[1]


def check_tree(path: Path, content: bytes, size: int) -> None:
    """Refuse a document that a parser of trees must not see.

    Args:
        path: For messages.
        content: The document.
        size: Bytes of the file that it came in.
    Raises:
        ScanError: As :func:`walk`, or its tree would take more memory than it may.
        Exception: It is not well-formed.
    """
    elements, attributes = walk(path, content)
    need = _PER_ELEMENT * elements + _PER_ATTRIBUTE * attributes + 6 * len(content)
    guard.check_need(path, need, size, f"XML of {elements:,} elements")
