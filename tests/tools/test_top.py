"""noexd top."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Callable

from rig import PATIENCE, Server, Terminal, environment, run

CONFIG = {
    "buckets": {"parts": {"key": "sku", "schema": {"sku": {"type": "string"}, "qty": {"type": "number"}}}},
    "queries": {"scarce": {"bucket": "parts", "filter": {"qty": {"$lt": 5}}}},
}

Serve = Callable[..., Server]
At = Callable[..., Terminal]


class Watcher:
    """A client that stays: a shell that watches a query."""

    def __init__(self, binary: Path, url: str) -> None:
        self.process = subprocess.Popen(
            [binary, "shell", "--url", url, "--json", "-e", "watch scarce"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        assert self.process.stdout is not None
        self.process.stdout.readline()

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


def test_once_for_programs(binary: Path, serve: Serve) -> None:
    server = serve(**CONFIG)
    with Watcher(binary, server.url):
        done = run(binary, "top", "--once", "--json", NOEXD_URL=server.url)
    assert (done.returncode, done.stderr) == (0, "")
    look = json.loads(done.stdout)
    assert list(look) == ["top", "views", "insights"]
    agents = {row["userAgent"].split("/")[0] for row in look["top"]["rows"]}
    assert agents == {"noexd-shell", "noexd-top"}
    assert [row["query"] for row in look["views"]["rows"]] == ["scarce"]
    assert isinstance(look["insights"]["insights"], list)


def test_once_for_people(binary: Path, serve: Serve) -> None:
    server = serve(**CONFIG)
    with Watcher(binary, server.url):
        done = run(binary, "top", "--once", "--url", server.url)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"{server.url}  2 connections, 0 slow, "), lines[0]
    assert lines[2] == "Connections by buffered"
    assert lines[3].split()[:3] == ["CONNECTION", "ADDRESS", "USER"]
    views = lines.index("Live views by cost")
    assert lines[views + 2].split()[:3] == ["view-1", "scarce", "parts"], lines[views + 2]
    assert "Insights" in lines
    assert "\x1b" not in done.stdout


def test_an_object_per_interval(binary: Path, serve: Serve) -> None:
    server = serve(**CONFIG)
    top = subprocess.Popen(
        [binary, "top", "--json", "--interval", "0.1", "--url", server.url],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert top.stdout is not None
    first, second = (json.loads(top.stdout.readline()) for _ in range(2))
    assert second["top"]["at"] > first["top"]["at"]
    server.kill()
    top.communicate(timeout=PATIENCE)
    assert top.returncode == 69


def test_who_may_not(binary: Path, serve: Serve) -> None:
    server = serve(auth={"tokens": {"t": {"userId": "u", "roles": ["reader"]}}})
    done = run(binary, "top", "--once", "--url", server.url, NOEXD_TOKEN="t")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: FORBIDDEN: "), done.stderr
    done = run(binary, "top", "--url", server.url, NOEXD_TOKEN="t")
    assert done.returncode == 78 and "--once or --json" in done.stderr, done.stderr
    done = run(binary, "top", "--once", "--interval", "0", "--url", server.url)
    assert done.returncode == 78 and "--interval: expected" in done.stderr, done.stderr


def test_keys(binary: Path, serve: Serve, terminal: At) -> None:
    server = serve(**CONFIG)
    with Watcher(binary, server.url):
        top = terminal("top", "--url", server.url, "--interval", "0.2", NO_COLOR="1")
        top.expect("Connections by buffered")
        top.expect("noexd-shell/")
        top.expect("q quit")
        for sort in ["behind", "ping", "requests", "loop", "errors", "stale", "buffered"]:
            top.type("s")
            top.expect(f"Connections by {sort}")
        top.type("v")
        top.expect("Live views by cost")
        top.expect(r"view-1 +scarce +parts")
        top.type("s")
        top.expect("Live views by rows")
        top.type("d")
        top.expect("d disconnects a connection: c shows them")
        # What happens in the bucket of the view.
        top.type("t")
        top.expect("Trace of bucket parts")
        run(binary, "shell", "--url", server.url, "-e", 'insert parts {"sku":"a","qty":1}')
        top.expect(r"change commit=1 op=\"insert\" key=\S*a")
        top.type("t")
        top.expect("Live views by rows")
        top.type("i")
        top.expect("Insights")
        top.type("t")
        top.expect("t traces a connection or the bucket of a view")
        top.type("q")
        assert top.end() == 0
    # The screen is put back, and the terminal as it was.
    assert top.seen.rstrip().endswith("\x1b[?25h\x1b[?1049l")


def rows(seen: str) -> list[str]:
    """The connections of the newest screen."""
    newest = seen.rsplit("\x1b[H", 1)[1]
    return [line for line in newest.split("\r\n") if "noexd-" in line]


def select_shell(top: Terminal) -> None:
    """Of the two connections the one of the shell; the selected row is shown the
    other way round."""
    selected = next(row for row in rows(top.seen) if "\x1b[7m" in row)
    if "noexd-shell/" not in selected:
        top.type("\x1b[B")
        top.expect(r"\x1b\[7m[^\r]*noexd-shell/")


def test_disconnect_asks(binary: Path, serve: Serve, terminal: At) -> None:
    server = serve(**CONFIG)
    with Watcher(binary, server.url) as watcher:
        top = terminal("top", "--url", server.url, "--interval", "0.2", NO_COLOR="1")
        top.expect("noexd-shell/")
        top.expect("q quit")
        select_shell(top)
        top.type("d")
        top.expect(r"disconnect \S+\? y/n")
        top.type("n")
        top.expect("not disconnected")
        assert watcher.process.poll() is None
        top.type("d")
        connection = top.expect(r"disconnect (\S+)\? y/n").group(1)
        top.type("y")
        top.expect(f"{connection} is disconnected")
        assert watcher.process.wait(PATIENCE) == 69
        assert "1012 disconnected" in watcher.process.stderr.read()
        top.type("\x03")
        assert top.end() == 0


def test_a_connection_is_traced(binary: Path, serve: Serve, terminal: At) -> None:
    server = serve(**CONFIG)
    shell = terminal("shell", "--url", server.url, NO_COLOR="1")
    shell.expect("noexd> ")
    top = terminal("top", "--url", server.url, "--interval", "0.2", NO_COLOR="1")
    top.expect("noexd-shell/")
    top.expect("q quit")
    select_shell(top)
    top.type("t")
    top.expect("Trace of connectionId ")
    shell.type("count parts\n")
    top.expect(r"request type=\"store\.count\"")
    top.type("\x1b")
    top.expect("Connections by buffered")
    server.kill()
    assert top.end() == 69
