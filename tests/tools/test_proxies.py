"""noexd behind nginx, Caddy and haproxy (operations.md 14.4): the shipped configurations
of nginx and Caddy, PROXY protocol of both versions, haproxy's default check, and the HTTP door
through them. Needs the programs; without one, its tests are skipped."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from websockets.sync.client import connect

from rig import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
CADDY = shutil.which("caddy")
STREAM = Path("/usr/lib/nginx/modules/ngx_stream_module.so")

needs_nginx = pytest.mark.skipif(not NGINX, reason="no nginx here")
needs_stream = pytest.mark.skipif(
    not NGINX or not STREAM.exists(), reason="no libnginx-mod-stream here"
)
needs_caddy = pytest.mark.skipif(not CADDY, reason="no caddy here")
needs_haproxy = pytest.mark.skipif(not HAPROXY, reason="no haproxy here")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def listens(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Waits until somebody answers there."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
            return
        except ConnectionRefusedError:
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the proxy does not run:\n{log.read_text(errors='replace')}")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Runs a proxy in the foreground until it listens; it ends with the test."""
    running: list[subprocess.Popen[bytes]] = []

    def start(port: int, *command: str) -> None:
        log = tmp_path / "proxy.log"
        with log.open("ab") as out:
            running.append(subprocess.Popen(command, stdout=out, stderr=out, cwd=tmp_path))
        listens(port, running[-1], log)

    yield start
    for process in running:
        process.terminate()
        process.wait()


def nginx(tmp_path: Path, inside: str) -> list[str]:
    """The command that runs nginx with this configuration."""
    assert NGINX
    file = tmp_path / "nginx.conf"
    # Its workers would be somebody who may not enter the test's directory.
    user = "user root root;" if os.geteuid() == 0 else ""
    begin = f"daemon off; pid {tmp_path}/nginx.pid; error_log stderr; {user}"
    file.write_text(f"{begin}\n{inside}")
    return [NGINX, "-p", str(tmp_path), "-c", str(file), "-e", "stderr"]


def http_part(tmp_path: Path, servers: str) -> str:
    paths = "\n".join(
        f"{kind}_temp_path {tmp_path}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"events {{}}\nhttp {{\naccess_log off;\n{paths}\n{servers}\n}}\n"


def certificate(tmp_path: Path) -> tuple[Path, Path]:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    request = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(key), "-out", str(cert)]
    subprocess.run([*request.split(), *names, *files], check=True, capture_output=True)
    return cert, key


def curl(*arguments: str) -> str:
    command = ["curl", "-sS", "--max-time", "20", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def rpc(url: str, message: dict[str, Any], *arguments: str) -> Any:
    text = curl(
        *arguments, "-H", "Content-Type: application/json", "-d", json.dumps(message), f"{url}/rpc"
    )
    answer = json.loads(text)
    assert answer["type"] == "result", answer
    return answer["data"]


QUERY = {
    "buckets": {"kilns": {"key": "id", "schema": {"id": {"type": "number"}}}},
    "queries": {"all": {"bucket": "kilns"}},
}


def addresses(rows: list[dict[str, Any]]) -> list[str]:
    return [row["remoteAddress"] for row in rows]


@needs_nginx
def test_the_shipped_configuration_of_nginx(serve, run, tmp_path: Path) -> None:
    server = serve(trustedProxies=["127.0.0.1"], http=True, **QUERY)
    cert, key = certificate(tmp_path)
    port = free_port()
    text = (ROOT / "contrib/nginx/noexd.conf").read_text()
    for old, new in [
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("server_name db.example", "server_name localhost"),
        ("/etc/letsencrypt/live/db.example/fullchain.pem", str(cert)),
        ("/etc/letsencrypt/live/db.example/privkey.pem", str(key)),
        ("http://127.0.0.1:8080", f"http://127.0.0.1:{server.port}"),
    ]:
        assert old in text, old
        text = text.replace(old, new)
    # Requests that say they come from elsewhere: nginx's word counts.
    text = text.replace("X-Forwarded-For $remote_addr", "X-Forwarded-For 192.0.2.7")
    run(port, *nginx(tmp_path, http_part(tmp_path, text)))
    url = f"https://localhost:{port}"
    trust = ("--cacert", str(cert))
    context = ssl.create_default_context(cafile=str(cert))
    with connect(f"wss://localhost:{port}/", ssl=context, proxy=None) as client:
        assert json.loads(client.recv(PATIENCE))["type"] == "welcome"
        client.send(json.dumps({"id": 1, "type": "server.connections"}))
        assert addresses(json.loads(client.recv(PATIENCE))["data"]) == ["192.0.2.7"]
    assert rpc(url, {"type": "store.count", "bucket": "kilns"}, *trust) == 0
    # A body as long as one may be passes, too.
    padding = " " * (1_048_576 - 100)
    body = tmp_path / "body"
    body.write_text(json.dumps({"type": "store.count", "bucket": "kilns"}) + padding)
    text = curl(*trust, "-H", "Content-Type: application/json", "-d", f"@{body}", f"{url}/rpc")
    assert json.loads(text)["data"] == 0
    # Events come when they happen, not when a buffer is full.
    stream = subprocess.Popen(
        ["curl", "-sSN", "--max-time", "20", *trust, f"{url}/live?query=all"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert stream.stdout

    def next_data() -> Any:
        for line in stream.stdout or ():
            if line.startswith("data: "):
                return json.loads(line.removeprefix("data: "))
        pytest.fail("the stream has ended")

    try:
        assert next_data()["data"] == []
        rpc(url, {"type": "store.insert", "bucket": "kilns", "data": {"id": 1}}, *trust)
        assert [row["id"] for row in next_data()] == [1]
    finally:
        stream.kill()
        stream.wait()
    status = curl(*trust, "-o", "/dev/null", "-w", "%{http_code}", f"{url}/metrics")
    assert status == "404"


@needs_stream
def test_the_proxy_protocol_of_nginx(serve, run, tmp_path: Path) -> None:
    listener = {"address": "127.0.0.1:0", "proxyProtocol": True}
    server = serve(listen=[listener], trustedProxies=["127.0.0.1"], http=True, **QUERY)
    port = free_port()
    inside = f"""load_module {STREAM};
events {{}}
stream {{ server {{
    listen 127.0.0.1:{port};
    proxy_pass 127.0.0.1:{server.port};
    proxy_protocol on;
}} }}
"""
    run(port, *nginx(tmp_path, inside))
    assert rpc(f"http://127.0.0.1:{port}", {"type": "store.count", "bucket": "kilns"}) == 0
    with connect(f"ws://127.0.0.1:{port}/", proxy=None) as client:
        assert json.loads(client.recv(PATIENCE))["type"] == "welcome"


@needs_nginx
def test_nginx_before_a_unix_socket(serve, run, tmp_path: Path) -> None:
    path = tmp_path / "noexd.sock"
    serve(listen=[{"address": f"unix:{path}"}], trustedProxies=["unix"], http=True, **QUERY)
    port = free_port()
    servers = f"""server {{
    listen 127.0.0.1:{port};
    location / {{
        proxy_pass http://unix:{path}:;
        proxy_http_version 1.1;
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For 192.0.2.9;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection upgrade;
    }}
}}"""
    run(port, *nginx(tmp_path, http_part(tmp_path, servers)))
    with connect(f"ws://127.0.0.1:{port}/", proxy=None) as client:
        assert json.loads(client.recv(PATIENCE))["type"] == "welcome"
        client.send(json.dumps({"id": 1, "type": "server.connections"}))
        assert addresses(json.loads(client.recv(PATIENCE))["data"]) == ["192.0.2.9"]


@needs_caddy
def test_the_shipped_configuration_of_caddy(serve, run, tmp_path: Path) -> None:
    assert CADDY
    server = serve(trustedProxies=["127.0.0.1"], http=True, **QUERY)
    cert, key = certificate(tmp_path)
    port = free_port()
    text = (ROOT / "contrib/caddy/Caddyfile").read_text()
    for old, new in [
        # Not one that it would get itself: nobody out there knows this machine.
        ("db.example {", f"localhost:{port} {{\n\ttls {cert} {key}"),
        ("127.0.0.1:8080", f"127.0.0.1:{server.port}"),
        # Requests that say they come from elsewhere: Caddy's word counts.
        ("X-Forwarded-For {remote_host}", "X-Forwarded-For 192.0.2.8"),
    ]:
        assert old in text, old
        text = text.replace(old, new)
    file = tmp_path / "Caddyfile"
    off = "{\n\tadmin off\n\tauto_https disable_redirects\n}\n"
    file.write_text(off + text)
    command = [CADDY, "run", "--adapter", "caddyfile", "--config", str(file)]
    run(port, "env", f"HOME={tmp_path}", *command)
    url = f"https://localhost:{port}"
    trust = ("--cacert", str(cert))
    deadline = time.monotonic() + PATIENCE
    status = ("-o", "/dev/null", "-w", "%{http_code}")
    # Until its own check has found the server ready.
    while curl(*trust, *status, f"{url}/readyz") != "200":
        assert time.monotonic() < deadline, (tmp_path / "proxy.log").read_text()
    context = ssl.create_default_context(cafile=str(cert))
    with connect(f"wss://localhost:{port}/", ssl=context, proxy=None) as client:
        assert json.loads(client.recv(PATIENCE))["type"] == "welcome"
        client.send(json.dumps({"id": 1, "type": "server.connections"}))
        assert addresses(json.loads(client.recv(PATIENCE))["data"]) == ["192.0.2.8"]
    assert rpc(url, {"type": "store.count", "bucket": "kilns"}, *trust) == 0
    # Events come when they happen, not when a buffer is full.
    stream = subprocess.Popen(
        ["curl", "-sSN", "--max-time", "20", *trust, f"{url}/live?query=all"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        data = (line for line in stream.stdout or () if line.startswith("data: "))
        assert json.loads(next(data).removeprefix("data: "))["data"] == []
        rpc(url, {"type": "store.insert", "bucket": "kilns", "data": {"id": 1}}, *trust)
        rows = json.loads(next(data).removeprefix("data: "))
        assert [row["id"] for row in rows] == [1]
    finally:
        stream.kill()
        stream.wait()
    assert curl(*trust, *status, f"{url}/metrics") == "404"


@needs_haproxy
@pytest.mark.parametrize("version", ["send-proxy", "send-proxy-v2"])
def test_haproxy_with_its_default_check(serve, run, tmp_path: Path, version: str) -> None:
    assert HAPROXY
    listener = {"address": "127.0.0.1:0", "proxyProtocol": True}
    server = serve(listen=[listener], trustedProxies=["127.0.0.1"], http=True, **QUERY)
    port, stats = free_port(), free_port()
    file = tmp_path / "haproxy.cfg"
    file.write_text(f"""defaults
    mode http
    timeout connect 5s
    timeout client 90s
    timeout server 90s
frontend door
    bind 127.0.0.1:{port}
    default_backend noexd
frontend stats
    bind 127.0.0.1:{stats}
    stats enable
    stats uri /stats
backend noexd
    option httpchk
    server one 127.0.0.1:{server.port} check inter 100ms {version}
""")
    run(port, HAPROXY, "-db", "-f", str(file))
    deadline = time.monotonic() + PATIENCE
    status = ""
    # The last check is known when it was made: layer 7, and what it was answered.
    while not re.fullmatch(r"UP 2\d\d", status):
        assert time.monotonic() < deadline, status
        lines = curl(f"http://127.0.0.1:{stats}/stats;csv").splitlines()
        names = lines[0].removeprefix("# ").split(",")
        rows = [dict(zip(names, line.split(","))) for line in lines[1:]]
        one = next(row for row in rows if row["svname"] == "one")
        status = f"{one['status']} {one['check_code']}"
    url = f"http://127.0.0.1:{port}"
    assert rpc(url, {"type": "store.count", "bucket": "kilns"}) == 0
    with connect(f"ws://127.0.0.1:{port}/", proxy=None) as client:
        assert json.loads(client.recv(PATIENCE))["type"] == "welcome"
