#!/usr/bin/env python3
"""The 517 cases of the Autobahn suite against examples/echo.rs.

Runs them twice, as they are and with the client's bytes cut into random
segments (and a small window towards the server, so that its writes are cut
short), and compares every outcome with expected.txt. Two cases end with 1008 on
purpose: they send more fragments than a message may have here. Compression is
not implemented.

    run.py                    both runs
    run.py --write            both runs must agree; writes expected.txt
    run.py --seed 7           the same segments again
    run.py --binary PATH      an echo server that is built already
"""

import argparse
import asyncio
import json
import os
import pathlib
import random
import socket
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
EXPECTED = HERE / "expected.txt"
CASES = 517


def segments(data, rng):
    """Cuts data: often into bytes, often into a few hundred, seldom not at all."""
    at = 0
    while at < len(data):
        most = rng.choice((1, 3, 20, 300, 5_000, 100_000))
        end = at + rng.randint(1, most)
        yield data[at:end]
        at = end


async def proxy(server, seed):
    """A relay to `server` that cuts what clients send; returns its address."""
    numbers = iter(range(1_000_000))

    async def serve(reader, writer):
        rng = random.Random(f"{seed}/{next(numbers)}")
        upstream = socket.socket()
        upstream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rng.choice((4096, 1 << 20)))
        upstream.setblocking(False)
        await asyncio.get_running_loop().sock_connect(upstream, server)
        upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        up_reader, up_writer = await asyncio.open_connection(sock=upstream)
        await asyncio.gather(
            pump(reader, up_writer, lambda data: segments(data, rng)),
            pump(up_reader, writer, lambda data: [data]),
        )

    async def pump(reader, writer, cut):
        try:
            while data := await reader.read(1 << 16):
                for segment in cut(data):
                    writer.write(segment)
                    await writer.drain()
                    # The next segment is a packet of its own.
                    await asyncio.sleep(0)
            writer.write_eof()
        except (ConnectionError, OSError):
            writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    return listener, listener.sockets[0].getsockname()


async def run_suite(address):
    """Outcomes by case: behaviour, behaviour of the close, close code."""
    with tempfile.TemporaryDirectory() as directory:
        kosoku = pathlib.Path(sys.executable).parent / "kosoku"
        process = await asyncio.create_subprocess_exec(
            str(kosoku), "-p", "4", "-o", directory, "{}:{}".format(*address),
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )
        _, errors = await asyncio.wait_for(process.communicate(), 600)
        index = pathlib.Path(directory) / "index.json"
        if not index.exists():
            sys.exit(f"kosoku made no report: {errors.decode()}")
        (cases,) = json.loads(index.read_text()).values()
    outcomes = {}
    for name, case in cases.items():
        code = case["remoteCloseCode"]
        outcomes[name] = f"{case['behavior']} {case['behaviorClose']} {code or '-'}"
    return outcomes


def compare(name, outcomes, expected):
    """Prints what differs; returns whether anything does."""
    differences = 0
    for case in sorted(outcomes.keys() | expected.keys(), key=order):
        found, wanted = outcomes.get(case, "missing"), expected.get(case, "unknown")
        if found != wanted:
            differences += 1
            print(f"{name}: case {case}: {found}, expected {wanted}")
    print(f"{name}: {len(outcomes)} cases, {differences} not as expected")
    return differences > 0 or len(outcomes) != CASES


def order(case):
    return [int(part) for part in case.split(".")]


def read_expected():
    lines = EXPECTED.read_text().splitlines()
    pairs = (line.split(" ", 1) for line in lines if line and not line.startswith("#"))
    return dict(pairs)


def write_expected(outcomes):
    lines = ["# Case, behaviour, behaviour of the close, close code of the server.\n"]
    lines += [f"{case} {outcomes[case]}\n" for case in sorted(outcomes, key=order)]
    EXPECTED.write_text("".join(lines))


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--binary")
    options = parser.parse_args()

    binary = options.binary
    if binary is None:
        subprocess.run(["cargo", "build", "--quiet", "--example", "echo"], cwd=ROOT, check=True)
        target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
        binary = target / "debug/examples/echo"
    server = subprocess.Popen([binary, "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
    try:
        line = server.stdout.readline()
        if "ws://" not in line:
            sys.exit(f"the echo server did not start: {line!r}")
        host, port = line.split("ws://")[1].strip().strip("/").split(":")
        address = (host, int(port))
        whole = await run_suite(address)
        listener, cut_address = await proxy(address, options.seed)
        cut = await run_suite(cut_address)
        listener.close()
    finally:
        server.terminate()
        status = server.wait(10)
    if options.write:
        write_expected(whole)
    expected = read_expected()
    wrong = compare("whole", whole, expected)
    wrong |= compare(f"segments (seed {options.seed})", cut, expected)
    if status != 0:
        print(f"the echo server ended with {status}")
    sys.exit(1 if wrong or status != 0 else 0)


asyncio.run(main())
