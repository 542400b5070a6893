"""A program that does with the database what Litestream does, beside a server
with walCheckpoint external."""

from __future__ import annotations

import json
import sqlite3
import threading
from pathlib import Path
from typing import Callable

import pytest

from rig import Server, run

Serve = Callable[..., Server]

BUCKETS = {"parts": {"key": "id", "schema": {"id": {"type": "number"}, "text": {"type": "string"}}}}


class Replicator:
    """As Litestream's db.go: two tables, a reader that stays, a row of its own
    in front of each checkpoint."""

    def __init__(self, database: Path) -> None:
        self.writing = sqlite3.connect(database, isolation_level=None, timeout=10)
        self.writing.execute("PRAGMA wal_autocheckpoint = 0")
        self.writing.execute(
            "CREATE TABLE IF NOT EXISTS _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER)"
        )
        self.writing.execute("CREATE TABLE IF NOT EXISTS _litestream_lock (id INTEGER)")
        self.reading = sqlite3.connect(database, isolation_level=None, timeout=10)
        self.begin()

    def begin(self) -> None:
        self.reading.execute("BEGIN")
        self.reading.execute("SELECT count(*) FROM _litestream_seq").fetchone()

    def checkpoint(self, kind: str) -> tuple[int, int, int]:
        self.writing.execute(
            "INSERT INTO _litestream_seq (id, seq) VALUES (1, 1) "
            "ON CONFLICT (id) DO UPDATE SET seq = seq + 1"
        )
        # Nobody writes between the last look at the log and its new round.
        self.writing.execute("BEGIN IMMEDIATE")
        self.writing.execute("INSERT INTO _litestream_lock (id) VALUES (1)")
        self.writing.execute("ROLLBACK")
        self.reading.execute("ROLLBACK")
        done = self.writing.execute(f"PRAGMA wal_checkpoint({kind})").fetchone()
        self.begin()
        return done

    def close(self) -> None:
        self.reading.close()
        self.writing.close()


def insert(binary: Path, server: Server, first: int, count: int) -> None:
    rows = [{"id": first + at, "text": "x" * 200} for at in range(count)]
    lines = "\n".join(f"insert parts {json.dumps(row)}" for row in rows)
    done = run(binary, "shell", "--url", server.url, stdin=lines)
    assert done.returncode == 0, done.stderr


def count(binary: Path, server: Server) -> int:
    return int(run(binary, "shell", "--url", server.url, "-e", "count parts").stdout)


def test_a_replicator_beside_the_server(binary: Path, serve: Serve, tmp_path: Path) -> None:
    data = tmp_path / "data"
    server = serve(dataDir=str(data), walCheckpoint="external", buckets=BUCKETS)
    database, log = data / "noexd.sqlite", data / "noexd.sqlite-wal"
    insert(binary, server, 0, 50)
    logged = log.stat().st_size
    assert logged > 50 * 4096
    failure: list[BaseException] = []

    def replicate() -> None:
        try:
            replicator = Replicator(database)
            for at in range(20):
                replicator.checkpoint("TRUNCATE" if at % 5 == 4 else "PASSIVE")
            replicator.close()
        except BaseException as error:  # noqa: BLE001 - told by the test
            failure.append(error)

    thread = threading.Thread(target=replicate)
    thread.start()
    insert(binary, server, 50, 200)
    thread.join()
    assert not failure, failure
    assert count(binary, server) == 250
    # What was acknowledged is there after a kill, with the tables of the other.
    server.restart()
    assert count(binary, server) == 250
    done = run(binary, "check", "--data-dir", str(data))
    assert (done.returncode, done.stdout.count("no damage found")) == (0, 1), done.stdout
    tables = sqlite3.connect(database).execute("SELECT count(*) FROM _litestream_seq").fetchone()
    assert tables == (1,)
    # A restored copy takes the place of the data.
    copy = tmp_path / "restored.sqlite"
    source = sqlite3.connect(database)
    source.execute("VACUUM INTO ?", (str(copy),))
    source.close()
    insert(binary, server, 250, 5)
    server.kill()
    done = run(binary, "restore", "--data-dir", str(data), str(copy))
    assert done.returncode == 0, done.stderr
    server.start()
    assert count(binary, server) == 250


def test_a_stopped_server_leaves_the_log(binary: Path, serve: Serve, tmp_path: Path) -> None:
    data = tmp_path / "data"
    server = serve(dataDir=str(data), walCheckpoint="external", buckets=BUCKETS)
    insert(binary, server, 0, 20)
    server.process.terminate()
    assert server.process.wait(20) == 0
    log = data / "noexd.sqlite-wal"
    assert log.stat().st_size > 20 * 4096
    logged = log.stat().st_size
    server.start()
    assert count(binary, server) == 20
    assert log.stat().st_size >= logged
    server.kill()
    # Without the key it is taken in at once.
    del server.config["walCheckpoint"]
    server.start()
    assert count(binary, server) == 20
    server.process.terminate()
    assert server.process.wait(20) == 0
    assert not log.exists()


@pytest.mark.parametrize("value", ["manual", True])
def test_other_values(binary: Path, tmp_path: Path, value: object) -> None:
    file = tmp_path / "wrong.json"
    file.write_text(json.dumps({"dataDir": str(tmp_path / "d"), "walCheckpoint": value}))
    done = run(binary, "--check", "--config", str(file))
    assert done.returncode == 78
    assert done.stderr.startswith('Error: walCheckpoint: expected "auto" or "external", got ')
