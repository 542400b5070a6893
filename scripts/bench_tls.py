"""`scripts/bench --tls`: what TLS costs, beside plain connections of the same run.

Memory of idle connections, handshakes per second, and how long a plain client waits
for answers while they are made. Prints figures; fails if an idle connection costs
more than operations.md allows.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import resource
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COUNT = int(os.environ.get("BENCH_TLS_COUNT", "5000"))
# Bytes that an idle connection may cost over a plain one.
MOST = 3 * 1024
HANDSHAKES = 2000

KEY = base64.b64encode(os.urandom(16)).decode()
UPGRADE = (
    "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
).encode()


def certificate(place: Path) -> tuple[Path, Path]:
    cert, key = place / "cert.pem", place / "key.pem"
    request = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(cert)]
    subprocess.run([*request.split(), *names, *files], check=True, capture_output=True)
    return cert, key


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


class Server:
    def __init__(self, program: str, place: Path, config: dict) -> None:
        file = place / f"config-{time.monotonic_ns()}.json"
        here = {} if "listen" in config else {"host": "127.0.0.1", "port": 0}
        # Nobody is pinged meanwhile.
        file.write_text(json.dumps(here | {"heartbeat": {"intervalMs": 0}} | config))
        command = [program, "--config", str(file)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self.process.stdout
        line = self.process.stdout.readline().decode()
        self.port = int(line.strip().rstrip("/").rsplit(":", 1)[1])

    def resident(self) -> int:
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * resource.getpagesize()

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


async def open_one(port: int, context: ssl.SSLContext | None):
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    writer.write(UPGRADE)
    await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(2)
    return reader, writer


async def idle(server: Server, context: ssl.SSLContext | None) -> float:
    """Bytes of the server per idle connection."""
    # What the first ones need once is not theirs.
    held = [await open_one(server.port, context) for _ in range(50)]
    before = server.resident()
    for _ in range(COUNT // 50):
        held += await asyncio.gather(*(open_one(server.port, context) for _ in range(50)))
    cost = (server.resident() - before) / (len(held) - 50)
    for _, writer in held:
        writer.transport.abort()
    return cost


async def ask(reader, writer) -> float:
    """Milliseconds from a request to its answer."""
    text = b'{"id":1,"type":"store.stats"}'
    frame = bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text
    began = time.perf_counter()
    writer.write(frame)
    head = await reader.readexactly(2)
    length = head[1]
    if length == 126:
        length = int.from_bytes(await reader.readexactly(2), "big")
    await reader.readexactly(length)
    return (time.perf_counter() - began) * 1000


def probe(port: int, stop: Path) -> None:
    """Asks on a plain connection of a process of its own until a file is there."""

    async def go() -> None:
        reader, writer = await open_one(port, None)
        # The welcome, of which the header was read.
        await reader.readuntil(b"}")
        waits = []
        while not stop.exists():
            waits.append(await ask(reader, writer))
            await asyncio.sleep(0.002)
        waits.sort()
        found = {"median": statistics.median(waits), "p99": waits[len(waits) * 99 // 100]}
        print(json.dumps(found))

    asyncio.run(go())


async def handshakes(server: Server, plain: int, context: ssl.SSLContext, place: Path):
    """Handshakes per second, and what a plain client waits meanwhile and without."""

    async def measure(work) -> tuple[float, dict]:
        stop = place / f"stop-{time.monotonic_ns()}"
        command = [sys.executable, __file__, "--probe", str(plain), str(stop)]
        probing = subprocess.Popen(command, stdout=subprocess.PIPE)
        began = time.perf_counter()
        await work()
        seconds = time.perf_counter() - began
        stop.touch()
        out, _ = probing.communicate(timeout=30)
        return seconds, json.loads(out)

    async def shake() -> None:
        for _ in range(HANDSHAKES // 20):
            opened = await asyncio.gather(*(open_one(server.port, context) for _ in range(20)))
            for _, writer in opened:
                writer.transport.abort()

    _, quiet = await measure(lambda: asyncio.sleep(2))
    seconds, busy = await measure(shake)
    return HANDSHAKES / seconds, quiet, busy


def main() -> int:
    if sys.argv[1:2] == ["--probe"]:
        probe(int(sys.argv[2]), Path(sys.argv[3]))
        return 0
    program = sys.argv[1]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="noexd-bench-") as name:
        place = Path(name)
        cert, key = certificate(place)
        context = ssl.create_default_context(cafile=str(cert))
        tls = {"cert": str(cert), "key": str(key)}
        costs = {}
        for label, config, speaks in [("plain", {}, None), ("tls", {"tls": tls}, context)]:
            server = Server(program, place, config)
            costs[label] = asyncio.run(idle(server, speaks))
            server.stop()
        more = costs["tls"] - costs["plain"]
        plain = costs["plain"]
        print(f"idle, {COUNT} of each: plain {plain:.0f} bytes, TLS {more:.0f} more (allowed: {MOST})")
        # The listener that is measured, and a plain one beside it.
        ports = free_port(), free_port()
        listeners = [{"address": f"127.0.0.1:{ports[0]}"}]
        listeners.append({"address": f"127.0.0.1:{ports[1]}", "tls": False})
        server = Server(program, place, {"listen": listeners, "tls": tls})
        rate, quiet, busy = asyncio.run(handshakes(server, ports[1], context, place))
        server.stop()
        print(f"handshakes: {rate:.0f}/s from one process")
        for label, waits in [("without", quiet), ("beside them", busy)]:
            median, p99 = waits["median"], waits["p99"]
            print(f"a plain request {label}: median {median:.2f} ms, p99 {p99:.2f} ms")
        return int(more > MOST)


if __name__ == "__main__":
    sys.exit(main())
