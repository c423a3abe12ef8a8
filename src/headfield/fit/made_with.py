"""Whether a saved fit or head is opened by the weights that made it, and what to do when it is not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from headfield.errors import WeightsError
from headfield.models import DEFAULT
from headfield.models.fingerprint import Fingerprint
from headfield.models.release import UNMARKED, WHERE


def made_with(stored: Mapping[str, str] | None, model_name: str) -> Fingerprint | None:
    """The weights that a file was made with; None when that is not known.

    Args:
        stored: What the file says; None in files from before there were fingerprints.
        model_name: The model that the file names.
    """
    if stored is None:
        return UNMARKED.get(model_name)
    return Fingerprint(str(stored["identity"]), str(stored["expression"]))


def check_weights(file: str, made: Fingerprint | None, model, model_name: str, *, points: bool) -> None:
    """Refuse weights under which the codes of a file are another head than was saved.

    Args:
        file: For the message.
        made: Weights of the file, see :func:`made_with`; unknown ones are trusted.
        model: The loaded model.
        model_name: Its name.
        points: Whether the file is a fit, which holds the points of its scans.
    Raises:
        WeightsError: Other weights.
    """
    if made is None or made.identity == model.fingerprint.identity:
        return
    where = WHERE.get(made.identity)
    folder = f"--model FOLDER ({where})" if where else "--model FOLDER"
    known = "" if model_name == DEFAULT else f" --model {model_name}"
    advice = (
        f"Fit again from the points that it holds: headfield fit {file}{known} --out NEW. Or open it with the weights "
        f"that made it: {folder}."
        if points
        else "A head that was edited or drawn holds no points to fit again: open it with the weights that made it: "
        f"{folder}."
    )
    raise WeightsError(
        f"{file}: made with other weights than those of {model_name} that are here (identity fingerprint "
        f"{made.identity} in the file, {model.fingerprint.identity} in the weights), which would make another head of "
        f"it. {advice}"
    )


def weights_notes(file: str, made: Fingerprint | None, model, *, expressed: bool, points: bool) -> tuple[str, ...]:
    """One sentence when an expression was made with other weights than those that show it; else nothing.

    Args:
        file, made, model, points: As in :func:`check_weights`.
        expressed: Whether the head has an expression.
    """
    if not expressed or made is None or made.expression == model.fingerprint.expression:
        return ()
    name = Path(file).name  # what is told of a file that was sent to the viewer is not about a temporary folder
    advice = f"; to read it anew from the scan: headfield fit {name} --out NEW" if points else ""
    return (
        f"{name}: its expression is of other weights (fingerprint {made.expression}; these have "
        f"{model.fingerprint.expression}) and looks a little different here, while the neutral head is the same, bit "
        f"for bit{advice}.",
    )
