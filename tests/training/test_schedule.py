from itertools import pairwise

import pytest

from imagen_fast.training.schedule import Every, Schedule, rate


def test_the_rate_rises_and_falls_to_one_percent():
    rates = [rate(step, step / 100, warmup=10) for step in range(101)]
    assert rates[0] == pytest.approx(0.1, rel=0.01)
    peak = max(range(101), key=rates.__getitem__)
    assert peak == 9
    assert rates[9] > 0.97
    assert all(a > b for a, b in pairwise(rates[9:]))
    assert rates[100] == pytest.approx(0.01)
    assert rate(0, 0.0, warmup=0) == 1.0


@pytest.mark.parametrize(("steps", "minutes"), [(100, 0.0), (0, 2.0)])
def test_progress_never_passes_the_end(steps, minutes):
    schedule = Schedule(steps, minutes, warmup=10)
    parts = [schedule.progress(step, step * 1.2) for step in (0, 25, 50, 100, 101, 500)]
    assert parts == pytest.approx([0, 0.25, 0.5, 1, 1, 1])
    assert schedule.rate(500, 600.0) == pytest.approx(0.01)
    assert schedule.left(50, 60.0) == pytest.approx(60.0)
    assert schedule.left(0, 0.0) == schedule.left(500, 600.0) == 0.0


@pytest.mark.parametrize(("steps", "minutes"), [(100, 0.0), (0, 2.0)])
def test_a_schedule_that_begins_later_is_the_same_from_there(steps, minutes):
    first = Schedule(steps, minutes, warmup=10)
    later = Schedule(steps, minutes, warmup=10, first_step=40, first_second=1000.0)
    for step in (0, 3, 30, 99, 120):
        seconds = step * 1.2
        there = (step + 40, seconds + 1000.0)
        assert later.progress(*there) == pytest.approx(first.progress(step, seconds))
        assert later.rate(*there) == pytest.approx(first.rate(step, seconds))
        assert later.left(*there) == pytest.approx(first.left(step, seconds))


def test_something_is_due_at_the_start_and_then_by_steps_or_by_seconds():
    every = Every(steps=100, seconds=10.0)
    assert every.due(1, 0.5)
    every.done(0.5)
    assert not every.due(2, 10.4)
    assert every.due(3, 10.5)  # slow steps: the time counts
    every.done(12.0)
    assert not every.due(4, 21.9)
    assert every.due(100, 12.1)  # fast steps: their number counts
