"""The Debian package and the files beside it."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from rig import run

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def package(dist: Path) -> Path:
    [package] = dist.glob("*.deb")
    return package


def test_sums(dist: Path) -> None:
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=dist, check=True)
    listed = {line.split()[1] for line in (dist / "SHA256SUMS").read_text().splitlines()}
    made = {path.name for path in dist.iterdir() if path.is_file()} - {"SHA256SUMS"}
    assert listed == made


def test_the_program_is_static_and_names_no_folder_of_the_builder(program: Path) -> None:
    headers = subprocess.run(["readelf", "-dn", program], capture_output=True, text=True).stdout
    assert "NEEDED" not in headers and "Build ID" not in headers
    content = program.read_bytes()
    for path in (str(ROOT), str(Path.home() / ".cargo"), "/tmp/noexd-release"):
        assert path.encode() not in content, path


@pytest.mark.skipif(not shutil.which("lintian"), reason="there is no lintian")
def test_lintian(package: Path) -> None:
    done = subprocess.run(
        ["lintian", "--fail-on", "error", "--profile", "debian", package],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def dpkg(root: Path, *arguments: str) -> None:
    subprocess.run(
        ["dpkg", f"--root={root}", "--force-script-chrootless", f"--log={root}/log", *arguments],
        check=True,
        capture_output=True,
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="dpkg is for root")
def test_install_upgrade_remove_purge(package: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    for folder in ("var/lib/dpkg/info", "var/lib/dpkg/updates"):
        (root / folder).mkdir(parents=True)
    for file in ("status", "available"):
        (root / "var/lib/dpkg" / file).touch()
    dpkg(root, "--install", str(package))
    program, settings = root / "usr/bin/noexd", root / "etc/noexd/noexd.json"
    assert run(program, "--version").stdout.startswith("noexd ")
    # The settings of the package are right, but for the secret that systemd hands over.
    checked = run(program, "--print-config", "--config", str(settings))
    assert checked.returncode == 0, checked.stderr
    config = json.loads(checked.stdout)
    assert config["host"] == "127.0.0.1" and config["auth"]["builtIn"] is True
    assert config["metrics"]["listen"] == "127.0.0.1:9464"
    secret = root / "etc/noexd/admin-secret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    first = secret.read_text()
    assert len(first) == 48
    unit = (root / "lib/systemd/system/noexd.service").read_text()
    assert "/usr/bin/noexd --config /etc/noexd/noexd.json" in unit
    assert not (root / "etc/systemd").exists(), "nothing is enabled"
    # An upgrade keeps what was changed.
    settings.write_text('{"port": 9000}')
    data = root / "var/lib/noexd/noexd.sqlite"
    data.parent.mkdir(parents=True)
    data.write_text("data")
    dpkg(root, "--force-confold", "--install", str(package))
    assert settings.read_text() == '{"port": 9000}'
    assert secret.read_text() == first
    dpkg(root, "--remove", "noexd")
    assert settings.exists() and secret.exists() and not program.exists()
    dpkg(root, "--purge", "noexd")
    assert not settings.exists() and not secret.exists()
    assert data.read_text() == "data"


def test_completions_and_manual_page(dist: Path, program: Path) -> None:
    for shell in ("bash", "zsh", "fish"):
        made = (dist / f"noexd.{shell}").read_text()
        assert made == run(program, "--completions", shell).stdout
        assert "healthcheck" in made and "shell" in made
    page = subprocess.run(["gzip", "-dc", dist / "noexd.1.gz"], capture_output=True, text=True).stdout
    assert page == run(program, "--man").stdout
