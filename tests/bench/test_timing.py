"""Quantiles, turns, and what counts as right."""

import time

import numpy as np
import pytest

from imagen_fast.bench.check import check
from imagen_fast.bench.timing import Summary, for_a_while, in_turns

TRUTH = np.random.default_rng(0).random((1, 64, 64, 3), np.float32)


def test_quantiles_are_times_that_were_measured_and_the_mean_has_all():
    found = Summary.of([5.0, 1.0, 4.0, 2.0, 3.0])
    assert (found.n, found.p25, found.p50, found.p75, found.p90) == (5, 2, 3, 4, 5)
    assert (found.mean, found.spread) == (3, pytest.approx(2 / 3))
    of_a_hundred = Summary.of([float(value) for value in range(100, 0, -1)])
    assert (of_a_hundred.p25, of_a_hundred.p50, of_a_hundred.p90) == (25, 50, 90)
    with_outlier = Summary.of([1.0] * 9 + [101.0])
    assert (with_outlier.p50, with_outlier.p90, with_outlier.mean) == (1, 1, 11)


def test_everyone_has_as_many_turns_in_another_order_each_round():
    order: list[str] = []

    def turn(name):
        return lambda: order.append(name) or [float(len(order))]

    samples = in_turns({name: turn(name) for name in "abc"}, 60, most=20)
    assert [len(times) for times in samples.values()] == [20] * 3
    rounds = ["".join(order[i : i + 3]) for i in range(0, 60, 3)]
    assert {"".join(sorted(x)) for x in rounds} == {"abc"}
    assert len(set(rounds)) > 3


def test_it_ends_with_the_time_but_not_before_three_rounds():
    start = time.monotonic()
    slow = {"slow": lambda: time.sleep(0.1) or [100.0]}
    assert len(in_turns(slow, 0)["slow"]) == 3
    assert 5 <= len(in_turns(slow, 1)["slow"]) <= 10
    assert time.monotonic() - start < 5
    assert in_turns({}, 60) == {}


def test_a_turn_counts_every_run_after_some_that_do_not():
    ran: list[float] = []
    times = for_a_while(lambda: ran.append(time.sleep(0.01) or 0), 0.2)()
    assert 2 <= len(times) < len(ran)
    assert all(10 <= t < 10_000 for t in times)


@pytest.mark.parametrize(
    ("precision", "bar", "error"),
    [("fp32", 80, 1e-4), ("fp16", 50, 10**-2.5), ("bf16", 50, 10**-2.5)],
)
def test_the_bar_of_each_precision(precision, bar, error):
    signs = np.random.default_rng(1).choice(np.float32([-1, 1]), TRUTH.shape)
    found, wrong = check(TRUTH + np.float32(0.98 * error) * signs, TRUTH, precision)
    assert not wrong
    assert bar < found < bar + 0.3
    _, wrong = check(TRUTH + np.float32(1.02 * error) * signs, TRUTH, precision)
    assert wrong.endswith(f" dB to the answer; expected {bar} dB or more")
    assert check(TRUTH, TRUTH, precision) == (None, "")


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_what_no_precision_excuses(precision):
    for output, why in (
        (np.where(TRUTH > 0.99, np.nan, TRUTH), "not finite to the answer"),
        (TRUTH[:, :32, :32], "gives (1, 32, 32, 3); expected (1, 64, 64, 3)"),
        (TRUTH[:, ::-1], " dB to the answer; expected"),
    ):
        assert why in check(output, TRUTH, precision)[1]
