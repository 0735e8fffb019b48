"""Networks that others published: beside the checkout's data, or where IMAGEN_FAST_DATA says."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def published(data: Path) -> Path:
    """Their folder."""
    folder = data.parent / "networks"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    return folder
