"""imHead (ICCV 2025): its sizes in :mod:`headfield.models.imhead.config`, the model in `model`."""
