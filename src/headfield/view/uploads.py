"""Refusing uploads that are too large before they fill the memory.

viser keeps every part of an upload until the last one is there and has no limit. The message that announces an upload
tells its size: a too large one is not begun, its parts then belong to nothing and are dropped as they come.
"""

from __future__ import annotations

from collections.abc import Callable


def limit_uploads(server, most_bytes: int, refused: Callable[[str, int], None]) -> None:
    """Refuse uploads to a viser server above a size.

    Args:
        server: A viser server.
        most_bytes: Largest size allowed.
        refused: Called with the name and the size of a file that was refused.
    """
    from viser import _messages

    gui = server.gui
    interface, begin = gui._websock_interface, gui._handle_file_transfer_start

    def guarded(client_id: int, message) -> None:
        if message.size_bytes <= most_bytes:
            begin(client_id, message)
            return
        # the page shows an upload until it is told that all has arrived
        interface.queue_message(
            _messages.FileTransferPartAck(
                source_component_uuid=message.source_component_uuid,
                transfer_uuid=message.transfer_uuid,
                transferred_bytes=message.size_bytes,
                total_bytes=message.size_bytes,
            )
        )
        refused(message.filename, message.size_bytes)

    interface.unregister_handler(_messages.FileTransferStartUpload, begin)
    interface.register_handler(_messages.FileTransferStartUpload, guarded)
