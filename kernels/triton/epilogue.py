"""What every kernel does with its sums before they are stored."""

# mypy: disable-error-code="no-untyped-def"

import triton
import triton.language as tl

ACTIVATIONS = (
    *("none", "relu", "leaky_relu", "prelu", "silu", "sigmoid", "gelu", "gelu_tanh"),
    *("mish", "tanh", "hard_swish", "elu", "softplus"),
)
# And "clamp": of sums alone.
FUNCTIONS = ("clamp", "abs", "square", "sqrt", "reciprocal", "exp", "log", "erf", "power")


@triton.jit
def tanh(x):
    """By the hardware's instruction, to 2⁻¹¹ of the value: enough for what is rounded to bf16."""
    return tl.inline_asm_elementwise(
        "tanh.approx.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1
    )


@triton.jit
def activate(x, slopes, ACTIVATION: tl.constexpr, SLOPE: tl.constexpr, ROUGH: tl.constexpr):
    """The activation of fp32 values; `slopes` are those of their channels, or None.

    SLOPE: of what has one, and the exponent of power. ROUGH: sigmoids may have an error of 2⁻¹².
    """
    if ACTIVATION == "relu":
        x = tl.where(x < 0, 0.0, x)  # NaN stays, which a GPU's maximum would hide
    elif ACTIVATION == "leaky_relu":
        x = tl.where(x > 0, x, x * SLOPE)
    elif ACTIVATION == "prelu":
        x = tl.where(x > 0, x, x * slopes)
    elif ACTIVATION == "silu":
        x = 0.5 * x * (1 + tanh(0.5 * x)) if ROUGH else x * tl.sigmoid(x)
    elif ACTIVATION == "sigmoid":
        x = 0.5 + 0.5 * tanh(0.5 * x) if ROUGH else tl.sigmoid(x)
    elif ACTIVATION == "gelu":
        x = 0.5 * x * (1 + tl.erf(x * 0.7071067811865476))
    elif ACTIVATION == "gelu_tanh":
        x = x * tl.sigmoid(1.5957691216057308 * (x + 0.044715 * x * x * x))
    elif ACTIVATION == "mish":  # tanh(log(1 + e)) = e · (e + 2) / (e · (e + 2) + 2)
        e = tl.exp(tl.minimum(x, 20.0))
        x = x * (e * (e + 2) / (e * (e + 2) + 2))
    elif ACTIVATION == "tanh":
        x = tanh(x) if ROUGH else 2 * tl.sigmoid(2 * x) - 1
    elif ACTIVATION == "hard_swish":
        x = x * tl.minimum(tl.maximum(x / 6 + 0.5, 0.0), 1.0)
    elif ACTIVATION == "elu":
        x = tl.where(x > 0, x, SLOPE * (tl.exp(x) - 1))
    elif ACTIVATION == "softplus":
        x = tl.maximum(x, 0.0) + tl.log(1 + tl.exp(-tl.abs(x)))
    elif ACTIVATION == "abs":
        x = tl.abs(x)
    elif ACTIVATION == "square":
        x = x * x
    elif ACTIVATION == "sqrt":
        x = tl.sqrt(x)
    elif ACTIVATION == "reciprocal":
        x = 1 / x
    elif ACTIVATION == "exp":
        x = tl.exp(x)
    elif ACTIVATION == "log":
        x = tl.log(x)
    elif ACTIVATION == "erf":
        x = tl.erf(x)
    elif ACTIVATION == "power":
        of_size = tl.exp2(SLOPE * tl.log2(tl.abs(x)))
        if SLOPE % 2 == 0:
            x = of_size
        elif SLOPE % 2 == 1:
            x = tl.where(x < 0, -of_size, of_size)
        else:
            x = tl.where(x < 0, float("nan"), of_size)
    return x


@triton.jit
def finish(
    sums,  # (M, N) fp32
    channel,  # (N,) which channels they are
    bias,  # (C',) fp32, or None
    slopes,  # (C',) fp32, or None
    ACTIVATION: tl.constexpr,
    SLOPE: tl.constexpr,
    SCALE: tl.constexpr,
    ROUGH: tl.constexpr,
):
    """scale · activation(sums + bias)."""
    if bias is not None:
        sums += tl.load(bias + channel)[None, :]
    if ACTIVATION == "prelu":
        sums = activate(sums, tl.load(slopes + channel)[None, :], ACTIVATION, SLOPE, ROUGH)
    else:
        sums = activate(sums, None, ACTIVATION, SLOPE, ROUGH)
    if SCALE != 1.0:
        sums *= SCALE
    return sums


@triton.jit
def samples(pointer, place, mask):
    """Features, or a picture's samples, of which bytes are divided by 255, in fp32."""
    value = tl.load(pointer + place, mask=mask, other=0).to(tl.float32)
    if pointer.dtype.element_ty == tl.uint8:
        value = value / 255
    return value


@triton.jit
def store(out, place, value, mask, not_finite, CLAMP: tl.constexpr):
    """Features; or, where there is a flag, what leaves the network, whose flag is set if a value
    before the clamp is infinite or NaN."""
    if not_finite is not None:
        wrong = mask & ~(tl.abs(value) < float("inf"))  # NaN is less than nothing
        wrong = tl.max(wrong.to(tl.int32), axis=1)  # (M,)
        tl.store(not_finite + 0 * wrong, wrong, mask=wrong > 0)  # all store the same
        if CLAMP:
            if out.dtype.element_ty == tl.uint8:
                # From 2²³ on a float's last bit is worth 1: adding it rounds to even, and leaves
                # the integer in the lowest bits. Clamped in between, so that the two are not one.
                level = tl.minimum(tl.maximum(value * 255, 0.0), 255.0)
                tl.store(out + place, (level + 8388608.0).to(tl.int32, bitcast=True), mask=mask)
            else:
                tl.store(out + place, tl.minimum(tl.maximum(value, 0.0), 1.0), mask=mask)
        else:
            tl.store(out + place, value, mask=mask)
    else:
        tl.store(out + place, value.to(out.dtype.element_ty), mask=mask)


@triton.jit
def write(
    sums,  # (M, N) fp32
    channel,  # (N,)
    place,  # (M, N) in out
    mask,
    bias,
    slopes,
    first,  # like out: features, uint8 or fp32, or None
    second,
    out,
    ACTIVATION: tl.constexpr,
    SLOPE: tl.constexpr,
    SCALE: tl.constexpr,
):
    """scale · activation(sums + bias) + first + second, as features."""
    rough: tl.constexpr = out.dtype.element_ty == tl.bfloat16
    sums = finish(sums, channel, bias, slopes, ACTIVATION, SLOPE, SCALE, rough)
    if first is not None:
        sums += samples(first, place, mask)
    if second is not None:
        sums += samples(second, place, mask)
    tl.store(out + place, sums.to(out.dtype.element_ty), mask=mask)
