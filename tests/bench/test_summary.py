import pytest

from imagen_fast.bench.summary import Summary


def test_quantiles_are_times_that_were_measured():
    found = Summary.of([5.0, 1.0, 4.0, 2.0, 3.0])
    assert (found.n, found.p25, found.p50, found.p90, found.p99) == (5, 2, 3, 5, 5)
    assert found.mean == 3
    assert found.spread == pytest.approx((4 - 2) / 3)


def test_of_a_hundred():
    found = Summary.of([float(value) for value in range(100, 0, -1)])
    assert (found.p25, found.p50, found.p90, found.p99) == (25, 50, 90, 99)


def test_an_outlier_is_in_the_mean_and_the_tail():
    found = Summary.of([1.0] * 9 + [101.0])
    assert (found.p50, found.p90, found.p99, found.mean) == (1, 1, 101, 11)


def test_one_run():
    assert Summary.of([2.0]) == Summary(1, 2, 2, 2, 2, 2, 0)
