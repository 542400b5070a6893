"""Records and their errors through the client's bucket API."""

from harness import client, refused


async def test_insert_fills_in_defaults_and_metadata(connect):
    async with connect() as connection:
        row = await connection.store.bucket("benches").insert({"id": "b1", "town": "Brno"})
        assert row["id"] == "b1"
        assert row["seats"] == 2
        assert row["_version"] == 1
        assert row["_createdAt"] == row["_updatedAt"]
        assert await connection.store.bucket("benches").get("b1") == row


async def test_generated_keys_count_up(connect):
    async with connect() as connection:
        visits = connection.store.bucket("visits")
        rows = [await visits.insert({"bench": "b1"}) for _ in range(3)]
        assert [row["id"] for row in rows] == [1, 2, 3]


async def test_update_merges_and_counts_versions(connect):
    async with connect() as connection:
        benches = connection.store.bucket("benches")
        await benches.insert({"id": "b1", "town": "Brno"})
        row = await benches.update("b1", {"seats": 5})
        assert (row["town"], row["seats"], row["_version"]) == ("Brno", 5, 2)
        assert await benches.get("b1") == row


async def test_delete_and_get_of_nothing(connect):
    async with connect() as connection:
        benches = connection.store.bucket("benches")
        await benches.insert({"id": "b1", "town": "Brno"})
        await benches.delete("b1")
        assert await benches.get("b1") is None
        # Deleting what is not there is no error.
        await benches.delete("b1")


async def test_reading_many(connect):
    async with connect() as connection:
        benches = connection.store.bucket("benches")
        for number, town in enumerate(["Brno", "Praha", "Brno", "Zlín"], start=1):
            await benches.insert({"id": f"b{number}", "town": town})

        def names(rows):
            return [row["id"] for row in rows]

        assert names(await benches.all()) == ["b1", "b2", "b3", "b4"]
        assert names(await benches.where({"town": "Brno"})) == ["b1", "b3"]
        assert (await benches.find_one({"town": "Zlín"}))["id"] == "b4"
        assert await benches.find_one({"town": "Ostrava"}) is None
        assert await benches.count() == 4
        assert await benches.count({"town": "Brno"}) == 2
        assert names(await benches.first(2)) == ["b1", "b2"]
        assert names(await benches.last(2)) == ["b3", "b4"]
        await benches.clear()
        assert await benches.all() == []


async def test_text_of_every_kind_survives(connect):
    async with connect() as connection:
        benches = connection.store.bucket("benches")
        town = 'žluťoučký "kůň" \\ / \u2028 \U0001f40e \x01 \t\n end'
        await benches.insert({"id": "b1", "town": town})
        assert (await benches.get("b1"))["town"] == town


async def test_buckets_are_defined_and_listed(connect):
    async with connect() as connection:
        answer = await connection.store.define_bucket(
            "lamps", {"key": "id", "schema": {"id": {"type": "string"}}}
        )
        assert answer == {"name": "lamps", "created": True}
        assert await connection.store.buckets() == {
            "count": 3,
            "names": ["benches", "visits", "lamps"],
        }
        stats = await connection.store.stats()
        assert stats["records"] == {
            "total": 0,
            "perBucket": {"benches": 0, "visits": 0, "lamps": 0},
        }


async def test_errors_carry_their_codes(connect):
    async with connect() as connection:
        benches = connection.store.bucket("benches")

        error = await refused(benches.insert({"id": "b1"}))
        assert error.code == "VALIDATION_ERROR"
        assert [issue["field"] for issue in error.details] == ["town"]

        error = await refused(benches.insert({"id": "b1", "town": "Brno", "seats": 0}))
        assert error.code == "VALIDATION_ERROR"
        assert error.details[0]["field"] == "seats"

        error = await refused(benches.update("missing", {"seats": 3}))
        assert error.code == "NOT_FOUND"
        assert str(error) == 'Record with key "missing" not found in bucket "benches"'

        error = await refused(connection.store.bucket("nowhere").all())
        assert error.code == "BUCKET_NOT_DEFINED"
        assert str(error) == 'Bucket "nowhere" is not defined'

        error = await refused(
            connection.store.define_bucket("benches", {"key": "id", "schema": {"id": {"type": "string"}}})
        )
        assert error.code == "ALREADY_EXISTS"

        error = await refused(connection.request("store.levitate"))
        assert error.code == "UNKNOWN_OPERATION"
        assert str(error) == 'Unknown store operation "store.levitate"'

        error = await refused(connection.request("store.get", {"bucket": "benches"}))
        assert error.code == "VALIDATION_ERROR"
        assert str(error) == 'Missing "key": expected non-null value'

        # None of this has cost the connection, nor left anything behind.
        assert await benches.all() == []


async def test_error_details_can_be_hidden(start):
    server = start(exposeErrorDetails=False)
    async with client(server.url) as connection:
        error = await refused(connection.store.bucket("benches").insert({"id": "b1"}))
        assert error.code == "VALIDATION_ERROR"
        assert error.details is None


async def test_rate_limit_says_when_to_come_back(start):
    server = start(rateLimit={"maxRequests": 3, "windowMs": 60000})
    async with client(server.url) as connection:
        for _ in range(3):
            await connection.store.buckets()
        error = await refused(connection.store.buckets())
        assert error.code == "RATE_LIMITED"
        assert 0 < error.details["retryAfterMs"] <= 60000
        assert str(error) == f"Rate limit exceeded. Retry after {error.details['retryAfterMs']}ms"
