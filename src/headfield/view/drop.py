"""Dropping a file anywhere on the page: viser's upload buttons open a file chooser and take no drops.

An element without extent brings a handler that gives a dropped file to the button's own hidden input, so that it
travels, and is limited, like any other upload.
"""

from __future__ import annotations

_SCRIPT = """
if (!window.headfieldDrop) {
  window.headfieldDrop = true;
  addEventListener('dragover', event => event.preventDefault());
  addEventListener('drop', event => {
    event.preventDefault();
    const input = document.querySelector('input[type=file]');
    if (!input || !event.dataTransfer.files.length) return;
    const one = new DataTransfer();
    one.items.add(event.dataTransfer.files[0]);
    input.files = one.files;
    input.dispatchEvent(new Event('change', { bubbles: true }));
  });
}
"""

_PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"


def drop_target(gui) -> None:
    """Let the first upload button of a viser panel take files that are dropped on the page."""
    script = " ".join(_SCRIPT.split())
    gui.add_html(f'<img src="{_PIXEL}" onload="{script}" style="display:none">')
