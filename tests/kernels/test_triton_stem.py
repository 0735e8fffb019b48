"""The stem's kernel against PyTorch's convolution in float64."""

import pytest
import torch
from tolerance import DEVICE, DTYPES, assert_parity
from torch import nn

triton_kernel = pytest.importorskip("imagen_fast.kernels.triton.stem")

# N, H, W, image channels, C
CASES = {
    "several blocks that end inside a row, batch": (2, 9, 11, 3, 32),
    "one pixel, channels that fill no block": (1, 1, 1, 3, 20),
    "one row": (3, 1, 7, 1, 16),
    "one column": (1, 5, 1, 2, 16),
    "more samples than 32 around a pixel": (1, 4, 5, 4, 48),
    "several blocks of channels": (1, 3, 5, 3, 192),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sample", [torch.uint8, torch.float32])
@pytest.mark.parametrize("case", CASES)
def test_parity(case, sample, dtype):
    n, h, w, image_channels, c = CASES[case]
    torch.manual_seed(0)
    conv = nn.Conv2d(image_channels, c, 3, padding=1).to(DEVICE)
    image = torch.randint(0, 256, (n, h, w, image_channels), dtype=torch.uint8, device=DEVICE)
    values = image.double() / 255
    if sample == torch.float32:
        image = values = torch.rand(image.shape, device=DEVICE)

    def reference(kind):
        with torch.inference_mode():
            x = values.to(kind).permute(0, 3, 1, 2)
            weight, bias = conv.weight.to(kind), conv.bias.to(kind)
            return nn.functional.conv2d(x, weight, bias, padding=1).permute(0, 2, 3, 1).double()

    weights = triton_kernel.pack_stem(conv.weight.detach(), conv.bias.detach(), dtype, DEVICE)
    out = torch.full((n, h, w, c), torch.nan, dtype=dtype, device=DEVICE)
    assert triton_kernel.stem(image, weights, out=out, config={"block_m": 64}) is out
    assert_parity(out, reference(torch.float64), reference(dtype))


def test_allocates_what_it_is_not_given():
    weights = triton_kernel.pack_stem(torch.ones(16, 1, 3, 3), torch.ones(16), DTYPES[0], DEVICE)
    white = torch.full((1, 2, 3, 1), 255, dtype=torch.uint8, device=DEVICE)
    got = triton_kernel.stem(white, weights)
    # As many ones as a pixel has neighbours in the picture, itself among them, and the bias.
    expected = torch.tensor([[5.0, 7.0, 5.0]] * 2, device=DEVICE)[None, :, :, None]
    torch.testing.assert_close(got, expected.expand(1, 2, 3, 16), rtol=1e-6, atol=0)
