"""Facts, events and rules through the published client."""

import asyncio

from harness import Feed, client, refused, settled


def rule(id: str, topic: str, *actions: dict, **more) -> dict:
    trigger = {"type": "event", "topic": topic}
    return {"id": id, "name": id, "trigger": trigger, "actions": list(actions)} | more


def emits(topic: str, **data) -> dict:
    return {"type": "emit_event", "topic": topic, "data": data}


class Events(Feed):
    """The callback of an event subscription."""

    def __call__(self, event: dict, topic: str) -> None:
        assert event["topic"] == topic
        super().__call__(event)

    @property
    def topics(self) -> list[str]:
        return [event["topic"] for event in self.results]

    async def count(self, number: int) -> None:
        await self.until(lambda _: len(self.results) >= number, f"event {number}")


async def test_facts(connect):
    async with connect() as connection:
        rules = connection.rules
        fact = await rules.set_fact("tank:9:level", 41)
        assert (fact["key"], fact["value"], fact["version"]) == ("tank:9:level", 41, 1)
        assert (await rules.set_fact("tank:9:level", 42))["version"] == 2
        await rules.set_fact("tank:7:level", None)
        assert await rules.get_fact("tank:9:level") == 42
        assert await rules.get_fact("none") is None
        found = await rules.query_facts("tank:*:level")
        assert [fact["key"] for fact in found] == ["tank:9:level", "tank:7:level"]
        assert len(await rules.get_all_facts()) == 2
        assert await rules.delete_fact("tank:9:level") is True
        assert await rules.delete_fact("tank:9:level") is False


async def test_events_reach_subscribers_in_order(connect):
    async with connect() as emitter, connect() as listener:
        events, orders = Events(), Events()
        await listener.rules.subscribe("*", events)
        stop = await listener.rules.subscribe("order.*", orders)
        event = await emitter.rules.emit("order.paid", {"id": 7}, correlation_id="run-9")
        assert event["data"] == {"id": 7} and event["correlationId"] == "run-9"
        await emitter.rules.emit("other")
        await events.count(2)
        await orders.count(1)
        assert events.topics == ["order.paid", "other"]
        assert orders.results == [event]
        stop()
        await settled(listener)
        await emitter.rules.emit("order.sent")
        await events.count(3)
        await settled(listener)
        assert len(orders.results) == 1


async def test_a_rule_from_registration_to_removal(connect):
    async with connect() as connection:
        rules, events = connection.rules, Events()
        await rules.subscribe("*", events)
        hot = rule(
            "hot",
            "sensor.*",
            {"type": "set_fact", "key": "hot:${event.id}", "value": True},
            emits("alert.hot", sensor={"ref": "event.id"}),
            conditions=[
                {"source": {"type": "event", "field": "c"}, "operator": "gt", "value": 70}
            ],
        )
        assert (await rules.validate_rule(hot))["valid"] is True
        registered = await rules.register_rule(hot)
        assert (registered["id"], registered["version"]) == ("hot", 1)
        assert (await refused(rules.register_rule(hot))).code == "ALREADY_EXISTS"
        await rules.emit("sensor.reading", {"id": "s4", "c": 71.5})
        await rules.emit("sensor.reading", {"id": "s5", "c": 60})
        # The first events of a subscription wait until the client knows it.
        await events.count(3)
        assert events.topics == ["sensor.reading", "alert.hot", "sensor.reading"]
        assert events.results[1]["data"] == {"sensor": "s4"}
        assert await rules.get_fact("hot:s4") is True
        await rules.disable_rule("hot")
        await rules.emit("sensor.reading", {"id": "s6", "c": 99})
        assert await rules.get_fact("hot:s6") is None
        await rules.enable_rule("hot")
        updated = await rules.update_rule("hot", {"trigger": {"type": "event", "topic": "x"}})
        assert updated["version"] == 2
        stored = await rules.get_rule("hot")
        assert stored["conditions"] == hot["conditions"]
        assert [entry["id"] for entry in (await rules.get_rules())["rules"]] == ["hot"]
        await rules.unregister_rule("hot")
        assert (await refused(rules.get_rule("hot"))).code == "NOT_FOUND"
        stats = await rules.stats()
        assert (stats["rulesCount"], stats["rulesExecuted"]) == (0, 1)


async def test_what_is_wrong_with_a_rule_is_listed(connect):
    async with connect() as connection:
        error = await refused(connection.rules.register_rule({}))
        assert error.code == "VALIDATION_ERROR"
        assert [issue["path"] for issue in error.details] == ["id", "name", "trigger"]
        report = await connection.rules.validate_rule(
            rule("r", "t", {"type": "call_service", "service": "fax", "method": "send"})
        )
        assert report["valid"] is True
        assert [issue["path"] for issue in report["warnings"]] == ["actions[0].service"]


async def test_timers_fire(connect):
    async with connect() as connection:
        events = Events()
        await connection.rules.subscribe("tick", events)
        timer = {
            "name": "t:${event.id}",
            "duration": "20ms",
            "repeat": {"interval": "20ms", "maxCount": 3},
            "onExpire": {"topic": "tick", "data": {"id": {"ref": "event.id"}}},
        }
        await connection.rules.register_rule(rule("r", "go", {"type": "set_timer", "timer": timer}))
        await connection.rules.emit("go", {"id": 5}, correlation_id="c")
        await events.count(3)
        for event in events.results:
            assert (event["data"], event["source"]) == ({"id": 5}, "timer")
            assert event["correlationId"] == "c"
        assert (await connection.rules.stats())["timersCount"] == 0


async def test_rules_write_records(connect):
    async with connect() as connection:
        insert = {
            "type": "call_service",
            "service": "store",
            "method": "insert",
            "args": ["benches", {"ref": "event.bench"}],
        }
        caught = {"type": "set_fact", "key": "error", "value": {"ref": "var.e.message"}}
        attempt = {"type": "try_catch", "try": [insert], "catch": {"as": "e", "actions": [caught]}}
        await connection.rules.register_rule(rule("r", "bench.built", attempt))
        await connection.rules.emit("bench.built", {"bench": {"id": "b1", "town": "Brno"}})
        record = await connection.store.bucket("benches").get("b1")
        assert (record["town"], record["seats"], record["_version"]) == ("Brno", 2, 1)
        assert await connection.rules.get_fact("error") is None
        await connection.rules.emit("bench.built", {"bench": {"id": "b2"}})
        assert await connection.store.bucket("benches").get("b2") is None
        assert await connection.rules.get_fact("error")


async def test_changes_of_records_become_events(start):
    server = start(rules={"storeEvents": {"buckets": ["benches"]}})
    async with client(server.url) as connection:
        events = Events()
        await connection.rules.subscribe("bucket.*", events)
        benches = connection.store.bucket("benches")
        await benches.insert({"id": "b1", "town": "Brno"})
        await connection.store.bucket("visits").insert({"bench": "b1"})
        await benches.update("b1", {"town": "Praha"})
        await benches.delete("b1")
        await events.count(3)
        kinds = ["inserted", "updated", "deleted"]
        assert events.topics == [f"bucket.benches.{kind}" for kind in kinds]
        updated = events.results[1]["data"]
        assert updated["oldRecord"]["town"] == "Brno" and updated["newRecord"]["town"] == "Praha"


async def test_rules_facts_and_timers_survive_a_restart(start, tmp_path):
    definitions = [rule("f", "t", emits("file"))]
    server = start(dataDir=str(tmp_path / "data"), rules={"definitions": definitions})
    async with client(server.url) as connection:
        rules = connection.rules
        timer = {
            "name": "n",
            "duration": "1h",
            "onExpire": {"topic": "late", "data": {}},
        }
        await rules.register_rule(rule("w", "t", {"type": "set_timer", "timer": timer}))
        await rules.disable_rule("f")
        await rules.set_fact("b", [1, None])
        await rules.set_fact("a", 1)
        await rules.set_fact("a", 2)
        await rules.emit("t")
        before = await rules.get_all_facts()
        wire = await rules.get_rule("w")
    server.kill()
    server.start()
    async with client(server.url) as connection:
        rules = connection.rules
        assert await rules.get_all_facts() == before
        assert await rules.get_rule("w") == wire
        # What the wire changed of a rule of the file lasts until the start.
        assert (await rules.get_rule("f"))["enabled"] is True
        assert (await rules.stats())["timersCount"] == 1


async def test_without_rules(start):
    server = start(rules=False)
    async with client(server.url) as connection:
        assert (await refused(connection.rules.emit("t"))).code == "RULES_NOT_AVAILABLE"


async def test_no_event_is_lost_behind_the_answer_to_a_subscribe(connect):
    """What the client would throw away if it came in one read with the answer."""
    async with connect() as connection:
        for turn in range(100):
            events = Events()
            topic = f"race.{turn}"
            stop, _ = await asyncio.gather(
                connection.rules.subscribe(topic, events),
                connection.rules.emit(topic, {"turn": turn}),
            )
            await events.count(1)
            stop()
