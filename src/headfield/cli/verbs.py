"""The verbs, and a parser of words that imports the one verb at hand.

A parser of all verbs with all their options takes three times as long to make, most of it for rooms that the other
verbs' options come from. So verbs that the words do not name are stand-ins: without options, with the same help.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import make_dataclass
from functools import reduce
from importlib.abc import InspectLoader
from io import StringIO
from operator import or_
from typing import Annotated, Any

import tyro

VERBS = {
    "fit": "FitCommand",
    "wrap": "WrapCommand",
    "landmarks": "LandmarksCommand",
    "sample": "SampleCommand",
    "edit": "EditCommand",
    "animate": "AnimateCommand",
    "export": "ExportCommand",
    "view": "ViewCommand",
    "synth": "SynthCommand",
    "curate": "CurateCommand",
    "train": "TrainCommand",
    "avatar": "AvatarCommand",
    "convert-weights": "ConvertWeightsCommand",
    "evaluate": "EvaluateCommand",
    "store": "StoreCommand",
    "doctor": "DoctorCommand",
}
"""Verb -> its dataclass in the module of the verb's name (with _ for -), in the order of the help."""

_DESCRIPTION = (
    "Implicit morphable head models: any head scan in, a complete, editable head out.\n\nEvery verb "
    "also takes --read-limit MB: the memory that reading any one file may take (512 unless given)."
)


def command_of(words: list[str]):
    """The verb's dataclass, filled in from words.

    Raises:
        SystemExit: After help (0) or a usage message (2) was printed, as argument parsers do.
    """
    if words[:1] in (["-h"], ["--help"]):
        return _parsed(words, set())
    named = VERBS.keys() & words[:1]
    try:
        # console_outputs=False does not keep tyro from printing all of its messages
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            return _parsed(words, named)
    except SystemExit as stop:
        helped = not stop.code
    # a usage message also names other verbs' options that the words may have meant
    return _parsed(words, named if helped else set(VERBS))


def _parsed(words: list[str], imported: set[str]):
    kinds = [(_command if verb in imported else _stand_in)(verb) for verb in VERBS]
    any_of: Any = reduce(or_, (Annotated[kind, tyro.conf.subcommand(verb)] for verb, kind in zip(VERBS, kinds)))
    return tyro.cli(
        any_of,
        args=words,
        prog="headfield",
        description=_DESCRIPTION,
        config=(tyro.conf.FlagCreatePairsOff,),
    )


def _command(verb: str) -> type:
    return getattr(importlib.import_module(_module(verb)), VERBS[verb])


def _stand_in(verb: str) -> type:
    """A dataclass without options that says of itself what the verb's says, which is read without running it."""
    source = _source(_module(verb))
    stated = re.search(rf'^class {VERBS[verb]}\b[^\n]*:\n    """(.*?)"""', source or "", re.MULTILINE | re.DOTALL)
    if stated is None:  # installed without its source
        return _command(verb)
    kind = make_dataclass(VERBS[verb], [])
    kind.__doc__ = inspect.cleandoc(stated[1])
    return kind


def _module(verb: str) -> str:
    return f"headfield.cli.{verb.replace('-', '_')}"


def _source(module: str) -> str | None:
    found = importlib.util.find_spec(module)
    loader = None if found is None else found.loader
    return loader.get_source(module) if isinstance(loader, InspectLoader) else None
