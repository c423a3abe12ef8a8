"""Docstrings keep their promise: a public function that raises an error names it under `Raises:`."""

from __future__ import annotations

import ast
from pathlib import Path

import headfield

SOURCE = Path(headfield.__file__).parent
UNSAID = ("NotImplementedError", "KeyboardInterrupt", "AttributeError")
"""Abstract methods, interruptions, and what Python itself asks of a module's `__getattr__`."""


def _public(body: list[ast.stmt], owner: str = "") -> list[tuple[ast.FunctionDef, str]]:
    """Public functions and methods of a module with the docstring of the class around them."""
    found = []
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            found += _public(node.body, ast.get_docstring(node) or "")
        if isinstance(node, ast.FunctionDef) and (node.name == "__init__" or not node.name.startswith("_")):
            found.append((node, owner))
    return found


def _raised(function: ast.FunctionDef) -> set[str]:
    """Names of the errors that a function's own statements raise, those of functions inside it left out."""
    names, waiting = set(), list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Lambda)):
            continue
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name):
            names.add(node.exc.func.id)
        waiting += ast.iter_child_nodes(node)
    return names


def test_errors_are_documented_where_they_are_raised():
    silent = []
    for path in sorted(SOURCE.rglob("*.py")):
        for function, owner in _public(ast.parse(path.read_text(encoding="utf-8")).body):
            said = (ast.get_docstring(function) or "") + owner
            said = said.partition("Raises:")[2]
            if path.parent.name == "cli" and function.name == "run":
                continue  # a verb: whatever it raises, `main` prints
            missing = sorted(name for name in _raised(function) if name not in said and name not in UNSAID)
            if missing:
                silent.append(f"{path.relative_to(SOURCE)}:{function.lineno} {function.name}: {', '.join(missing)}")
    assert not silent, "\n".join(silent)
