#!/usr/bin/env python3
"""The 517 cases of the Autobahn suite against examples/echo.rs.

Runs them as they are, then with the client's bytes cut into random segments (and
a small window towards the server, so that its writes are cut short), then over
TLS, cut in the same way, so that frames and records end at different places; of
that a selection, because the relay that speaks TLS for the suite is slow. Compares
every outcome with expected.txt. Two cases end with 1008 on purpose: they send more
fragments than a message may have here. Compression is not implemented.

    run.py                    all three
    run.py --tls              over TLS alone, and the whole suite
    run.py --write            both runs must agree; writes expected.txt
    run.py --seed 7           the same segments again
    run.py --binary PATH      an echo server that is built already
"""

import argparse
import asyncio
import fnmatch
import json
import os
import pathlib
import random
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
EXPECTED = HERE / "expected.txt"
CASES = 517
# What is run over TLS each time: everything but long messages, compression, and
# most of the texts.
OVER_TLS = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.1.*", "6.2.*", "6.3.*", "6.4.*", "7.*",
            "9.1.1", "9.2.2", "9.3.1", "9.4.9", "9.5.6", "9.7.1", "9.8.6", "10.*"]


def segments(data, rng):
    """Cuts data: often into bytes, often into a few hundred, seldom not at all."""
    at = 0
    while at < len(data):
        most = rng.choice((1, 3, 20, 300, 5_000, 100_000))
        end = at + rng.randint(1, most)
        yield data[at:end]
        at = end


def certificate(directory):
    """Makes a certificate for this machine; returns its file and that of its key."""
    cert, key = (str(pathlib.Path(directory) / name) for name in ("cert.pem", "key.pem"))
    request = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", key, "-out", cert]
    subprocess.run([*request.split(), *names, *files], check=True, capture_output=True)
    return cert, key


async def proxy(server, seed, trusted=None):
    """A relay to `server` that cuts what clients send; returns its address. With a
    certificate to trust it speaks TLS to the server."""
    context = trusted and ssl.create_default_context(cafile=trusted)
    numbers = iter(range(1_000_000))

    async def serve(reader, writer):
        rng = random.Random(f"{seed}/{next(numbers)}")
        upstream = socket.socket()
        upstream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rng.choice((4096, 1 << 20)))
        upstream.setblocking(False)
        await asyncio.get_running_loop().sock_connect(upstream, server)
        upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            up_reader, up_writer = await asyncio.open_connection(
                sock=upstream, ssl=context, server_hostname="localhost" if context else None
            )
        except OSError as error:
            print(f"the relay does not get to the server: {error}")
            return writer.close()
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
            if writer.can_write_eof():
                writer.write_eof()
            else:
                # In TLS both directions end together.
                writer.close()
        except (ConnectionError, OSError):
            writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    return listener, listener.sockets[0].getsockname()


async def run_suite(address, include=()):
    """Outcomes by case, of all or of those that are named by patterns: behaviour,
    behaviour of the close, close code."""
    with tempfile.TemporaryDirectory() as directory:
        kosoku = pathlib.Path(sys.executable).parent / "kosoku"
        process = await asyncio.create_subprocess_exec(
            str(kosoku), "-p", "4", "-o", directory, *(f"-i{case}" for case in include),
            "{}:{}".format(*address),
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


def compare(name, outcomes, expected, cases=CASES):
    """Prints what differs; returns whether anything does."""
    differences = 0
    for case in sorted(outcomes.keys() | expected.keys(), key=order):
        found, wanted = outcomes.get(case, "missing"), expected.get(case, "unknown")
        if found != wanted:
            differences += 1
            print(f"{name}: case {case}: {found}, expected {wanted}")
    print(f"{name}: {len(outcomes)} cases, {differences} not as expected")
    return differences > 0 or len(outcomes) != cases


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


def start(binary, directory):
    """The server and its addresses; that for TLS is none without openssl."""
    if binary is None:
        build = "cargo build --quiet --all-features --example echo"
        subprocess.run(build.split(), cwd=ROOT, check=True)
        target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
        binary = target / "debug/examples/echo"
    files = certificate(directory) if shutil.which("openssl") else ()
    command = [binary, "127.0.0.1:0", *files]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    addresses = []
    for scheme in ("ws://", "wss://") if files else ("ws://",):
        line = server.stdout.readline()
        if scheme not in line:
            server.kill()
            sys.exit(f"the echo server did not start: {line!r}")
        host, port = line.split(scheme)[1].strip().strip("/").split(":")
        addresses.append((host, int(port)))
    return server, [*addresses, None][:2], files


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--binary")
    options = parser.parse_args()

    async def relayed(address, *arguments):
        trusted, *include = arguments
        listener, own = await proxy(address, options.seed, trusted)
        outcomes = await run_suite(own, *include)
        listener.close()
        return outcomes

    with tempfile.TemporaryDirectory() as directory:
        server, (plain, over_tls), files = start(options.binary, directory)
        whole = cut = sealed = None
        try:
            if not options.tls:
                whole = await run_suite(plain)
                cut = await relayed(plain, None)
            if over_tls is not None:
                sealed = await relayed(over_tls, files[0], () if options.tls else OVER_TLS)
        finally:
            server.terminate()
            status = server.wait(10)
    if options.write and whole:
        write_expected(whole)
    expected, wrong = read_expected(), False
    seed = f"(seed {options.seed})"
    if not options.tls:
        wrong |= compare("whole", whole, expected)
        wrong |= compare(f"segments {seed}", cut, expected)
    if sealed is None:
        print("no openssl here: nothing is run over TLS")
    else:
        patterns = ["*"] if options.tls else OVER_TLS
        chosen = {case: outcome for case, outcome in expected.items()
                  if any(fnmatch.fnmatchcase(case, pattern) for pattern in patterns)}
        wrong |= compare(f"TLS {seed}", sealed, chosen, len(chosen))
    if status != 0:
        print(f"the echo server ended with {status}")
    sys.exit(1 if wrong or status != 0 else 0)


asyncio.run(main())
