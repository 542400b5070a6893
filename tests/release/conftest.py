"""What scripts/release has made, in dist/ or NOEXD_DIST."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/tools"))


@pytest.fixture(scope="session")
def dist() -> Path:
    path = Path(os.environ.get("NOEXD_DIST", ROOT / "dist"))
    if not path.is_dir():
        pytest.skip("nothing was made: scripts/release")
    return path


@pytest.fixture(scope="session")
def program(dist: Path) -> Path:
    return dist / "container/noexd"
