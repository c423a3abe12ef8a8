"""The real work of the pipeline's stages."""

from __future__ import annotations

from headfield.curate.stages import Stages


def stages() -> Stages:
    """What `headfield curate` does in each stage."""
    from headfield.curate.finishing import complete_scan, register_scan
    from headfield.curate.fitting import fit_model, fit_template
    from headfield.curate.placing import align_scan, face_of

    work = (face_of, align_scan, fit_template, fit_model, complete_scan, register_scan)
    return Stages(*work, versions={"parametric": 2, "model": 4, "complete": 5, "register": 2})
