"""The article's listing and equations against a few lines of float64 numpy."""

import math

import numpy as np
import pytest
import torch

from imagen_fast.errors import SpecError
from imagen_fast.models import listing
from imagen_fast.spec import PRESETS


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def weights(module):
    return {name: p.detach().numpy() for name, p in module.named_parameters()}


def attention(w, x):
    q, k, v = (x @ w[f"{n}.weight"].T + w[f"{n}.bias"] for n in "qkv")
    mixed = softmax(np.maximum(q @ k.T / math.sqrt(x.shape[1]), 0)) @ v
    return mixed @ w["out.weight"].T + w["out.bias"]


def rows(n, d):
    torch.manual_seed(0)
    return 3 * torch.randn(n, d, dtype=torch.float64)


def test_self_attention():
    x = rows(7, 6)
    module = listing.SelfAttention(6).double()
    np.testing.assert_allclose(
        module(x).detach(), attention(weights(module), x.numpy()), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("n", [1, 5])
def test_generator_is_the_decoder_of_the_encoder(n):
    x = rows(n, 64)
    model = listing.ListingGenerator(PRESETS["listing"]).double()
    truth = x.numpy()
    for stack in (model.encoder, model.decoder):
        assert len(stack) == 2
        for layer in stack:
            truth = attention(weights(layer), truth)
    np.testing.assert_allclose(model(x).detach(), truth, rtol=1e-12, atol=1e-12)
    batch = torch.stack([x, 2 * x])
    torch.testing.assert_close(model(batch)[1], model(2 * x))


def test_generator_refuses_a_hierarchical_spec():
    with pytest.raises(SpecError, match="listing"):
        listing.ListingGenerator(PRESETS["tiny"])


def test_discriminator():
    x = rows(4, 6)
    module = listing.ListingDiscriminator(6).double()
    w = weights(module)
    truth = 1 / (1 + np.exp(-(x.numpy() @ w["linear.weight"].T + w["linear.bias"])))
    np.testing.assert_allclose(module(x).detach(), truth, rtol=1e-12)


def layer_norm(w, x):
    centred = x - x.mean(1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5)
    return scaled * w["norm.weight"] + w["norm.bias"]


def multi_head(w, x, context, heads):
    inputs = {"q": x, "k": context, "v": context}
    q, k, v = (y @ w[f"attention.{name}.weight"].T for name, y in inputs.items())
    parts = [
        softmax(qh @ kh.T / math.sqrt(qh.shape[1])) @ vh
        for qh, kh, vh in zip(*(np.split(y, heads, axis=1) for y in (q, k, v)), strict=True)
    ]
    return np.concatenate(parts, axis=1) @ w["attention.out.weight"].T


@pytest.mark.parametrize("heads", [1, 3])
def test_the_equations_of_the_layers(heads):
    x, context = rows(5, 6), 2 * rows(9, 6)
    encoder = listing.EncoderLayer(6, heads).double()
    decoder = listing.DecoderLayer(6, heads).double()
    for layer in (encoder, decoder):
        torch.nn.init.normal_(layer.norm.weight)
        torch.nn.init.normal_(layer.norm.bias)
    for layer, args in ((encoder, (x,)), (decoder, (x,)), (decoder, (x, context))):
        w, first, last = weights(layer), args[0].numpy(), args[-1].numpy()
        truth = layer_norm(w, first) + layer_norm(w, multi_head(w, first, last, heads))
        np.testing.assert_allclose(layer(*args).detach(), truth, rtol=1e-11, atol=1e-12)


def test_heads_must_divide_the_width():
    with pytest.raises(SpecError, match="multiple of heads 4"):
        listing.EncoderLayer(6, 4)


def test_the_losses():
    real, fake = np.array([0.9, 0.4]), np.array([0.2, 0.3, 0.7])
    loss = listing.discriminator_loss(torch.tensor(real), torch.tensor(fake)).item()
    assert loss == pytest.approx(-np.log(real).mean() - np.log(1 - fake).mean(), rel=1e-12)
    loss = listing.generator_loss(torch.tensor(fake)).item()
    assert loss == pytest.approx(-np.log(fake).mean(), rel=1e-12)
