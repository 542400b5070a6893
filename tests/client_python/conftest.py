"""Runs coroutine tests and starts the real binary for them.

The binary is NOEXD_BIN, by default target/debug/noexd of this checkout; build
it first (`cargo build`), or let `scripts/test python` do both.
"""

from __future__ import annotations

import asyncio
import atexit
import inspect
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from harness import TLS, Server, client

ROOT = Path(__file__).resolve().parents[2]

# A test that is not done after this many seconds hangs.
TEST_TIMEOUT = 60.0

# The client would ask a proxy of the environment for the way to 127.0.0.1.
os.environ["NO_PROXY"] = "127.0.0.1,localhost"



def speak_tls() -> None:
    """With NOEXD_TEST_TLS=1 all tests run over wss://, with a certificate that is
    made for them and that the client's library is told to trust."""
    if os.environ.get("NOEXD_TEST_TLS") != "1":
        return
    if shutil.which("openssl") is None:
        pytest.exit("no openssl here: nothing is run over wss://", returncode=0)
    place = Path(tempfile.mkdtemp(prefix="noexd-tls-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    cert, key = place / "cert.pem", place / "key.pem"
    request = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(cert)]
    subprocess.run([*request.split(), *names, *files], check=True, capture_output=True)
    TLS["tls"] = {"cert": str(cert), "key": str(key)}
    # Of Python, and of Node.
    os.environ["SSL_CERT_FILE"] = os.environ["NODE_EXTRA_CA_CERTS"] = str(cert)


speak_tls()

BUCKETS = {
    "benches": {
        "key": "id",
        "schema": {
            "id": {"type": "string", "required": True},
            "town": {"type": "string", "required": True},
            "seats": {"type": "number", "default": 2, "min": 1},
        },
        "indexes": ["town"],
    },
    "visits": {
        "key": "id",
        "schema": {
            "id": {"type": "number", "generated": "autoincrement"},
            "bench": {"type": "string"},
        },
    },
}

QUERIES = {
    "all-benches": {"bucket": "benches"},
    "benches-in": {"bucket": "benches", "filter": {"town": "{{ params.town }}"}},
    "bench-count": {"bucket": "benches", "aggregate": {"function": "count"}},
}


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Runs a test that is a coroutine, with a limit on its time."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in wanted}

    async def run() -> None:
        async with asyncio.timeout(TEST_TIMEOUT):
            await pyfuncitem.obj(**arguments)

    asyncio.run(run())
    return True


@pytest.fixture(scope="session")
def binary() -> Path:
    path = Path(os.environ.get("NOEXD_BIN", ROOT / "target" / "debug" / "noexd"))
    if not path.is_file():
        pytest.exit(f"no server at {path}: run `cargo build` or set NOEXD_BIN", returncode=3)
    return path


@pytest.fixture
def start(binary: Path, tmp_path: Path):
    """Starts servers; whatever still runs after the test is stopped."""
    running: list[Server] = []

    def launch(**config) -> Server:
        server = Server(binary, tmp_path, {"buckets": BUCKETS, "queries": QUERIES} | config)
        running.append(server)
        return server

    yield launch
    for server in running:
        server.kill()


@pytest.fixture
def server(start) -> Server:
    return start()


@pytest.fixture
def connect(server: Server):
    """A client of the server that every test has of its own."""
    return lambda **options: client(server.url, **options)
