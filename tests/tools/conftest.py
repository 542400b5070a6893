"""The program's tools against a real server, and at a real pseudo-terminal."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from rig import Server, Terminal

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def binary() -> Path:
    return Path(os.environ.get("NOEXD_BIN", ROOT / "target/debug/noexd"))


@pytest.fixture
def serve(binary: Path, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers that end with the test."""
    servers: list[Server] = []

    def start(**config: Any) -> Server:
        servers.append(Server(binary, tmp_path, config))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


@pytest.fixture
def terminal(binary: Path, tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """Starts tools at terminals that go with the test."""
    terminals: list[Terminal] = []

    def start(*arguments: str, **environment: str) -> Terminal:
        environment = {"XDG_STATE_HOME": str(tmp_path / "state")} | environment
        terminals.append(Terminal([str(binary), *arguments], environment))
        return terminals[-1]

    yield start
    for one in terminals:
        one.close()
