"""`logic.*` over the raw protocol: the published client is older than it.

The client below is what somebody writes in an afternoon: one socket, answers by
id, pushes in a list.
"""

from __future__ import annotations

import asyncio
import itertools
import json

import pytest
from websockets.asyncio.client import connect


class Refused(Exception):
    def __init__(self, answer: dict):
        super().__init__(answer["message"])
        self.code = answer["code"]
        self.details = answer.get("details")


class Raw:
    def __init__(self, socket):
        self.socket = socket
        self.numbers = itertools.count(1)
        self.pushes: asyncio.Queue = asyncio.Queue()
        self.answers: dict[int, asyncio.Future] = {}
        self.reader = asyncio.create_task(self.read())

    async def read(self) -> None:
        async for text in self.socket:
            message = json.loads(text)
            if message["type"] == "push":
                self.pushes.put_nowait(message)
            elif message["type"] == "ping":
                pong = {"type": "pong", "timestamp": message["timestamp"]}
                await self.socket.send(json.dumps(pong))
            elif "id" in message:
                self.answers.pop(message["id"]).set_result(message)

    async def call(self, operation: str, **fields):
        number = next(self.numbers)
        answer = asyncio.get_running_loop().create_future()
        self.answers[number] = answer
        await self.socket.send(json.dumps({"id": number, "type": operation} | fields))
        message = await answer
        if message["type"] == "error":
            raise Refused(message)
        return message["data"]

    async def refused(self, operation: str, **fields) -> Refused:
        with pytest.raises(Refused) as caught:
            await self.call(operation, **fields)
        return caught.value


class Session:
    def __init__(self, url: str):
        self.url = url

    async def __aenter__(self) -> Raw:
        self.socket = await connect(self.url, proxy=None)
        self.raw = Raw(self.socket)
        return self.raw

    async def __aexit__(self, *_) -> None:
        self.raw.reader.cancel()
        await self.socket.close()


@pytest.fixture
def raw(start):
    return lambda server=None: Session((server or start()).url)


def bucket(**fields: str) -> dict:
    return {"key": "id", "schema": {name: {"type": kind} for name, kind in fields.items()}}


async def test_expressions_are_evaluated_and_refused(raw):
    async with raw() as db:
        cases = [
            ({"$add": [1, "$a.b"]}, {"a": {"b": 2}}, 3),
            ({"$concat": ["x", {"$upper": "$s"}]}, {"s": "ab"}, "xAB"),
            ({"$cond": [{"$gt": ["$n", 10]}, "many", "few"]}, {"n": 3}, "few"),
            ({"$divide": [1, 0]}, {}, None),
            ({"$in": ["$x", ["a", "b"]]}, {"x": "b"}, True),
            ({"$literal": "$x"}, {}, "$x"),
        ]
        for expr, record, expected in cases:
            assert await db.call("logic.evaluateExpr", expr=expr, record=record) == expected
        error = await db.refused("logic.evaluateExpr", expr={"$nothing": 1})
        assert "unknown operator" in str(error)


async def test_computed_fields_are_part_of_the_write(raw):
    async with raw() as db:
        await db.call(
            "store.defineBucket", name="lines", config=bucket(id="string", net="number")
        )
        gross = {"depends": ["net"], "expr": {"$multiply": ["$net", 2]}}
        await db.call("logic.defineComputed", bucket="lines", fields={"gross": gross})
        inserted = await db.call("store.insert", bucket="lines", data={"id": "a", "net": 4, "gross": 1})
        assert inserted["gross"] == 8
        updated = await db.call("store.update", bucket="lines", key="a", data={"net": 5})
        assert updated["gross"] == 10
        found = await db.call("store.where", bucket="lines", filter={"gross": 10})
        assert [row["id"] for row in found] == ["a"]
        listed = await db.call("logic.listComputed", bucket="lines")
        assert "gross" in json.dumps(listed)
        await db.call("logic.dropComputed", bucket="lines")
        updated = await db.call("store.update", bucket="lines", key="a", data={"net": 6})
        assert updated["gross"] == 10, "what was computed stays, and is not computed again"


async def test_constraints_of_records_and_of_groups(raw):
    async with raw() as db:
        await db.call("store.defineBucket", name="bookings", config=bucket(id="number", n="number"))
        positive = {
            "name": "positive",
            "on": "bookings",
            "expr": {"$gte": ["$n", 0]},
            "message": "No less than nothing",
        }
        await db.call("logic.defineConstraint", constraint=positive)
        error = await db.refused("store.insert", bucket="bookings", data={"id": 1, "n": -1})
        assert (error.code, str(error)) == ("VALIDATION_ERROR", "No less than nothing")
        assert error.details[0]["constraint"] == "positive"
        capped = {
            "name": "capped",
            "on": "bookings",
            "scope": "group",
            "groupBy": "room",
            "operations": ["insert", "update"],
            "expr": {"$lte": [{"$sum": "n"}, 10]},
            "message": "Too many in one room",
        }
        await db.call("logic.defineConstraint", constraint=capped)
        await db.call("store.insert", bucket="bookings", data={"id": 1, "room": "a", "n": 6})
        error = await db.refused("store.insert", bucket="bookings", data={"id": 2, "room": "a", "n": 5})
        assert str(error) == "Too many in one room"
        await db.call("store.insert", bucket="bookings", data={"id": 2, "room": "b", "n": 5})
        # In a transaction only the end counts.
        await db.call(
            "store.transaction",
            operations=[
                {"op": "insert", "bucket": "bookings", "data": {"id": 3, "room": "a", "n": 9}},
                {"op": "delete", "bucket": "bookings", "key": 1},
            ],
        )
        names = {item["name"] for item in await db.call("logic.listConstraints")}
        assert names == {"positive", "capped"}
        await db.call("logic.dropConstraint", name="positive")
        await db.call("store.insert", bucket="bookings", data={"id": 4, "n": -1})


VIEW = {
    "name": "owed",
    "from": {"i": "invoices", "c": "clients"},
    "join": {"i.client": "c.id"},
    "where": {"i.state": "open"},
    "groupBy": "c.id",
    "select": {"client": "c.name", "sum": {"$sum": "i.total"}},
    "orderBy": [{"field": "sum", "direction": "desc"}],
    "reactive": True,
}


async def shop(db: Raw) -> None:
    await db.call("store.defineBucket", name="clients", config=bucket(id="string", name="string"))
    await db.call("store.defineBucket", name="invoices", config=bucket(id="number"))
    await db.call("logic.defineView", definition=VIEW)
    for key, name in [("a", "Ada"), ("b", "Bob")]:
        await db.call("store.insert", bucket="clients", data={"id": key, "name": name})


async def invoice(db: Raw, key: int, client: str, total: float) -> None:
    data = {"id": key, "client": client, "state": "open", "total": total}
    await db.call("store.insert", bucket="invoices", data=data)


async def test_a_joined_view_follows_every_source(raw):
    async with raw() as db:
        await shop(db)
        await invoice(db, 1, "a", 10)
        subscribed = await db.call("logic.subscribeView", name="owed")
        assert subscribed["data"] == [{"client": "Ada", "sum": 10}]
        steps = [
            (
                db.call("store.insert", bucket="invoices",
                        data={"id": 2, "client": "b", "state": "open", "total": 15}),
                [{"client": "Bob", "sum": 15}, {"client": "Ada", "sum": 10}],
            ),
            (
                db.call("store.update", bucket="clients", key="a", data={"name": "Ada L."}),
                [{"client": "Bob", "sum": 15}, {"client": "Ada L.", "sum": 10}],
            ),
            (
                db.call("store.update", bucket="invoices", key=2, data={"state": "paid"}),
                [{"client": "Ada L.", "sum": 10}],
            ),
        ]
        for change, expected in steps:
            await change
            push = await db.pushes.get()
            assert push["channel"] == "logic"
            assert push["subscriptionId"] == subscribed["subscriptionId"]
            assert push["data"] == expected
        assert await db.call("logic.queryView", name="owed") == [{"client": "Ada L.", "sum": 10}]
        await db.call("logic.unsubscribeView", subscriptionId=subscribed["subscriptionId"])
        await invoice(db, 3, "b", 1)
        await db.call("store.buckets")
        assert db.pushes.empty()
        explained = await db.call("logic.explainView", name="owed")
        assert explained["name"] == "owed"
        await db.call("logic.dropView", name="owed")
        assert "owed" in str(await db.refused("logic.queryView", name="owed"))


async def test_definitions_survive_a_restart(raw, start, tmp_path):
    server = start(dataDir=str(tmp_path / "data"))
    async with raw(server) as db:
        await shop(db)
        await invoice(db, 1, "a", 10)
    server.stop()
    again = start(dataDir=str(tmp_path / "data"))
    async with raw(again) as db:
        assert await db.call("logic.queryView", name="owed") == [{"client": "Ada", "sum": 10}]
        subscribed = await db.call("logic.subscribeView", name="owed")
        await invoice(db, 2, "a", 5)
        push = await db.pushes.get()
        assert push["data"] == [{"client": "Ada", "sum": 15}]
        assert push["subscriptionId"] == subscribed["subscriptionId"]
