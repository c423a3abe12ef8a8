"""Frame after frame: each begins where the last two lead it to; a face that is lost is looked for."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from headfield.errors import ScanError, present
from headfield.fit.normal_equations import ViewState
from headfield.fit.options import FitOptions
from headfield.fit.run import find_head
from headfield.fit.track.frame import FrameFit, solve_frame
from headfield.fit.track.identity import Known
from headfield.fit.track.options import TrackOptions
from headfield.fit.track.take import FOUND, LEFT, LOST
from headfield.io.depth_video import DAMAGED, VideoFrame
from headfield.types import Scan

_GONE = 0.3
"""Below this share of the face's places with a point nearby the person is not in the picture."""

_BARELY = 0.1
"""How strongly a frame is held where it was led to when that is a guess."""


@dataclass
class Tracker:
    """Follows one head through the frames that it is given, in order.

    Attributes:
        who: Who it is, and where the head stood in some frames.
        options: Points, steps, gates.
        known: What is known of the scans, for the search.
        names, marks, fits: Of every frame so far; a frame without a face has no fit.
        told: What reading complained of.
        unseen: Frames since the face was seen.
        searched: How many of those were candidates for a search of the whole picture.
    """

    who: Known
    options: TrackOptions
    known: FitOptions
    names: list[str] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)
    fits: list[FrameFit | None] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    unseen: int = 0
    searched: int = 0

    def follow(self, number: int, frame: VideoFrame) -> None:
        """Track the next frame."""
        self.names.append(frame.name)
        if frame.scan is None:
            self.marks.append(frame.mark)
            self.told += [frame.told] if frame.mark == DAMAGED else []
            self.fits.append(None)
            self.unseen += 1
            return
        fit, mark = self._found(number, frame.scan)
        was_gone = any(mark in (LEFT, LOST) for mark in self._since_seen())
        self.fits.append(fit)
        self.marks.append(mark if fit is None else FOUND if was_gone else "")
        self.unseen = 0 if fit is not None else self.unseen + 1
        self.searched = 0 if fit is not None else self.searched

    def _since_seen(self) -> list[str]:
        """Marks of the frames since the face was last seen."""
        return self.marks[len(self.marks) - self.unseen :] if self.unseen else []

    def _found(self, number: int, scan: Scan) -> tuple[FrameFit | None, str]:
        """A frame's fit, or why there is none."""
        person, options = self.who.person, self.options
        led = self._led(number)
        near = self.unseen == 0 and bool(self.fits)
        best = None if led is None else solve_frame(person, scan, led, options, not near, 1.0 if near else _BARELY)
        if best is not None and best.good and not near:
            return self._closer(scan, best), ""
        if best is not None and best.sure:
            return best, ""
        if near:
            last = present(self.fits[-1], "the last frame").state
            again = solve_frame(person, scan, last, options, far=True, lead=_BARELY)
            best = max((one for one in (best, again) if one is not None), key=lambda one: one.explained, default=None)
            if best is not None and best.good:
                return best, ""
        self.searched += 1
        if (self.searched - 1) % self.options.search_every == 0:
            again = self._searched(scan)
            if again is not None and again.good:
                return self._closer(scan, again), ""
        return None, LEFT if best is None or best.seen < _GONE else LOST

    def _closer(self, scan: Scan, found: FrameFit) -> FrameFit:
        """A frame that began elsewhere, once more from where it ended: the frames after it build upon it."""
        again = solve_frame(self.who.person, scan, found.state, self.options, far=False, lead=_BARELY)
        return found if again is None or not again.good else again

    def _led(self, number: int) -> ViewState | None:
        """Where a frame begins: as the head went on from the last two; else where it was last, or at the nearest of
        the frames that told who it is; None when there are none."""
        seen = [fit.state for fit in self.fits if fit is not None][-1:]
        if not seen and not self.who.keys:
            return None
        if not seen:
            key = min(self.who.keys, key=lambda other: abs(other - number))
            return self.who.keys[key]
        before = self.fits[-2] if len(self.fits) > 1 else None
        if self.unseen or before is None:
            return seen[0]
        last, before = seen[0], before.state
        change = last.similarity.after(before.similarity.inverse())
        return replace(last, similarity=self.who.person.sized(change.after(last.similarity)))

    def _searched(self, scan: Scan) -> FrameFit | None:
        """The face wherever in the picture it is."""
        try:
            placement, _ = find_head(scan, self.who.person.model, self.known)
        except ScanError:
            return None
        rest = np.array(self.who.person.model.expression_space.rest, dtype=float)
        start = ViewState(self.who.person.sized(placement.similarity), rest, self.who.person.free)
        return solve_frame(self.who.person, scan, start, self.options, far=True, lead=_BARELY)

    def notes(self) -> list[str]:
        """What the marks come to, a sentence each."""
        counted = {mark: self.marks.count(mark) for mark in dict.fromkeys(self.marks) if mark not in ("", FOUND)}
        found = [f"{count} of {len(self.marks)} frames: {mark}; bridged." for mark, count in counted.items()]
        return found + ([f"The first that was damaged: {self.told[0]}"] if self.told else [])
