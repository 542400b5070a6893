"""Servers, terminals and the tools' own ends, waited for without sleeping."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import selectors
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 20.0

URL = re.compile(rb"wss?://\S+\n|unix:\S+\n")

# What a test's own surroundings must not decide.
FOREIGN = re.compile(r"NOEXD_|NO_COLOR|RUST_LOG|SSL_CERT|XDG_STATE")


def environment(**extra: str) -> dict[str, str]:
    own = {name: text for name, text in os.environ.items() if not FOREIGN.match(name)}
    return own | {"TERM": "xterm"} | extra


class Server:
    """One process of the server with a configuration of its own."""

    def __init__(self, binary: Path, directory: Path, config: dict[str, Any]) -> None:
        self.binary = binary
        self.config = ({} if "listen" in config else {"host": "127.0.0.1", "port": 0}) | config
        self.file = directory / f"config-{time.monotonic_ns()}.json"
        self.log = self.file.with_suffix(".log")
        self.start()

    def start(self) -> None:
        self.file.write_text(json.dumps(self.config))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "--config", self.file],
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment(),
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        match = URL.search(line)
        if not match:
            pytest.fail(f"the server did not start: {line!r}\n{self.log.read_text()}")
        self.url = match.group().decode().strip()

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1].split("/")[0])

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def restart(self) -> None:
        """Kills it and starts it again on the same port."""
        self.config["port"] = self.port
        self.kill()
        self.start()


def run(
    binary: Path, *arguments: str, stdin: str | None = None, **extra: str
) -> subprocess.CompletedProcess[str]:
    """A tool without a terminal, to its end."""
    return subprocess.run(
        [binary, *arguments],
        input=stdin or "",
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=environment(**extra),
    )


class Terminal:
    """A program with a terminal of its own, which it may ask for passwords at."""

    def __init__(
        self, command: list[str], extra: dict[str, str], rows: int = 30, columns: int = 100
    ) -> None:
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

        def adopt() -> None:
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=adopt,
            env=environment(**extra),
        )
        os.close(slave)
        self.master = master
        self.seen = ""
        # What has been waited for so far.
        self.at = 0

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def _read(self, deadline: float) -> bool:
        with selectors.DefaultSelector() as selector:
            selector.register(self.master, selectors.EVENT_READ)
            if not selector.select(max(0.0, deadline - time.monotonic())):
                return False
        try:
            part = os.read(self.master, 65536)
        except OSError:
            return False
        self.seen += part.decode(errors="replace")
        return bool(part)

    def expect(self, pattern: str) -> re.Match[str]:
        """Waits until this is shown, behind what was waited for before."""
        deadline = time.monotonic() + PATIENCE
        while True:
            match = re.compile(pattern).search(self.seen, self.at)
            if match:
                self.at = match.end()
                return match
            if not self._read(deadline):
                pytest.fail(f"{pattern!r} did not come; seen:\n{self.seen!r}")

    def end(self) -> int:
        """The exit status."""
        deadline = time.monotonic() + PATIENCE
        while self._read(deadline):
            pass
        return self.process.wait(max(1.0, deadline - time.monotonic()))

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        os.close(self.master)
