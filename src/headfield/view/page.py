"""What viser's page does not do by itself: our name as its title, and files dropped anywhere on it.

viser's upload buttons open a file chooser and take no drops. An element without extent brings a handler that gives a
dropped file to the upload button of the open tab, so that it travels, and is limited, like any other upload.
"""

from __future__ import annotations

_SCRIPT = """
if (!window.headfieldDrop) {
  window.headfieldDrop = true;
  document.title = 'headfield';
  window.addEventListener('dragover', event => event.preventDefault());
  window.addEventListener('drop', event => {
    event.preventDefault();
    const inputs = [...document.querySelectorAll('input[type=file]')];
    const input = inputs.find(each => each.parentElement.offsetParent);
    if (!input || !event.dataTransfer.files.length) return;
    const one = new DataTransfer();
    one.items.add(event.dataTransfer.files[0]);
    input.files = one.files;
    input.dispatchEvent(new Event('change', { bubbles: true }));
  });
}
"""

_PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"


def prepare(gui) -> None:
    """Prepare the page of a viser server."""
    script = " ".join(_SCRIPT.split())
    gui.add_html(f'<img src="{_PIXEL}" onload="{script}" style="display:none">')
