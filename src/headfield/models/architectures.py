"""The models that can be built, trained and loaded, by the name that files and command lines use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from headfield.errors import ConfigError
from headfield.models.imface.config import PRESETS as IMFACE
from headfield.models.imface.config import ImFaceConfig
from headfield.models.imface.model import ImFace
from headfield.models.imhead.config import PRESETS as IMHEAD
from headfield.models.imhead.config import ImHeadConfig
from headfield.models.imhead.model import ImHead
from headfield.models.mononphm.config import PRESETS as MONONPHM
from headfield.models.mononphm.config import MonoNphmConfig
from headfield.models.mononphm.model import MonoNphm
from headfield.models.mononphm.published import mononphm_of
from headfield.models.nphm.config import PRESETS as NPHM
from headfield.models.nphm.config import NphmConfig
from headfield.models.nphm.open_mouth import nphm_model
from headfield.models.nphm.published import nphm_of
from headfield.models.npm.config import PRESETS as NPM
from headfield.models.npm.config import NpmConfig
from headfield.models.npm.model import Npm
from headfield.models.protocol import TrainableModel
from headfield.models.published import Published, from_one_file, from_two_files


@dataclass(frozen=True)
class Architecture:
    """How a kind of model is built.

    Attributes:
        config: Its configuration, a dataclass of plain values.
        build: ``build(config, box=, mean_anchors=, prior=)`` gives a model with random weights; all three may be None.
        presets: Functions that return a configuration, by name.
        published: How its authors published their checkpoints; None where there are none that can be read.
    """

    config: type
    build: Callable[..., TrainableModel]
    presets: Mapping[str, Callable[[], Any]]
    published: Published | None = None

    def preset(self, name: str) -> Any:
        """The configuration of a preset.

        Raises:
            ConfigError: There is none of this name.
        """
        if name not in self.presets:
            raise ConfigError(f"Unknown preset {name!r}: choose one of {', '.join(self.presets)}.")
        return self.presets[name]()


ARCHITECTURES = {
    "imhead": Architecture(ImHeadConfig, ImHead, IMHEAD),
    "nphm": Architecture(NphmConfig, nphm_model, NPHM, Published("decoder_state_dict", 39, from_two_files, nphm_of)),
    "npm": Architecture(NpmConfig, Npm, NPM),
    "imface": Architecture(ImFaceConfig, ImFace, IMFACE),
    "mononphm": Architecture(
        MonoNphmConfig, MonoNphm, MONONPHM, Published("id_decoder", 65, from_one_file, mononphm_of)
    ),
}


def architecture(name: str) -> Architecture:
    """The architecture of a name.

    Raises:
        ConfigError: Unknown.
    """
    if name not in ARCHITECTURES:
        raise ConfigError(f"Unknown model {name!r}: this headfield knows {', '.join(ARCHITECTURES)}.")
    return ARCHITECTURES[name]
