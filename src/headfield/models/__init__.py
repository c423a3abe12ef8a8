"""Head models: codes -> a signed distance field, one folder or module each, and released weights.

Only what names a model stands here, without torch, so that command lines can say it at once.
"""

DEFAULT = "imhead-open-small"
"""The model that is taken where none is named."""
