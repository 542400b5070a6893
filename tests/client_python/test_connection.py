"""Connecting, the welcome, the heartbeat, shutdown and reconnecting."""

import asyncio
import time

import pytest
import websockets
from noex_client import NoexClient

from harness import QUICK_RECONNECT, WAIT_TIMEOUT, Feed, Signal, client, ids


async def test_welcome(server):
    connection = NoexClient(server.url)
    welcomed = Signal(connection, "welcome")
    before = time.time() * 1000
    welcome = await connection.connect()
    after = time.time() * 1000
    assert welcome.version == "1.0.0"
    assert welcome.requires_auth is False
    # Both clocks are this machine's; a second of slack is for coarse clocks.
    assert before - 1000 <= welcome.server_time <= after + 1000
    assert len(welcomed.seen) == 1
    assert connection.is_connected
    await connection.disconnect()
    assert connection.state == "disconnected"


async def test_connections_are_counted(server, connect):
    async with connect() as first, connect() as second:
        stats = await second.request("server.stats")
        assert stats["connectionCount"] == 2
        rows = await first.request("server.connections")
        assert [row["remoteAddress"] for row in rows] == ["127.0.0.1", "127.0.0.1"]
        assert rows[0]["connectionId"] != rows[1]["connectionId"]


async def test_wrong_path_is_refused(server):
    connection = NoexClient(server.url.rstrip("/") + "/elsewhere")
    with pytest.raises(Exception) as refusal:
        await connection.connect()
    assert "404" in str(refusal.value)
    assert connection.state == "disconnected"


async def test_client_that_answers_pings_is_kept(start):
    server = start(heartbeat={"intervalMs": 50, "timeoutMs": 50})
    async with client(server.url) as connection:
        pings = 0

        def count_pings(text: str) -> None:
            nonlocal pings
            pings += '"ping"' in text

        # The client answers pings before its listeners see them, so they are
        # counted one layer below.
        transport = connection._transport
        answer = transport._handle_ping_pong
        transport._handle_ping_pong = lambda raw: (count_pings(raw), answer(raw))[1]
        # Every request is a turn of the loop; the answer to the third ping was
        # sent before the fourth one came.
        while pings < 4:
            assert (await connection.store.buckets())["count"] == 2
        assert connection.is_connected


async def test_client_that_ignores_pings_is_closed(start):
    server = start(heartbeat={"intervalMs": 50, "timeoutMs": 20})
    async with client(server.url, heartbeat=False) as connection:
        closed = Signal(connection, "disconnected")
        await closed.wait()
        assert closed.seen == [("heartbeat_timeout",)]


async def test_shutdown_closes_with_its_reason(server, connect):
    async with connect() as connection:
        closed = Signal(connection, "disconnected")
        assert server.stop() == 0
        await closed.wait()
        assert closed.seen == [("server_shutdown",)]


async def test_reconnects_after_a_restart(server, connect):
    async with connect(reconnect=QUICK_RECONNECT) as connection:
        await connection.store.bucket("benches").insert({"id": "b1", "town": "Brno"})
        feed = Feed()
        await connection.store.subscribe("benches-in", feed, {"town": "Brno"})
        assert ids(feed.last) == ["b1"]
        again = Signal(connection, "reconnected")

        server.restart()
        await again.wait()

        # In memory the data is gone, and the new first result says so.
        await feed.until(lambda rows: rows == [], "the result after the restart")
        await connection.store.bucket("benches").insert({"id": "b2", "town": "Brno"})
        await feed.until(lambda rows: ids(rows) == ["b2"], "a push after the restart")


async def test_reconnects_after_a_crash(server, connect):
    async with connect(reconnect=QUICK_RECONNECT) as connection:
        again = Signal(connection, "reconnected")
        server.config["port"] = server.port
        server.kill()
        server.start()
        await again.wait()
        assert (await connection.store.buckets())["count"] == 2


async def test_too_many_connections_of_one_address(start):
    server = start(maxConnectionsPerIp=1)
    async with client(server.url) as first:
        # Closed in place of the welcome, which the noex client would await.
        async with websockets.connect(server.url) as second:
            with pytest.raises(websockets.ConnectionClosed) as refusal:
                await second.recv()
        assert refusal.value.rcvd.code == 4003
        assert refusal.value.rcvd.reason == "too_many_connections"
        assert (await first.store.buckets())["count"] == 2
    # The place is free when the server has noticed the end of the first.
    last = None
    async with asyncio.timeout(WAIT_TIMEOUT):
        while last is None:
            async with websockets.connect(server.url) as third:
                try:
                    last = await third.recv()
                except websockets.ConnectionClosed as refusal:
                    assert refusal.rcvd.code == 4003
    assert '"welcome"' in last


async def test_many_subscriptions_come_back_within_a_small_rate_limit(start):
    server = start(rateLimit={"maxRequests": 10, "windowMs": 60000})
    async with client(server.url, reconnect=QUICK_RECONNECT) as connection:
        await connection.store.bucket("benches").insert({"id": "b1", "town": "Brno"})
        feeds = [Feed() for _ in range(100)]
        for feed in feeds:
            await connection.store.subscribe("all-benches", feed)
            assert ids(feed.last) == ["b1"]
        server.restart()
        # In memory the data is gone, and each new first result says so.
        for feed in feeds:
            await feed.until(lambda rows: rows == [], "the result after the restart")
        await connection.store.bucket("benches").insert({"id": "b2", "town": "Brno"})
        for feed in feeds:
            await feed.until(lambda rows: ids(rows) == ["b2"], "a push after the restart")
