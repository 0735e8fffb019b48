"""The kernel's counters, as files of its own form."""

import pytest

from imagen_fast.bench.energy import Meter


@pytest.fixture
def package(tmp_path):
    """Two processors; the first has a part of its own, which is counted in it."""
    zones = {"intel-rapl:0": 5_000_000, "intel-rapl:1": 900, "intel-rapl:0:0": 1}
    for name, energy in zones.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(f"{energy}\n")
        (tmp_path / name / "max_energy_range_uj").write_text("9999999\n")
    return tmp_path


def test_joules_of_all_packages_and_over_the_counter_s_end(package):
    def work():
        (package / "intel-rapl:0" / "energy_uj").write_text("7000000\n")
        (package / "intel-rapl:1" / "energy_uj").write_text("400\n")  # began again
        (package / "intel-rapl:0:0" / "energy_uj").write_text("9000000\n")
        return "done"

    result, joules = Meter(package).around(work)
    assert result == "done"
    assert joules == pytest.approx((2_000_000 + 10_000_000 - 500) / 1e6)


def test_nobody_tells(tmp_path):
    assert Meter(tmp_path).around(lambda: 1) == (1, None)
