from collections.abc import Callable
from pathlib import Path

import pytest

from tests.configs.asked import IMPORTS


@pytest.fixture
def sweep_file(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a file of Python that builds a sweep."""

    def write(body: str) -> Path:
        path = tmp_path / "my_sweep.py"
        path.write_text(IMPORTS + body)
        return path

    return write
