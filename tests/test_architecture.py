"""The house's plan: a room imports only from rooms before it, no modules import each other in a circle."""

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import headfield

SOURCE = Path(headfield.__file__).parent

ROOMS = (
    "errors", "types", "frames", "expression_prior", "expressions", "workers", "neighbours", "io", "parametric",
    "synth", "nn", "models", "losses", "train", "surface", "fit", "curate", "edit", "avatar", "evaluate", "view", "cli",
)  # fmt: skip
"""In the order in which data flows; `docs/architecture.md` says what is in each."""


def modules(source: Path) -> dict[str, Path]:
    """Every module below a package's folder by its dotted name."""
    found = {}
    for file in source.rglob("*.py"):
        parts = [source.name, *file.relative_to(source).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imports(name: str, known: dict[str, Path]) -> set[str]:
    """The modules of `known` that a module imports anywhere: on top, in functions, and for type checkers only."""
    package = name.split(".") if known[name].name == "__init__.py" else name.split(".")[:-1]
    asked = []
    for node in ast.walk(ast.parse(known[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            asked += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(
                [*package[: len(package) + 1 - node.level] * bool(node.level), *filter(None, [node.module])]
            )
            asked += [f"{base}.{alias.name}" for alias in node.names]
    found = set()
    for module in asked:
        while module and module not in known:
            module = module.rpartition(".")[0]
        found |= {module} - {"", name}
    return found


@cache
def graph(source: Path) -> dict[str, set[str]]:
    """Who imports whom; the package's own front, which only forwards, is nobody's import."""
    known = modules(source)
    return {name: imports(name, known) - {source.name} for name in known}


def upstream(found: dict[str, set[str]], rooms: tuple[str, ...]) -> list[str]:
    """Imports of a later room."""
    rank = {room: number for number, room in enumerate(rooms)}
    told = []
    for name, others in found.items():
        for other in others if name.count(".") else ():
            here, there = name.split(".")[1], other.split(".")[1]
            if rank[there] > rank[here]:
                told.append(f"{name} imports {other}")
    return told


def test_every_room_imports_from_earlier_rooms_only():
    found = graph(SOURCE)
    assert {name.split(".")[1] for name in found if name.count(".")} <= set(ROOMS)
    assert len(found) > 200 and "headfield.models.architectures" in found["headfield.models.release"]
    assert upstream(found, ROOMS) == []


def test_a_model_is_known_to_its_folder_its_recipe_and_the_table_of_architectures_alone():
    found = graph(SOURCE)
    for model in ("imhead", "nphm", "npm", "imface", "mononphm"):
        own = f"headfield.models.{model}"
        known = {name for name, others in found.items() if any(other.startswith(f"{own}.") for other in others)}
        outside = {name for name in known if not name.startswith(own)}
        assert outside == {"headfield.models.architectures", f"headfield.train.recipes.{model}"}


def test_no_modules_import_each_other_in_a_circle():
    try:
        tuple(TopologicalSorter(graph(SOURCE)).static_order())
    except CycleError as error:
        pytest.fail("a circle of modules: " + " -> ".join(error.args[1]))


def test_the_plan_s_own_test_finds_a_circle_and_a_later_room(tmp_path):
    source = tmp_path / "house"
    for name, text in {
        "__init__": "",
        "early/__init__": "",
        "early/a": "def f():\n    from ..late import b",
        "late/__init__": "",
        "late/b": "from house.early.a import f",
    }.items():
        file = source / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    found = graph(source)
    assert upstream(found, ("early", "late")) == ["house.early.a imports house.late.b"]
    with pytest.raises(CycleError):
        tuple(TopologicalSorter(found).static_order())
