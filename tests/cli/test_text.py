"""Plain text for people."""

import pytest

from imagen_fast.cli.text import file_size


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0.0 kB"),
        (340, "0.3 kB"),
        (41_512, "41.5 kB"),
        (99_949, "99.9 kB"),
        (99_999, "100.0 kB"),
        (100_000, "0.1 MB"),
        (3_080_000, "3.1 MB"),
    ],
)
def test_a_small_file_is_not_empty_in_print(count: int, text: str) -> None:
    assert file_size(count) == text
