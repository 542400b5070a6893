"""Live queries as the published client sees them."""

import asyncio
import json
import time

import pytest
from websockets.sync.client import connect as connect_blocking

from harness import Feed, becomes, client, ids, refused, settled


async def test_first_result_then_pushes(connect):
    async with connect() as connection:
        benches = connection.store.bucket("benches")
        await benches.insert({"id": "b1", "town": "Brno"})
        feed = Feed()
        await connection.store.subscribe("all-benches", feed)
        assert ids(feed.last) == ["b1"]
        await benches.insert({"id": "b2", "town": "Praha"})
        await feed.until(lambda rows: ids(rows) == ["b1", "b2"])
        await benches.delete("b1")
        await feed.until(lambda rows: ids(rows) == ["b2"])


async def test_parameters_select(connect):
    async with connect() as writer, connect() as reader:
        benches = writer.store.bucket("benches")
        brno, praha = Feed(), Feed()
        await reader.store.subscribe("benches-in", brno, {"town": "Brno"})
        await reader.store.subscribe("benches-in", praha, {"town": "Praha"})
        await benches.insert({"id": "b1", "town": "Brno"})
        await benches.insert({"id": "b2", "town": "Praha"})
        await brno.until(lambda rows: ids(rows) == ["b1"])
        await praha.until(lambda rows: ids(rows) == ["b2"])
        await benches.update("b1", {"town": "Praha"})
        await brno.until(lambda rows: rows == [])
        await praha.until(lambda rows: sorted(ids(rows)) == ["b1", "b2"])
        await settled(reader)
        # One push per change that concerns the subscription, none for others.
        assert [ids(rows) for rows in brno.results] == [[], ["b1"], []]


async def test_counts_are_pushed_only_when_they_change(connect):
    async with connect() as connection:
        benches = connection.store.bucket("benches")
        feed = Feed()
        await connection.store.subscribe("bench-count", feed)
        await benches.insert({"id": "b1", "town": "Brno"})
        await feed.until(lambda count: count == 1)
        await benches.update("b1", {"seats": 4})
        await benches.insert({"id": "b2", "town": "Brno"})
        await feed.until(lambda count: count == 2)
        assert feed.results == [0, 1, 2]


async def test_every_write_is_pushed_in_order(connect):
    async with connect() as writer, connect() as reader:
        benches = writer.store.bucket("benches")
        await benches.insert({"id": "b1", "town": "Brno", "seats": 1})
        feed = Feed()
        await reader.store.subscribe("all-benches", feed)
        # Past the first push nothing is coalesced.
        await benches.update("b1", {"seats": 2})
        await feed.until(lambda rows: rows[0]["seats"] == 2)
        already = len(feed.results)
        await asyncio.gather(*(benches.update("b1", {"seats": n}) for n in range(3, 103)))
        await feed.until(lambda rows: rows[0]["seats"] == 102)
        assert [rows[0]["seats"] for rows in feed.results[already:]] == list(range(3, 103))


async def test_unsubscribe_ends_the_pushes(connect):
    async with connect() as connection:
        benches = connection.store.bucket("benches")
        kept, ended = Feed(), Feed()
        await connection.store.subscribe("all-benches", kept)
        raw = await connection.request("store.subscribe", {"query": "all-benches"})
        unsubscribe = await connection.store.subscribe("all-benches", ended)
        unsubscribe()
        await connection.store.unsubscribe(raw["subscriptionId"])
        await settled(connection)
        await benches.insert({"id": "b1", "town": "Brno"})
        await kept.until(lambda rows: ids(rows) == ["b1"])
        assert ended.results == [[]]
        stats = await connection.request("server.stats")
        assert stats["connections"]["totalStoreSubscriptions"] == 1

        error = await refused(connection.store.unsubscribe(raw["subscriptionId"]))
        assert error.code == "NOT_FOUND"
        assert str(error) == f'Subscription "{raw["subscriptionId"]}" not found'


async def test_unknown_query(connect):
    async with connect() as connection:
        error = await refused(connection.store.subscribe("no-such-query", Feed()))
        assert error.code == "QUERY_NOT_DEFINED"
        assert str(error) == 'Query "no-such-query" is not defined'


async def test_query_defined_over_the_wire(connect):
    async with connect() as connection:
        answer = await connection.store.define_query(
            "two-roomy", {"bucket": "benches", "sort": {"seats": "desc"}, "limit": 2}
        )
        assert answer == {"name": "two-roomy", "defined": True}
        feed = Feed()
        await connection.store.subscribe("two-roomy", feed)
        benches = connection.store.bucket("benches")
        for name, seats in [("b1", 2), ("b2", 6), ("b3", 4)]:
            await benches.insert({"id": name, "town": "Brno", "seats": seats})
        await feed.until(lambda rows: ids(rows) == ["b2", "b3"])


async def test_subscription_limit(start):
    server = start(connectionLimits={"maxSubscriptionsPerConnection": 2})
    async with client(server.url) as connection:
        for _ in range(2):
            await connection.store.subscribe("all-benches", Feed())
        error = await refused(connection.store.subscribe("all-benches", Feed()))
        assert error.code == "RATE_LIMITED"
        assert str(error) == "Subscription limit reached (max 2 per connection)"


async def test_a_closed_connection_leaves_no_subscription(connect):
    async with connect() as watcher:
        async with connect() as other:
            await other.store.subscribe("all-benches", Feed())
            stats = await watcher.request("server.stats")
            assert stats["connections"]["totalStoreSubscriptions"] == 1

        async def counts():
            return (await watcher.request("server.stats"))["connections"]

        left = {"active": 1, "authenticated": 0}
        none = {"totalStoreSubscriptions": 0, "totalRulesSubscriptions": 0}
        await becomes(counts, left | none)


async def subscribe_and_write(reader, writer, number: int) -> None:
    """Subscribes and, before anything is awaited, writes what must be seen."""
    feed = Feed()
    key = f"b{number}"
    subscribed = asyncio.create_task(reader.store.subscribe("benches-in", feed, {"town": key}))
    written = asyncio.create_task(
        writer.store.bucket("benches").insert({"id": key, "town": key})
    )
    unsubscribe = await subscribed
    await written
    await feed.until(lambda rows: ids(rows) == [key], f"push {number}")
    unsubscribe()


@pytest.mark.parametrize("own", [True, False], ids=["own-write", "foreign-write"])
async def test_first_push_is_never_lost(start, own):
    """A write in the same turn as the subscribe is seen.

    The client knows a subscription only when the coroutine that awaits the
    response has run, and drops pushes for others. A server that sends the
    response and the push back to back loses the push here.
    """
    server = start()
    async with client(server.url) as first, client(server.url) as second:
        writer = first if own else second
        for number in range(20):
            await subscribe_and_write(first, writer, number)


async def test_first_pushes_of_many_subscriptions(start):
    """The same with all of them on their way at once."""
    server = start()
    async with client(server.url) as first:
        await asyncio.gather(*(subscribe_and_write(first, first, n) for n in range(90)))


async def test_first_push_is_never_lost_on_a_busy_server(start):
    """The same while another connection keeps the server writing."""
    server = start()
    async with client(server.url) as first, client(server.url) as noise:
        stop = asyncio.Event()
        benches = noise.store.bucket("benches")

        async def keep_writing() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                rows = ({"id": f"n{n}", "town": "Brno", "seats": number} for n in range(20))
                await asyncio.gather(*map(benches.insert, rows))

        writing = asyncio.create_task(keep_writing())
        try:
            for number in range(10):
                await subscribe_and_write(first, first, number)
        finally:
            stop.set()
            await writing


async def test_first_push_is_never_lost_by_a_client_that_is_not_being_run(start):
    """The client finds the processor taken from when it has sent the request.

    Meanwhile another program writes, far longer than any delay of the server,
    and only then does the client read what has arrived.
    """
    server = start()
    async with client(server.url) as reader:
        with connect_blocking(server.url) as writer:
            writer.recv()  # welcome
            for number in range(5):
                feed, key = Feed(), f"b{number}"
                subscribed = asyncio.create_task(
                    reader.store.subscribe("benches-in", feed, {"town": key})
                )
                # The subscribe task, then the one that sends.
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                until = time.monotonic() + 0.1
                write(writer, "store.insert", data={"id": key, "town": key})
                while time.monotonic() < until:
                    write(writer, "store.update", key=key, data={"seats": 1})
                write(writer, "store.update", key=key, data={"seats": 7})
                await subscribed
                await feed.until(lambda rows: rows and rows[0].get("seats") == 7, f"push {number}")


def write(connection, operation: str, **members) -> None:
    """One write, answered, without the event loop."""
    message = {"id": 1, "type": operation, "bucket": "benches", **members}
    connection.send(json.dumps(message))
    answer = json.loads(connection.recv())
    assert answer["type"] == "result", answer
