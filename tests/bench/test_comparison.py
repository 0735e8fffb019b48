"""What counts as slower: not a slower machine, not one unlucky statistic, but a slower engine."""

import pytest

from imagen_fast.bench.comparison import compare
from imagen_fast.errors import BenchmarkError

FAST = (9.0, 10.0, 11.0, 12.0)


def times(factor):
    return tuple(factor * value for value in FAST)


def test_a_slower_engine_fails(record_of, row):
    found = compare(record_of(row(*times(1.2))), record_of(row(*FAST)))
    (ratio,) = found.ratios
    assert ratio.raw == pytest.approx(1.2)
    assert ratio.calibrated == pytest.approx(1.2)
    assert found.failures(25) == []
    assert found.failures(10) == ["sr-x4-tiny, native fp32, 256²: 20 % slower"]


def test_a_slower_machine_does_not(record_of, row):
    now = record_of(row(*times(2)), yardstick=20)
    found = compare(now, record_of(row(*FAST)))
    assert found.ratios[0].raw == pytest.approx(2)
    assert found.ratios[0].calibrated == pytest.approx(1)
    assert found.failures(1) == []


def test_a_faster_machine_hides_nothing(record_of, row):
    now = record_of(row(*FAST), yardstick=5, cpu="another")
    found = compare(now, record_of(row(*FAST)))
    assert found.other_machine
    assert found.failures(50)


def test_an_idle_machine_accuses_nobody(record_of, row):
    now = record_of(row(*FAST), yardstick=5)
    assert compare(now, record_of(row(*FAST))).failures(1) == []


def test_what_has_not_changed_says_how_slow_the_machine_is(record_of, row):
    """The yardstick was lucky; two runtimes of the same version say that the machine is slower."""

    def run(native, others):
        rows = [row(*times(others), runtime=name) for name in ("openvino", "onnxruntime")]
        return record_of(row(*times(native)), *rows)

    found = compare(run(1.3, 1.25), run(1, 1))
    assert found.ratios[0].calibrated == pytest.approx(1.3 / 1.25)
    assert found.failures(10) == []
    newer = run(1.3, 1.25)
    newer.machine["versions"] = {"openvino": "2", "onnxruntime": "2", "numpy": "2"}
    assert compare(newer, run(1, 1)).failures(10) != []  # other versions say nothing


def test_noise_is_no_regression(record_of, row):
    noisy = (8.0, 8.5, 12.0, 12.5, 20.0)
    now = record_of(row(*(1.15 * t for t in noisy)))
    assert compare(now, record_of(row(*noisy))).failures(10) == []


def test_load_on_half_of_the_runs_is_no_regression(record_of, row):
    now = record_of(row(9.0, 18.0, 20.0, 22.0))
    found = compare(now, record_of(row(*FAST)))
    assert found.ratios[0].calibrated > 1.5
    assert found.failures(10) == []


def test_a_row_that_lost_its_time_fails(record_of, row):
    wrong = row(outcome="wrong", why="12 dB to PyTorch fp32; expected 80 dB or more")
    found = compare(record_of(wrong), record_of(row(*FAST)))
    assert found.failures(1000) == [f"sr-x4-tiny, native fp32, 256²: wrong, {wrong.why}"]


def test_another_instruction_set_is_said(record_of, row):
    now, old = row(*times(3), isa="generic"), row(*FAST, isa="avx512")
    (failure,) = compare(record_of(now), record_of(old)).failures(10)
    assert failure.endswith("200 % slower (avx512 before, generic now)")


def test_peers_decide_nothing(record_of, row):
    now = record_of(row(*times(9), runtime="openvino"))
    assert compare(now, record_of(row(*FAST, runtime="openvino"))).failures(1) == []


def test_what_was_not_measured_now_is_named(record_of, row):
    old = record_of(row(*FAST), row(*FAST, size=64))
    found = compare(record_of(row(*FAST)), old)
    assert [absent.size for absent in found.absent] == [64]
    assert found.failures(1) == []


@pytest.mark.parametrize(
    "change", [{"threads": 1}, {"batch": 2}, {"precision": "bf16"}, {"asked_isa": "avx2"}], ids=str
)
def test_nothing_in_common(record_of, row, change):
    with pytest.raises(BenchmarkError, match="no row in common"):
        compare(record_of(row(*FAST, **change)), record_of(row(*FAST)))
