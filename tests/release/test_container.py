"""The container's content, without a container: a root with nothing but the
program and its data, as a user without rights."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any, Iterator

import pytest

from rig import PATIENCE, environment, run

SECRET = "0123456789abcdef-container"
USER = 65532

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="chroot is for root")


def instruction(name: str) -> str:
    text = (ROOT / "contrib/Containerfile").read_text()
    found = re.search(rf"^{name} (.*)$", text, re.M)
    assert found, name
    return found.group(1)


@pytest.fixture
def root(program: Path, tmp_path: Path) -> Iterator[Path]:
    """Exactly what the Containerfile copies."""
    root = tmp_path / "root"
    (root / "data").mkdir(parents=True)
    os.chown(root / "data", USER, USER)
    shutil.copy2(program, root / "noexd")
    # The user has to get there.
    for folder in [root, *tmp_path.parents]:
        if folder.stat().st_mode & 0o001 == 0:
            folder.chmod(folder.stat().st_mode | 0o011)
    tmp_path.chmod(0o755)
    yield root


class Container:
    def __init__(self, root: Path, *arguments: str, **extra: str) -> None:
        command = ["chroot", f"--userspec={USER}:{USER}", root, "/noexd", *arguments]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env=environment(**extra),
        )

    def url(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        match = re.search(r"wss?://\S+", line)
        assert match, (line, self.process.stderr and self.process.stderr.read())
        return match.group()

    def end(self) -> tuple[int, str]:
        _, errors = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, errors


@pytest.fixture
def start(root: Path) -> Iterator[Any]:
    containers: list[Container] = []

    def one(*arguments: str, **extra: str) -> Container:
        containers.append(Container(root, *arguments, **extra))
        return containers[-1]

    yield one
    for container in containers:
        if container.process.poll() is None:
            container.process.kill()
        container.process.communicate()


def test_the_image_is_what_is_tested() -> None:
    assert instruction("FROM") == "scratch"
    assert instruction("USER") == str(USER)
    assert json.loads(instruction("ENTRYPOINT")) == ["/noexd"]
    assert json.loads(instruction("CMD")) == ["--auth", "--data-dir", "/data"]
    assert instruction("HEALTHCHECK") == 'CMD ["/noexd", "healthcheck"]'


def test_without_a_secret_it_does_not_start(start: Any) -> None:
    code, errors = start(*json.loads(instruction("CMD"))).end()
    assert code == 78
    assert "admin-secret is required" in errors, errors


def test_a_conversation_a_backup_and_its_end(
    start: Any, program: Path, root: Path, tmp_path: Path
) -> None:
    command = [*json.loads(instruction("CMD")), "--port", "0"]
    container = start(*command, NOEXD_ADMIN_SECRET=SECRET)
    url = container.url().replace("0.0.0.0", "127.0.0.1")
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    lines = [
        'defineBucket parts {"key":"id","schema":{"id":{"type":"number"}}}',
        'insert parts {"id":7}',
        "count parts",
        "backup first",
    ]
    arguments = [part for line in lines for part in ("-e", line)]
    done = run(program, "shell", "--url", url, "--secret-file", str(secret), *arguments)
    assert done.returncode == 0, done.stderr
    assert "\n1\n" in done.stdout
    assert list((root / "data/backups").iterdir()), "the backup lies in the volume"
    # As the health check of the image does it, from inside.
    port = url.rsplit(":", 1)[1].strip("/")
    assert start("healthcheck", "--port", port).end()[0] == 0
    container.process.terminate()
    code, errors = container.end()
    assert code == 0, errors
    # It is there the next time.
    container = start(*command, NOEXD_ADMIN_SECRET=SECRET)
    url = container.url().replace("0.0.0.0", "127.0.0.1")
    done = run(program, "shell", "--url", url, "--secret-file", str(secret), "-e", "count parts")
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


@pytest.mark.skipif(not shutil.which("openssl"), reason="there is no openssl")
def test_tls(start: Any, program: Path, root: Path) -> None:
    cert, key = root / "data/cert.pem", root / "data/key.pem"
    subprocess.run(
        shlex.split(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
            f" -keyout {key} -out {cert} -subj /CN=c -addext subjectAltName=IP:127.0.0.1"
        ),
        check=True,
        capture_output=True,
    )
    os.chown(key, USER, USER)
    container = start(
        "--port", "0", "--host", "127.0.0.1", "--tls-cert", "/data/cert.pem", "--tls-key", "/data/key.pem"
    )
    url = container.url()
    assert url.startswith("wss://")
    done = run(program, "shell", "--url", url, "--ca", str(cert), "-e", "buckets")
    assert (done.returncode, done.stdout) == (0, '{"count": 0, "names": []}\n'), done.stderr


def test_names_are_not_resolved_there(start: Any) -> None:
    code, errors = start("--host", "no-such-host.example", "--port", "0").end()
    assert code == 1
    assert 'host: cannot resolve "no-such-host.example" here, give an IP address' in errors, errors
    # This machine is known without anybody's help.
    assert start("--host", "localhost", "--port", "0").url().startswith("ws://localhost:")
