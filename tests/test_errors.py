"""A missing package is named with the command that brings it."""

from __future__ import annotations

import pytest

from headfield.errors import MissingExtra, need


@pytest.mark.parametrize(
    ("extra", "command"), [("synth", "pip install 'headfield[synth]'"), ("", "pip install nowhere")]
)
def test_need_says_what_to_install(extra, command):
    with pytest.raises(MissingExtra) as caught:
        need("nowhere.inside", extra, "Ray casting")
    assert str(caught.value).startswith(f"Ray casting needs nowhere.inside: {command} (")


def test_need_gives_the_module():
    assert need("math", "synth", "Arithmetic").pi > 3
