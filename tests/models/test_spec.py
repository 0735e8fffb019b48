import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagen_fast.errors import SpecError
from imagen_fast.spec import PRESETS, Level, ModelSpec, preset

HIERARCHICAL = st.builds(
    ModelSpec,
    scale=st.integers(1, 4),
    levels=st.lists(
        st.builds(
            Level,
            channels=st.integers(1, 32).map(lambda n: 8 * n),
            depth=st.integers(1, 64),
            convs=st.integers(0, 64),
            attention=st.sampled_from(["window", "global"]),
        ),
        min_size=1,
        max_size=8,
    ).map(tuple),
    head_dim=st.sampled_from([1, 2, 4, 8]),
    window=st.integers(1, 32).map(lambda n: 2 * n),
    image_channels=st.integers(1, 4),
    latent_channels=st.integers(0, 4096),
)


@given(HIERARCHICAL)
def test_json_brings_every_spec_back(spec):
    assert ModelSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize("name", PRESETS)
def test_json_brings_every_preset_back(name):
    assert ModelSpec.from_json(PRESETS[name].to_json()) == PRESETS[name]


@given(
    st.sampled_from(
        [
            "scale",
            "head_dim",
            "window",
            "image_channels",
            "latent_channels",
            "levels",
            "architecture",
        ]
    ),
    st.one_of(
        st.none(),
        st.floats(),
        st.text(),
        st.booleans(),
        st.lists(st.integers(), min_size=1),
        st.integers(max_value=-1),
        st.integers(min_value=5000),
    ),
)
def test_a_value_out_of_range_is_a_spec_error(key, value):
    data = json.loads(PRESETS["tiny"].to_json())
    data[key] = value
    with pytest.raises(SpecError):
        ModelSpec.from_json(json.dumps(data))


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_text_that_is_no_spec_is_a_spec_error(text):
    with pytest.raises(SpecError):
        ModelSpec.from_json(text)


def test_a_missing_and_an_unknown_key_are_both_named():
    data = json.loads(PRESETS["tiny"].to_json())
    data["colour"] = data.pop("window")
    with pytest.raises(SpecError, match=r"\['colour', 'window'\]"):
        ModelSpec.from_json(json.dumps(data))


def test_channels_are_multiples_of_the_head():
    with pytest.raises(SpecError, match=r"levels\[1\].channels is 48; expected a multiple"):
        ModelSpec(levels=(Level(64), Level(48)))


@pytest.mark.parametrize(
    "changes",
    [
        {"scale": 2},
        {"latent_channels": 4},
        {"head_dim": 32},
        {"levels": (Level(64, 2, 0, "global"),) * 2},
        {"levels": (Level(64, 2, 1, "global"),)},
        {"levels": (Level(64, 2, 0, "window"),)},
    ],
)
def test_a_listing_is_literal(changes):
    with pytest.raises(SpecError, match="a listing has"):
        ModelSpec(**{**vars(PRESETS["listing"]), **changes})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scale": 2}, "scale 1"),
        ({"latent_channels": 4}, "no latent"),
        ({"levels": (Level(32, attention="global"),)}, "two levels or more"),
        ({"levels": (Level(8), Level(32))}, "global attention"),
        ({"levels": (Level(8), Level(40, attention="global"))}, "multiple of head_dim"),
    ],
)
def test_a_network_of_style_attends_at_its_coarsest_level(changes, said):
    right = {"scale": 1, "levels": (Level(8), Level(32, attention="global"))}
    assert ModelSpec("style", **right).levels[0].channels == 8
    with pytest.raises(SpecError, match=said):
        ModelSpec("style", **{**right, **changes})


def test_presets_take_a_scale_and_name_each_other():
    assert preset("tiny", 2).scale == 2
    with pytest.raises(SpecError, match="choose from tiny, small, base"):
        preset("huge")
