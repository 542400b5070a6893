"""Procedures through the published client."""

from harness import Feed, refused


def program(name: str, *steps: dict, **more) -> dict:
    return {"name": name, "steps": list(steps)} | more


def returns(value) -> dict:
    return {"action": "return", "value": value}


async def test_from_registration_to_removal(connect):
    async with connect() as connection:
        procedures = connection.procedures
        assert await procedures.register(program("hello", returns("hi {{ input.who }}"))) == {
            "name": "hello",
            "registered": True,
        }
        error = await refused(procedures.register(program("hello", returns(1))))
        assert (error.code, str(error)) == (
            "ALREADY_EXISTS",
            'Procedure "hello" already exists',
        )
        assert await procedures.call("hello", {"who": "you"}) == {
            "success": True,
            "result": "hi you",
            "results": {},
        }
        assert await procedures.update("hello", {"description": "greets"}) == {
            "name": "hello",
            "updated": True,
        }
        assert (await procedures.get("hello"))["description"] == "greets"
        assert await procedures.list() == {
            "procedures": [{"name": "hello", "description": "greets", "stepsCount": 1}]
        }
        assert (await procedures.unregister("hello"))["unregistered"] is True
        assert (await refused(procedures.call("hello"))).code == "NOT_FOUND"


async def test_steps_over_records(connect):
    async with connect() as connection:
        benches = connection.store.bucket("benches")
        await benches.insert({"id": "b1", "town": "Brno", "seats": 4})
        await benches.insert({"id": "b2", "town": "Brno"})
        await connection.procedures.register(
            program(
                "count-seats",
                {
                    "action": "store.where",
                    "bucket": "benches",
                    "filter": {"town": "{{ input.town }}"},
                    "as": "found",
                },
                {"action": "aggregate", "source": "found", "op": "sum", "field": "seats", "as": "n"},
                {
                    "action": "if",
                    "condition": {"ref": "n", "operator": "lt", "value": 1},
                    "then": [returns(None)],
                },
                {
                    "action": "transform",
                    "source": "found",
                    "operation": "pluck",
                    "args": "id",
                    "as": "ids",
                },
                returns({"seats": "{{ n }}", "ids": "{{ ids }}"}),
                input={"town": {"type": "string"}},
            )
        )
        called = await connection.procedures.call("count-seats", {"town": "Brno"})
        assert called["result"] == {"seats": 6, "ids": ["b1", "b2"]}
        assert [bench["id"] for bench in called["results"]["found"]] == ["b1", "b2"]
        assert (await connection.procedures.call("count-seats", {"town": "Linz"}))["result"] is None
        error = await refused(connection.procedures.call("count-seats"))
        assert (error.code, str(error)) == (
            "VALIDATION_ERROR",
            'Invalid procedure input: Missing required input "town"',
        )


async def test_a_transaction_is_one_push_or_none(connect):
    async with connect() as connection:
        feed = Feed()
        await connection.store.subscribe("all-benches", feed)
        insert = [
            {"action": "store.insert", "bucket": "benches", "data": {"id": id, "town": "Graz"}}
            for id in ("g1", "g2")
        ]
        failing = {"action": "store.update", "bucket": "benches", "key": "none", "data": {}}
        await connection.procedures.register(program("both", *insert, transaction=True))
        await connection.procedures.register(program("neither", *insert, failing, transaction=True))
        error = await refused(connection.procedures.call("neither"))
        assert error.code == "NOT_FOUND"
        await connection.procedures.call("both")
        await feed.until(lambda rows: len(rows) == 2)
        assert [len(rows) for rows in feed.results] == [0, 2]
