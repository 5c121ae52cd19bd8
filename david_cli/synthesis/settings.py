"""What is drawn at random for the samples rendered from photographs; recorded in every pack."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from david_cli.synthesis.camera import SceneRange
from david_cli.synthesis.exposure import LEVELS, STRIDE

LevelChoice = Literal["random", "each"]


@dataclass(frozen=True, kw_only=True)
class SampleSettings:
    """How one sample is drawn, whether into a pack or on the training device."""

    size: int = 96
    """Edge length of a sample in pixels."""
    frames: int = 7
    stride: int = STRIDE
    levels: tuple[int, ...] = LEVELS
    """Sub-frames per exposure."""
    level_choice: LevelChoice = "random"
    """One level per sample, drawn uniformly; or each scene at each level, one after the other."""
    scene: SceneRange = field(default_factory=SceneRange)
    strength: float = 1.0
    """Factor on every speed of ``scene``."""
    linear_share: float = 0.3
    """Share of samples averaged in linear light (``gamma``) instead of code values."""
    gamma: float = 2.2
    noise_share: float = 0.12
    """Share of samples with sensor noise."""
    compression_share: float = 0.12
    """Share of samples whose blurry frames went through JPEG of quality 50 to 95."""

    @property
    def moving_scene(self) -> SceneRange:
        """``scene`` at this strength."""
        return self.scene.faster(self.strength)

    def scene_and_level(self, k: int) -> tuple[int, int | None]:
        """Which scene sample ``k`` shows, and its level where chance has no say in it."""
        if self.level_choice == "random":
            return k, None
        scene, place = divmod(k, len(self.levels))
        return scene, self.levels[place]


@dataclass(frozen=True, kw_only=True)
class TextureSettings:
    """How photographs become the textures that a camera looks at."""

    smallest: float = 0.25
    """Photographs are reduced by a random factor of ``smallest`` to ``largest``: sharper truth."""
    largest: float = 0.8
    soft_share: float = 0.35
    """Share of pictures softened by a Gaussian of 0.4 to 1.2 pixels: real video is no reduced
    photograph, and what is soft in its truth must not be taken for motion blur."""


@dataclass(frozen=True, kw_only=True)
class PackSettings(SampleSettings, TextureSettings):
    """How the samples of a pack are drawn."""

    count: int
    """Number of samples."""
    seed: int = 1
