"""What a run has made: how many samples of each level, and how strong their blur is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from david_cli.synthesis.exposure import input_psnr
from david_cli.synthesis.packs import Pack


@dataclass
class Report:
    """What was made: counts, and how strong the blur is."""

    samples: dict[int, int] = field(default_factory=dict)
    """Pairs of frames, or windows, by level."""
    _psnr: dict[int, float] = field(default_factory=dict)

    @classmethod
    def of(cls, pack: Pack) -> Report:
        """What a finished pack holds."""
        report = cls()
        centre = pack.blurry.shape[1] // 2
        for blurry, sharp, level in zip(pack.blurry, pack.sharp, pack.level.tolist(), strict=True):
            report.count(level, blurry[centre], sharp)
        return report

    def count(self, level: int, blurry: Tensor, sharp: Tensor) -> None:
        """Add one blurry picture and its truth, (3, H, W) uint8."""
        psnr = input_psnr(blurry / 255, sharp / 255).item()
        self.samples[level] = self.samples.get(level, 0) + 1
        self._psnr[level] = self._psnr.get(level, 0.0) + psnr

    @property
    def mean_psnr(self) -> dict[int, float]:
        """Mean input PSNR in dB by level."""
        return {level: self._psnr[level] / n for level, n in sorted(self.samples.items())}

    def measured(self) -> dict[str, Any]:
        """For the record of the data."""
        psnr = {str(level): round(value, 2) for level, value in self.mean_psnr.items()}
        return {"samples": dict(sorted(self.samples.items())), "input_psnr": psnr}
