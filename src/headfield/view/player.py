"""Plays an expression track on a baked head: vertices only, the topology stays."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from headfield.edit.tracks import Track
from headfield.surface.baked import Baked
from headfield.types import Mesh
from headfield.view.canvas import Canvas


class Player:
    """One take at a time, in its own thread, again and again until it is stopped."""

    def __init__(self, canvas: Canvas) -> None:
        """Draws on a canvas."""
        self.canvas = canvas
        self.playing = False
        self.frames = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def play(self, baked: Baked, track: Track, pivot: np.ndarray, ended: Callable[[], None]) -> None:
        """Start a take.

        Args:
            baked: The head.
            track: Evenly spaced times.
            pivot: (3,) what the head's rotation turns about, model frame.
            ended: Called when it is over.
        """
        self.stop()
        self._stop = threading.Event()
        self.playing = True
        arguments = (baked, track, pivot, ended, self._stop)
        self._thread = threading.Thread(target=self._run, args=arguments, name="headfield-player", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop, if something plays."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._stop.set()
        if thread is not threading.current_thread():
            thread.join(2)
        self.playing = False

    def _run(self, baked: Baked, track: Track, pivot, ended: Callable[[], None], stop: threading.Event) -> None:
        begin, length = time.perf_counter(), max(track.seconds, 0.05)
        try:
            while not stop.is_set():
                frame = min(int(((time.perf_counter() - begin) % length) * track.fps), len(track) - 1)
                weights = track.weights[frame]
                turn = np.eye(3) if track.rotation is None else track.rotation[frame]
                head = Mesh((baked.posed(weights) - pivot) @ turn.T + pivot, baked.triangles)
                parts = [(part, replace(mesh, vertices=(mesh.vertices - pivot) @ turn.T + pivot))
                         for part, mesh in baked.posed_parts(weights)]  # fmt: skip
                self.canvas.show(head, parts=parts)
                self.frames += 1
                stop.wait(max(0.0, 1.0 / track.fps - 0.005))
        finally:
            self.playing = False
            ended()
