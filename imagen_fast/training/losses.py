"""How far pictures are from what they should be."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from imagen_fast.training.config import LossConfig


class PictureLoss:
    """Weighted sum of a pixel, a frequency and a coarse-level loss.

    - pixel: mean of |d| (`l1`), of √(d² + ε²), ε = 10⁻³ (`charbonnier`: Lai et al. 2017,
      arXiv:1704.03915), which is smooth at 0, or of d² (`l2`), or minus the PSNR in dB of each
      picture (`psnr`: Chen et al. 2021, arXiv:2105.06086), which counts a tenth of an error the
      same in hard and in easy pictures, up to about 40 dB;
    - frequency: mean |FFT(picture) - FFT(target)| of the orthonormal 2-D transform: L1 sees a
      texture's energy in few coefficients where the pixel loss sees it spread thin (Cho et
      al. 2021, arXiv:2108.05054);
    - coarse: the pixel loss of every coarser level's picture against the target averaged over
      2×2 pixels as often as needed, summed.

    Attributes:
        pixel: the first one's name.
        distance, frequency_distance: what computes the first and the second of two batches.
    """

    def __init__(self, config: LossConfig) -> None:
        self.pixel = config.pixel
        self.distance = DISTANCES[config.pixel]
        self.frequency_distance: Callable[[Tensor, Tensor], Tensor] = frequency_distance
        self.weights = {"pixel": 1.0, "frequency": config.frequency, "coarse": config.coarse}

    def __call__(self, pictures: Sequence[Tensor], target: Tensor) -> dict[str, Tensor]:
        """Pictures finest first (N, 3, H / 2^i, W / 2^i), target (N, 3, H, W), float32.

        Returns the parts of weight above 0, unweighted, and `loss`, their weighted sum.
        """
        parts = {"pixel": self.distance(pictures[0], target)}
        if self.weights["frequency"]:
            parts["frequency"] = self.frequency_distance(pictures[0], target)
        if self.weights["coarse"] and len(pictures) > 1:
            parts["coarse"] = torch.zeros_like(parts["pixel"])
            for picture in pictures[1:]:
                target = F.avg_pool2d(target, 2)
                parts["coarse"] = parts["coarse"] + self.distance(picture, target)
        loss = torch.stack([self.weights[name] * part for name, part in parts.items()]).sum()
        return {"loss": loss, **parts}


def charbonnier(a: Tensor, b: Tensor) -> Tensor:
    """Mean of √((a - b)² + 10⁻⁶)."""
    return ((a - b).square() + 1e-6).sqrt().mean()


def minus_psnr(a: Tensor, b: Tensor) -> Tensor:
    """Mean over pictures (N, C, H, W) in [0, 1] of 10·log₁₀(mean d² + 10⁻⁴): at least -40.

    With 10⁻⁶ all that paid was to leave clean pictures exactly as they are, and a model that
    restores gave back whatever was not plainly noisy.
    """
    return 10 * ((a - b).square().mean((1, 2, 3)) + 1e-4).log10().mean()


def spectrum_distance(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference of two batches' spectra, (N, C, H, W) and (M, C, H, W).

    A batch's spectrum is the mean of log |FFT| of its pictures, by frequency and channel: what the
    layers that enlarge write into all pictures alike is seen in it (Durall et al. 2020,
    arXiv:2003.01826).
    """

    def spectrum(x: Tensor) -> Tensor:
        return (torch.fft.rfft2(x, norm="ortho").abs() + 0.01).log().mean(0)

    return F.mse_loss(spectrum(a), spectrum(b))


def frequency_distance(a: Tensor, b: Tensor) -> Tensor:
    """Mean |FFT(a) - FFT(b)| over (N, C, H, W), orthonormal, each frequency of a pair once."""
    return torch.fft.rfft2(a - b, norm="ortho").abs().mean()


DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": F.l1_loss,
    "charbonnier": charbonnier,
    "l2": F.mse_loss,
    "psnr": minus_psnr,
}
