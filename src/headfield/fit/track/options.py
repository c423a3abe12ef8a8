"""What is known about a depth video and how to track it, as one dataclass."""

from __future__ import annotations

from dataclasses import dataclass, field

from headfield.errors import ConfigError
from headfield.fit.gate import Gate
from headfield.fit.problem import SolverOptions


@dataclass(frozen=True)
class TrackOptions:
    """How a depth video is tracked."""

    fps: float = 30.0
    """Frames per second of the video."""
    keys: int = 5
    """Frames that the identity is found from, spread over the video."""
    key_points: int = 900
    """Points of each of those that the solver uses."""
    key_iterations: int = 6
    """Most steps in which identity and expressions of those are solved together, and as many again with one size."""
    points: int = 700
    """Points of a frame that its last step uses: a quarter about the eyes, five twelfths on the rest of the face."""
    early_points: int = 350
    """Points of the steps before."""
    steps: int = 3
    """Steps of a frame that begins where the last one led it to."""
    far_steps: int = 7
    """Steps of a frame that begins elsewhere: the first, and after the face was lost."""
    gate: Gate = field(default_factory=lambda: Gate(0.03, 0.008, 3))
    """Outlier gate of the steps (model units): of a frame that follows another one."""
    far_gate: Gate = field(default_factory=lambda: Gate(0.06, 0.008, 6))
    """The same of a frame that begins elsewhere."""
    solver: SolverOptions = field(default_factory=lambda: SolverOptions(hair=False))
    """Noise, patches and strengths of the priors."""
    lid_patch: float = 0.016
    """Side of the patches of surface about the eyes that count as one observation each (model units, 4 mm; the face's
    have 12). Lids are as narrow as that, and over a video the model's own error about them stays the same."""
    relaxed: float = 0.5
    """Share of what the prior takes from expression numbers, which draws them to rest: in a video the frames around
    hold what one frame hardly shows. Sides stay tied."""
    smooth: float = 1.0
    """How strong the prior on movements is in the end; 0 leaves every frame where its own points put it, held only by
    where it was led to."""
    seed: int = 0
    """Seed of the choice of points."""
    search_every: int = 5
    """While the face is lost the whole picture is searched in every so many frames; in between only where it was."""


def checked(options: TrackOptions) -> TrackOptions:
    """The options, if a video can be tracked with them.

    Raises:
        ConfigError: A number makes no sense.
    """
    if not 0 < options.fps <= 1000:
        raise ConfigError(f"{options.fps:g} frames per second: choose more than 0 and at most 1000.")
    if options.keys < 1 or options.steps < 1 or options.far_steps < 1 or options.search_every < 1:
        raise ConfigError("keys, steps, far_steps and search_every of a tracking must be at least 1.")
    if not 0 <= options.smooth < 1e6:
        raise ConfigError(f"smooth = {options.smooth:g}: expected 0 (no smoothing) or more; 1 is usual.")
    return options
