"""noexd shell."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import time
from pathlib import Path
from typing import Callable

import pytest

from rig import PATIENCE, Server, Terminal, environment, run

PARTS = {
    "buckets": {
        "parts": {
            "key": "sku",
            "schema": {"sku": {"type": "string"}, "qty": {"type": "number"}, "shelf": {"type": "string"}},
        }
    },
    "queries": {"scarce": {"bucket": "parts", "filter": {"qty": {"$lt": "{{ params.below }}"}}}},
}
SECRET = "0123456789abcdef-admin"

Serve = Callable[..., Server]
At = Callable[..., Terminal]

PROMPT = "noexd> "


def test_lines_and_their_exit_codes(binary: Path, serve: Serve) -> None:
    server = serve(**PARTS)
    done = run(
        binary,
        "shell",
        "-e",
        'insert parts {"sku": "M4", "qty": 7}',
        "-e",
        "store.get parts M4",
        "-e",
        'find parts {"qty": {"$gt": 5}} fields=["sku"]',
        "-e",
        '{"type": "store.count", "bucket": "parts"}',
        NOEXD_URL=server.url,
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert json.loads(lines[0]) == json.loads(lines[1])
    assert lines[2:] == ['[{"sku": "M4"}]', "1"]
    # An answer that is an error ends it.
    done = run(binary, "shell", "--url", server.url, "-e", "get nope x", "-e", "count parts")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == 'BUCKET_NOT_DEFINED: Bucket "nope" is not defined\n'
    # So does a line that is none.
    done = run(binary, "shell", "--url", server.url, "-e", "coun parts")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == 'Error: unknown operation "coun" (did you mean count?)\n'
    done = run(binary, "shell", "--url", server.url, "-e", ".quit", "-e", "get nope x")
    assert (done.returncode, done.stderr) == (0, "")


def test_without_a_connection(binary: Path, serve: Serve, tmp_path: Path) -> None:
    server = serve()
    server.kill()
    done = run(binary, "shell", "--url", server.url, "-e", "stats")
    assert done.returncode == 69
    assert done.stderr.startswith(f"Error: {server.url}: Connection refused"), done.stderr
    done = run(binary, "shell", "--url", f"ws+unix:{tmp_path}/none", "-e", "stats")
    assert done.returncode == 69
    for arguments in (["--url", "nope"], ["--what"], ["word"], ["--insecure"]):
        done = run(binary, "shell", *arguments, "-e", "stats")
        assert (done.returncode, done.stdout) == (78, ""), arguments
    assert "--insecure is for wss://" in done.stderr
    # Who does not speak WebSocket.
    server = serve(path="/ws")
    done = run(binary, "shell", "--url", server.url.replace("/ws", "/other"), "-e", "stats")
    assert done.returncode == 69 and "404" in done.stderr, done.stderr


def test_messages_as_they_are(binary: Path, serve: Serve) -> None:
    server = serve(**PARTS)
    lines = [
        "count parts",
        '{"id": 1e2, "type": "store.count", "bucket": "parts"}',
        '{"type": "store.buckets"}',
        ".json",
        "count parts",
    ]
    done = run(binary, "shell", "--url", server.url, "--json", stdin="\n".join(lines))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        '{"id":1,"type":"result","data":0}',
        '{"id":100,"type":"result","data":0}',
        '{"id":2,"type":"result","data":{"count":1,"names":["parts"]}}',
        "messages for people",
        "0",
    ]
    # What the server cannot read is answered without the id, and not waited for.
    for line in ('{"id": "x", "type": "store.buckets"}', '{"id": 7}', "{}"):
        done = run(binary, "shell", "--url", server.url, "-e", line)
        assert done.returncode == 1
        assert done.stderr.startswith("INVALID_REQUEST: "), (line, done.stderr)
    # The only message that is not answered.
    done = run(
        binary, "shell", "--url", server.url, "-e", '{"type":"pong","timestamp":1}', "-e", "buckets"
    )
    assert (done.returncode, done.stdout) == (0, '{"count": 1, "names": ["parts"]}\n')


def test_whoever_watches_stays_until_the_server_goes(binary: Path, serve: Serve) -> None:
    server = serve(**PARTS)
    watching = subprocess.Popen(
        [binary, "shell", "--url", server.url, "--json", "-e", 'watch scarce {"below": 5}'],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert watching.stdout is not None and watching.stderr is not None
    assert json.loads(watching.stdout.readline())["data"]["data"] == []
    run(binary, "shell", "--url", server.url, "-e", 'insert parts {"sku":"a","qty":1}')
    push = json.loads(watching.stdout.readline())
    assert push["data"]["added"][0]["row"]["sku"] == "a"
    server.kill()
    assert watching.wait(PATIENCE) == 69
    assert watching.stderr.read().startswith("Error: ")


def test_an_output_that_nobody_reads(binary: Path, serve: Serve) -> None:
    server = serve(**PARTS)
    script = f"yes 'count parts' | {binary} shell --url {server.url} | head -1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {script}; echo ${{PIPESTATUS[1]}}"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=environment(),
    )
    assert done.stdout == "0\n0\n" and "panic" not in done.stderr, (done.stdout, done.stderr)


def built_in(serve: Serve) -> Server:
    return serve(auth={"builtIn": True, "adminSecret": SECRET}, host="127.0.0.1")


def test_logins_of_built_in_users(binary: Path, serve: Serve, tmp_path: Path, terminal: At) -> None:
    server = built_in(serve)
    secret = tmp_path / "secret"
    secret.write_text(SECRET + "\n")
    create = 'identity.createUser ada "correct horse" displayName=Ada'
    done = run(binary, "shell", "--url", server.url, "--secret-file", str(secret), "-e", create)
    assert done.returncode == 0, done.stderr
    who = ["shell", "--url", server.url, "--user", "ada", "-e", "identity.whoami"]
    done = run(binary, *who, NOEXD_PASSWORD="correct horse")
    assert done.returncode == 0 and '"authenticated": true' in done.stdout, done.stderr
    done = run(binary, *who, NOEXD_PASSWORD="wrong")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: UNAUTHORIZED: "), done.stderr
    # At a terminal it asks, and shows nothing of what is typed.
    asked = terminal(*who)
    asked.expect("Password of ada: ")
    asked.type("correct horse\n")
    asked.expect('"authenticated": true')
    assert asked.end() == 0
    assert "horse" not in asked.seen
    # Without one it says what would help.
    done = subprocess.run(
        ["setsid", binary, *who], capture_output=True, text=True, timeout=PATIENCE, env=environment()
    )
    assert done.returncode == 78
    assert done.stderr.startswith("Error: --user: there is no terminal to ask at, set NOEXD_PASSWORD")
    # A session's token is as good.
    login = json.dumps({"type": "identity.login", "username": "ada", "password": "correct horse"})
    done = run(binary, "shell", "--url", server.url, "--json", "-e", login)
    token = json.loads(done.stdout)["data"]["token"]
    done = run(
        binary, "shell", "--url", server.url, "-e", "identity.whoami", NOEXD_TOKEN=token
    )
    assert done.returncode == 0 and '"authenticated": true' in done.stdout, done.stderr
    # Nobody is nobody.
    done = run(binary, "shell", "--url", server.url, "-e", "stats")
    assert done.returncode == 1 and done.stderr.startswith("UNAUTHORIZED: "), done.stderr


def test_logins_with_tokens(binary: Path, serve: Serve, tmp_path: Path) -> None:
    server = serve(auth={"tokens": {"t-1": {"userId": "u", "roles": ["reader"]}}})
    token = tmp_path / "token"
    token.write_text("t-1\r\n")
    who = ["shell", "--url", server.url, "-e", "auth.whoami"]
    done = run(binary, *who, "--token-file", str(token), NOEXD_TOKEN="other")
    assert done.returncode == 0 and '"userId": "u"' in done.stdout, done.stderr
    done = run(binary, *who, NOEXD_TOKEN="other")
    assert done.returncode == 1 and done.stderr.startswith("Error: UNAUTHORIZED: "), done.stderr
    token.write_text("\n")
    done = run(binary, *who, "--token-file", str(token))
    assert done.returncode == 78 and done.stderr.startswith(f"Error: --token-file: {token}: "), done.stderr


def test_a_unix_socket(binary: Path, serve: Serve, tmp_path: Path) -> None:
    socket = tmp_path / "n.sock"
    serve(listen=[f"unix:{socket}"], path="/ws", **PARTS)
    done = run(binary, "shell", "--url", f"ws+unix:{socket}:/ws", "-e", "count parts")
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr


def certificate(directory: Path, name: str, names: str, *more: str) -> tuple[Path, Path]:
    cert, key = directory / f"{name}.pem", directory / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        + ["-keyout", key, "-out", cert, "-subj", f"/CN={name}", "-addext", f"subjectAltName={names}"]
        + (list(more) or ["-x509", "-days", "30"]),
        check=True,
        capture_output=True,
    )
    return cert, key


@pytest.mark.skipif(not shutil.which("openssl"), reason="there is no openssl")
def test_tls(binary: Path, serve: Serve, tmp_path: Path) -> None:
    # As the documentation makes one to try it: its own authority.
    cert, key = certificate(tmp_path, "own", "DNS:localhost,IP:127.0.0.1")
    server = serve(tls={"cert": str(cert), "key": str(key)}, **PARTS)
    count = ["shell", "--url", server.url, "-e", "count parts"]
    done = run(binary, *count, "--ca", str(cert))
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr
    done = run(binary, *count, SSL_CERT_FILE=str(cert))
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr
    done = run(binary, *count)
    assert done.returncode == 69 and "UnknownIssuer" in done.stderr, done.stderr
    done = run(binary, *count, "--insecure")
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr
    # More than a record, in both directions.
    rows = [{"sku": f"s{n}", "shelf": "x" * 1000} for n in range(200)]
    lines = f"insertMany parts {json.dumps(rows)}\nall parts\n"
    done = run(binary, "shell", "--json", "--url", server.url, "--ca", str(cert), stdin=lines)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout.splitlines()[1])["data"]) == 200
    # Another certificate, and the right one for another name.
    other, _ = certificate(tmp_path, "other", "IP:127.0.0.1")
    done = run(binary, *count, "--ca", str(other))
    assert done.returncode == 69, done.stderr
    cert, key = certificate(tmp_path, "elsewhere", "DNS:elsewhere.example")
    server = serve(tls={"cert": str(cert), "key": str(key)})
    done = run(binary, "shell", "--url", server.url, "-e", "stats", "--ca", str(cert))
    assert done.returncode == 69 and "not valid for name" in done.stderr, done.stderr
    done = run(binary, *count, "--ca", str(tmp_path / "none"))
    assert done.returncode == 69 and "none" in done.stderr


def test_changes_stand_above_what_is_typed(binary: Path, serve: Serve, terminal: At) -> None:
    server = serve(rules={"storeEvents": True}, **PARTS)
    shell = terminal("shell", "--url", server.url, NO_COLOR="1")
    shell.expect(PROMPT)
    shell.type('watch scarce {"below": 5}\n')
    shell.expect(r"scarce is sub-\d+\r\n\[\]\r\n")
    shell.expect(PROMPT)
    shell.type("events bucket.*.*\n")
    shell.expect(r"bucket\.\*\.\* is \S+")
    shell.expect(PROMPT)
    shell.type("count pa")
    shell.expect("count pa")
    run(binary, "shell", "--url", server.url, "-e", 'insert parts {"sku":"a","qty":1}')
    shell.expect(r'scarce: \+ \{"sku": "a", "qty": 1')
    shell.expect(r"noexd> count pa")
    shell.expect(r"bucket\.\*\.\*: bucket\.parts\.inserted ")
    run(binary, "shell", "--url", server.url, "-e", 'update parts a {"qty":2}')
    shell.expect(r'scarce: ~ \{"sku": "a", "qty": 2')
    run(binary, "shell", "--url", server.url, "-e", 'update parts a {"qty":20}')
    shell.expect(r'scarce: - "a"')
    shell.expect(r"noexd> count pa")
    # The line is still what it was.
    shell.type("rts\n")
    shell.expect(r"\r\n1\r\n")
    shell.type("unwatch scarce\n")
    shell.expect("unsubscribed")
    run(binary, "shell", "--url", server.url, "-e", 'update parts a {"qty":3}')
    shell.expect(r"bucket\.parts\.updated ")
    assert "qty\": 3" not in shell.seen.split("unsubscribed")[1].split("bucket.parts.updated")[0]
    shell.type("unwatch\n")
    shell.expect("unsubscribed")
    shell.expect(PROMPT)
    shell.type("unwatch\n")
    shell.expect("nothing is watched")
    shell.expect(PROMPT)
    shell.type(".quit\n")
    assert shell.end() == 0


def test_commands_of_the_shell_itself(serve: Serve, terminal: At) -> None:
    server = serve(**PARTS)
    shell = terminal("shell", "--url", server.url)
    shell.expect(PROMPT)
    shell.type(".help\n")
    shell.expect("watch QUERY")
    shell.expect("store.getBucketSchema|getBucketSchema")
    shell.type(".help update\n")
    shell.expect("update bucket key data apply expect, and FIELD=VALUE")
    shell.type(".json\n")
    shell.expect("messages as they are")
    shell.type("count parts\n")
    shell.expect(r'\{"id":\d+,"type":"result","data":0\}')
    shell.type(".json\n")
    shell.expect("messages for people")
    # Ctrl-C forgets the line, Ctrl-D ends it.
    shell.expect(PROMPT)
    shell.type("clear parts\x03")
    shell.expect(PROMPT)
    shell.type("count parts\n")
    shell.expect(r"\r\n0\r\n")
    shell.expect(PROMPT)
    shell.type("\x04")
    assert shell.end() == 0


def test_completion(serve: Serve, terminal: At) -> None:
    server = serve(**PARTS)
    shell = terminal("shell", "--url", server.url, NO_COLOR="1")
    shell.expect(PROMPT)
    for typed, becomes in [
        ("insertM", "insertMany"),
        ("get pa", "get parts"),
        ("watch sc", "watch scarce"),
        ('where parts {"q', 'where parts {"qty"'),
        ("find parts lim", "find parts limit="),
        ("rules.setF", "rules.setFact"),
    ]:
        shell.type(typed)
        shell.expect(typed.replace("{", r"\{"))
        shell.type("\t")
        shell.expect(becomes.replace("{", r"\{"))
        shell.type("\x03")
        shell.expect(PROMPT)
    shell.type("store.get\t\t")
    shell.expect("store.getBucketSchema")
    # A bucket that came later is known at once.
    shell.expect(r"noexd> store\.get")
    shell.type("\x03")
    shell.expect(PROMPT)
    shell.type('defineBucket zebras {"key":"id","schema":{"id":{"type":"string"}}}\n')
    shell.expect("created")
    shell.expect(PROMPT)
    shell.type("all z\t")
    shell.expect("all zebras")


def test_history_holds_no_secrets(serve: Serve, terminal: At, tmp_path: Path) -> None:
    server = serve(**PARTS)
    shell = terminal("shell", "--url", server.url)
    shell.expect(PROMPT)
    lines = [
        "count parts",
        "auth.login hunter2token",
        'identity.login ada {"Password":"hunter2"}',
        '{"type":"identity.loginWithSecret","secret":"hunter2"}',
        "buckets",
    ]
    for line in lines:
        shell.type(line + "\n")
        shell.expect(r"\n[^\n]*\n[^\n]*noexd> ")
    shell.type(".quit\n")
    assert shell.end() == 0
    file = tmp_path / "state/noexd/history"
    text = file.read_text()
    assert "count parts" in text and "buckets" in text
    assert "hunter2" not in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    # It is there the next time, newest first.
    shell = terminal("shell", "--url", server.url)
    shell.expect(PROMPT)
    for line in [".quit", "buckets", "count parts"]:
        shell.type("\x1b[A")
        shell.expect(line.replace(".", r"\."))


def test_colors(serve: Serve, terminal: At) -> None:
    server = serve(**PARTS)
    for extra, has_color in [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True)]:
        shell = terminal("shell", "--url", server.url, **extra)
        shell.expect(PROMPT)
        shell.type("get nope x\n")
        shell.expect('BUCKET_NOT_DEFINED: Bucket "nope" is not defined')
        shell.expect(PROMPT)
        shell.type("\x04")
        assert shell.end() == 0
        assert ("\x1b[31m" in shell.seen) == has_color, (extra, shell.seen)


def test_data_does_not_steer_the_terminal(binary: Path, serve: Serve) -> None:
    server = serve(**PARTS)
    done = run(
        binary, "shell", "--url", server.url, "-e", 'insert parts {"sku":"\u009b2J\u001b[2J"}'
    )
    assert done.returncode == 1, "half of it is no JSON"
    done = run(
        binary, "shell", "--url", server.url, "-e", 'insert parts {"sku":"\u009b2J\\u001b[2J"}'
    )
    assert done.returncode == 0, done.stderr
    assert '"\\u009b2J\\u001b[2J"' in done.stdout and "\u009b" not in done.stdout


def test_a_lost_connection_is_made_again(serve: Serve, terminal: At) -> None:
    server = serve(**PARTS)
    shell = terminal("shell", "--url", server.url, NO_COLOR="1")
    shell.expect(PROMPT)
    shell.type('watch scarce {"below": 5}\n')
    shell.expect("scarce is")
    shell.expect(PROMPT)
    server.restart()
    shell.expect("the next line connects again")
    shell.type("count parts\n")
    shell.expect(r"\r\n0\r\n")
    shell.type("unwatch\n")
    shell.expect("nothing is watched")
    server.kill()
    shell.expect("the next line connects again")
    shell.type("count parts\n")
    shell.expect("Connection refused")
    shell.expect(PROMPT)
    shell.type(".quit\n")
    assert shell.end() == 0


def test_it_answers_pings(binary: Path, serve: Serve, terminal: At) -> None:
    server = serve(heartbeat={"intervalMs": 50, "timeoutMs": 50}, **PARTS)
    shell = terminal("shell", "--url", server.url, NO_COLOR="1")
    shell.expect(PROMPT)
    # Only an answered ping has a time.
    is_answered = False
    deadline = time.monotonic() + PATIENCE
    while not is_answered:
        assert time.monotonic() < deadline, "no ping was answered"
        top = run(binary, "shell", "--url", server.url, "--json", "-e", "server.top ping")
        rows = json.loads(top.stdout)["data"]["rows"]
        agents = [row for row in rows if row["userAgent"].startswith("noexd-shell/")]
        is_answered = any(row["pingMs"] is not None for row in agents)
    shell.type("count parts\n")
    shell.expect(r"\r\n0\r\n")
    assert "connects again" not in shell.seen
