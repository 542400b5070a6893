"""Tokens, built-in users and the audit log through the published client."""

import pytest
from noex_client import AuthOptions, CredentialOptions, NoexClient, NoexClientError

from harness import QUICK_RECONNECT, Feed, Signal, client, ids, refused

TOKENS = {
    "auth": {
        "tokens": {
            "t-reader": {"userId": "rita", "roles": ["reader"]},
            "t-admin": {"userId": "root", "roles": ["admin"], "expiresAt": 4102444800000},
        }
    },
    "audit": True,
}

SECRET = "a secret of the admin"
PASSWORD = "correct horse"

USERS = {"auth": {"builtIn": True, "adminSecret": SECRET}, "audit": True}


@pytest.fixture
def external(start):
    return start(**TOKENS)


@pytest.fixture
def built_in(start):
    return start(**USERS)


async def superadmin(connection: NoexClient) -> NoexClient:
    await connection.identity.login_with_secret(SECRET)
    return connection


async def create_user(admin: NoexClient, name: str, *roles: str) -> str:
    user = await admin.identity.create_user({"username": name, "password": PASSWORD})
    for role in roles:
        await admin.identity.assign_role(user["id"], role)
    return user["id"]


async def code(request) -> tuple[str, str]:
    error = await refused(request)
    return error.code, str(error)


async def test_tokens(external):
    async with client(external.url) as connection:
        assert await connection.auth.whoami() is None
        assert await code(connection.store.buckets()) == ("UNAUTHORIZED", "Authentication required")
        session = await connection.auth.login("t-reader")
        assert session == {"userId": "rita", "roles": ["reader"], "expiresAt": None}
        assert await connection.auth.whoami() == {"userId": "rita", "roles": ["reader"]}
        insert = connection.store.bucket("benches").insert({"id": "b", "town": "Brno"})
        assert await code(insert) == (
            "FORBIDDEN",
            "Role level insufficient for store.insert (requires write)",
        )
        assert await code(connection.auth.login("nobody")) == ("UNAUTHORIZED", "Invalid token")
        assert await connection.auth.whoami() is not None
        await connection.auth.logout()
        assert await connection.auth.whoami() is None


async def test_a_token_of_the_options_is_presented(external):
    options = {"auth": AuthOptions(token="t-admin")}
    async with client(external.url, **options) as connection:
        session = await connection.auth.whoami()
        assert session == {"userId": "root", "roles": ["admin"], "expiresAt": 4102444800000}
        assert (await connection.request("server.stats"))["authEnabled"] is True


async def test_a_wrong_token_of_the_options_is_an_error_of_connecting(external):
    with pytest.raises(NoexClientError) as error:
        async with client(external.url, auth=AuthOptions(token="wrong")):
            pass
    assert error.value.code == "UNAUTHORIZED"


async def test_login_again_after_a_restart(external):
    options = {"auth": AuthOptions(token="t-admin"), "reconnect": QUICK_RECONNECT}
    async with client(external.url, **options) as connection:
        feed = Feed()
        await connection.store.subscribe("all-benches", feed)
        again = Signal(connection, "reconnected")
        external.restart()
        await again.wait()
        assert (await connection.auth.whoami())["userId"] == "root"
        await connection.store.bucket("benches").insert({"id": "b1", "town": "Brno"})
        await feed.until(lambda rows: ids(rows) == ["b1"], "a push after the restart")


async def test_users_and_sessions(built_in):
    async with client(built_in.url) as connection:
        admin = await superadmin(connection)
        mira = await create_user(admin, "mira")
        async with client(built_in.url) as user:
            result = await user.identity.login("mira", PASSWORD)
            assert result["user"] == {"id": mira, "username": "mira", "roles": []}
            assert (await user.identity.whoami())["userId"] == mira
            refreshed = await user.identity.refresh_session()
            assert refreshed["token"] != result["token"]
            await user.identity.change_password(mira, PASSWORD, "another password")
            assert (await user.auth.whoami())["userId"] == mira
            await user.identity.logout()
            assert await user.auth.whoami() is None
            assert await code(user.auth.login(refreshed["token"])) == (
                "UNAUTHORIZED",
                "Invalid token",
            )
            assert await code(user.identity.login("mira", PASSWORD)) == (
                "UNAUTHORIZED",
                "Invalid credentials",
            )
            await admin.identity.reset_password(mira, PASSWORD)
            await user.identity.login("mira", PASSWORD)


async def test_administration_of_users_and_roles(built_in):
    async with client(built_in.url) as connection:
        admin = await superadmin(connection)
        mira = await create_user(admin, "mira")
        updated = await admin.identity.update_user(
            mira, {"displayName": "Mira", "email": "mira@example.org", "metadata": {"desk": 7}}
        )
        assert updated["metadata"] == {"desk": 7}
        assert await admin.identity.get_user(mira) == updated
        assert (await admin.identity.disable_user(mira))["enabled"] is False
        assert (await admin.identity.enable_user(mira))["enabled"] is True
        page = await admin.identity.list_users(page=1, page_size=10)
        assert (page["total"], [user["id"] for user in page["users"]]) == (1, [mira])

        names = [role["name"] for role in await admin.identity.list_roles()]
        assert names == ["superadmin", "admin", "writer", "reader"]
        role = await admin.identity.create_role({"name": "curator", "permissions": []})
        await admin.identity.assign_role(mira, "curator")
        held = await admin.identity.get_user_roles(mira)
        assert [role["name"] for role in held] == ["curator"]
        async with client(built_in.url) as user:
            await user.identity.login("mira", PASSWORD)
            assert (await code(user.store.bucket("benches").count()))[0] == "FORBIDDEN"
            permissions = [{"allow": "store.count", "buckets": ["benches"]}]
            await admin.identity.update_role(role["id"], {"permissions": permissions})
            assert await user.store.bucket("benches").count() == 0
            await admin.identity.remove_role(mira, "curator")
            assert (await code(user.store.bucket("benches").count()))[0] == "FORBIDDEN"
        await admin.identity.delete_role(role["id"])
        await admin.identity.delete_user(mira)
        assert await code(admin.identity.get_user(mira)) == ("NOT_FOUND", "User not found")


async def test_access_lists_and_ownership(built_in):
    async with client(built_in.url) as connection, client(built_in.url) as user:
        admin = await superadmin(connection)
        mira = await create_user(admin, "mira")
        await user.identity.login("mira", PASSWORD)
        entry = {
            "subjectType": "user",
            "subjectId": mira,
            "resourceType": "bucket",
            "resourceName": "benches",
        }
        await admin.identity.grant(entry | {"operations": ["read", "write"]})
        await user.store.bucket("benches").insert({"id": "b1", "town": "Brno"})
        access = await user.identity.my_access()
        assert access["resources"] == [
            {
                "resourceType": "bucket",
                "resourceName": "benches",
                "operations": ["read", "write"],
                "isOwner": False,
            }
        ]
        await admin.identity.revoke(entry | {"operations": ["write"]})
        assert await user.store.bucket("benches").count() == 1
        entries = await user.identity.get_acl("bucket", "benches")
        assert [entry["operations"] for entry in entries] == [["read"]]
        assert await user.identity.get_owner("bucket", "benches") is None
        await admin.identity.transfer_owner("bucket", "benches", mira)
        owner = await user.identity.get_owner("bucket", "benches")
        assert owner["username"] == "mira"
        await user.store.bucket("benches").delete("b1")


async def test_a_subscription_follows_the_session(built_in):
    async with client(built_in.url) as connection, client(built_in.url) as user:
        admin = await superadmin(connection)
        await create_user(admin, "mira", "reader")
        await user.identity.login("mira", PASSWORD)
        feed = Feed()
        await user.store.subscribe("all-benches", feed)
        await user.identity.logout()
        await admin.store.bucket("benches").insert({"id": "b1", "town": "Brno"})
        assert await user.auth.whoami() is None
        assert feed.last == []
        await user.identity.login("mira", PASSWORD)
        await feed.until(lambda rows: ids(rows) == ["b1"], "what was missed")


async def test_credentials_of_the_options_survive_a_cut_connection(start):
    server = start(**USERS)
    async with client(server.url) as connection:
        await create_user(await superadmin(connection), "mira", "writer")
    credentials = AuthOptions(credentials=CredentialOptions("mira", PASSWORD))
    async with client(server.url, auth=credentials, reconnect=QUICK_RECONNECT) as user:
        assert (await user.auth.whoami())["roles"] == ["writer"]
        again = Signal(user, "reconnected")
        # Cut off: the token of the first login opens the door.
        user._transport._ws.transport.abort()
        await again.wait()
        assert (await user.auth.whoami())["roles"] == ["writer"]
        await user.store.bucket("benches").insert({"id": "b1", "town": "Brno"})


async def test_a_session_survives_a_restart_with_the_data(start, tmp_path):
    server = start(**USERS, dataDir=str(tmp_path / "data"))
    async with client(server.url) as connection:
        await create_user(await superadmin(connection), "mira", "writer")
    credentials = AuthOptions(credentials=CredentialOptions("mira", PASSWORD))
    async with client(server.url, auth=credentials, reconnect=QUICK_RECONNECT) as user:
        feed = Feed()
        await user.store.subscribe("all-benches", feed)
        again = Signal(user, "reconnected")
        server.restart()
        await again.wait()
        await user.store.bucket("benches").insert({"id": "b1", "town": "Brno"})
        await feed.until(lambda rows: ids(rows) == ["b1"], "a push after the restart")


async def test_an_ended_session_is_not_taken_up_again(built_in):
    async with client(built_in.url) as connection:
        admin = await superadmin(connection)
        mira = await create_user(admin, "mira")
        credentials = AuthOptions(credentials=CredentialOptions("mira", PASSWORD))
        async with client(built_in.url, auth=credentials, reconnect=QUICK_RECONNECT) as user:
            gone = Signal(user, "disconnected")
            await admin.identity.disable_user(mira)
            await gone.wait()
            assert user.state == "disconnected", "4002 is final"


async def test_the_audit_log(external):
    async with client(external.url) as connection:
        await connection.auth.login("t-admin")
        assert await connection.audit.query() == []
        await connection.request("server.stats")
        async with client(external.url, auth=AuthOptions(token="t-reader")) as reader:
            await refused(reader.request("server.stats"))
            assert (await code(reader.audit.query()))[0] == "FORBIDDEN"
        entries = await connection.audit.query({"operation": "server.stats"})
        assert [(entry["userId"], entry["result"]) for entry in entries] == [
            ("rita", "error"),
            ("root", "success"),
        ]
        assert entries[0]["error"] == "Role level insufficient for server.stats (requires admin)"
        newest = await connection.audit.query({"limit": 1})
        assert newest[0]["operation"] == "audit.query"
        assert (await code(connection.audit.query({"limit": 0})))[0] == "VALIDATION_ERROR"
