"""The server process and small tools to wait on conditions without sleeping."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import selectors
import subprocess
import time
from pathlib import Path
from typing import Any, AsyncIterator

from noex_client import ClientOptions, NoexClient, NoexClientError, ReconnectOptions

import pytest

START_TIMEOUT = 10.0
STOP_TIMEOUT = 10.0
WAIT_TIMEOUT = 10.0

# What every server has besides: nothing, or a certificate (see conftest.py).
TLS: dict[str, Any] = {}

URL = re.compile(rb"wss?://\S+")

# Reconnects at once, so that a restart does not cost the client's default
# second.
QUICK_RECONNECT = ReconnectOptions(initial_delay_ms=5, max_delay_ms=20, jitter_ms=5)


class Server:
    """One process of the server with a configuration of its own."""

    def __init__(self, binary: Path, directory: Path, config: dict[str, Any]) -> None:
        self.binary = binary
        self.config = {"host": "127.0.0.1", "port": 0} | TLS | config
        self.file = directory / f"config-{time.monotonic_ns()}.json"
        self.log = self.file.with_suffix(".log")
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""
        self.start()

    def start(self) -> None:
        self.file.write_text(json.dumps(self.config))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "--config", self.file], stdout=subprocess.PIPE, stderr=log
            )
        self.url = self._read_url(self.process)

    def _read_url(self, process: subprocess.Popen[bytes]) -> str:
        output = process.stdout
        assert output is not None
        deadline = time.monotonic() + START_TIMEOUT
        seen = b""
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            while True:
                if not selector.select(deadline - time.monotonic()):
                    pytest.fail(f"no URL within {START_TIMEOUT} s: {seen!r}\n{self.logged()}")
                part = output.read1(4096)  # type: ignore[attr-defined]
                if not part:
                    pytest.fail(f"the server ended before it was up:\n{self.logged()}")
                seen += part
                match = URL.search(seen)
                # Without the end of the line the port may still be cut.
                if match and b"\n" in seen[match.end() :]:
                    return match.group().decode()

    def logged(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1].split("/")[0])

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        assert self.process is not None
        self.process.terminate()
        try:
            return self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"not stopped {STOP_TIMEOUT} s after SIGTERM:\n{self.logged()}")

    def kill(self) -> None:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def restart(self) -> None:
        """Stops it and starts it again on the same port."""
        self.config["port"] = self.port
        self.stop()
        self.kill()
        self.start()


@contextlib.asynccontextmanager
async def client(url: str, **options: Any) -> AsyncIterator[NoexClient]:
    """A connected client that does not reconnect unless told to."""
    options.setdefault("reconnect", False)
    connection = NoexClient(url, ClientOptions(**options))
    await connection.connect()
    try:
        yield connection
    finally:
        socket = connection._transport._ws
        await connection.disconnect()
        # Version 0.1.1 forgets its socket without closing it, so that the
        # server would see the connection end only with this process. A closing
        # handshake would wait for input that nobody reads any more.
        if socket is not None:
            socket.transport.abort()


class Feed:
    """The callback of a subscription: keeps every result and can be waited on."""

    def __init__(self) -> None:
        self.results: list[Any] = []
        self._arrived = asyncio.Event()

    def __call__(self, data: Any) -> None:
        self.results.append(data)
        self._arrived.set()

    @property
    def last(self) -> Any:
        return self.results[-1]

    async def until(self, condition, what: str = "the expected result") -> Any:
        """Waits until the newest result meets the condition."""
        try:
            async with asyncio.timeout(WAIT_TIMEOUT):
                while not self.results or not condition(self.last):
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            pytest.fail(f"{what} did not come; received so far: {self.results}")
        return self.last


class Signal:
    """Waits for events of the client (`client.on`)."""

    def __init__(self, connection: NoexClient, event: str) -> None:
        self.seen: list[tuple[Any, ...]] = []
        self._arrived = asyncio.Event()
        self._event = event
        connection.on(event, self._on)

    def _on(self, *arguments: Any) -> None:
        self.seen.append(arguments)
        self._arrived.set()

    async def wait(self, count: int = 1) -> None:
        try:
            async with asyncio.timeout(WAIT_TIMEOUT):
                while len(self.seen) < count:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            pytest.fail(f"event {self._event!r} came {len(self.seen)} times, not {count}")


async def refused(request) -> NoexClientError:
    """The error that the request is answered with."""
    with pytest.raises(NoexClientError) as caught:
        await request
    return caught.value


async def becomes(request, expected: Any) -> None:
    """Repeats a request until it answers what is expected."""
    try:
        async with asyncio.timeout(WAIT_TIMEOUT):
            while (answer := await request()) != expected:
                pass
    except TimeoutError:
        pytest.fail(f"{answer} did not become {expected}")


async def settled(connection: NoexClient) -> None:
    """Everything that the server queued for this connection so far has arrived.

    Messages of one connection arrive in order and pushes that a request caused
    precede the response of the next request, so one round trip is enough.
    """
    await connection.store.buckets()


def ids(rows: list[dict[str, Any]]) -> list[Any]:
    return [row["id"] for row in rows]
