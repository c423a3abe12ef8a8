"""NPHM (Giebenhain et al., CVPR 2023): its sizes in :mod:`headfield.models.nphm.config`, the model in `model`."""
