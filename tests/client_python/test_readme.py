"""What the README asks a newcomer to paste works, twice."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

import pytest

from harness import Server

README = Path(__file__).resolve().parents[2] / "README.md"


def block(language: str) -> str:
    """The first block of the README in this language."""
    return README.read_text().split(f"```{language}\n", 1)[1].split("```", 1)[0]


async def output(*command: str) -> list[str]:
    """Runs a program to its end; the lines it printed."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return out.decode().splitlines()


async def test_the_python_example_runs_twice(server: Server, tmp_path: Path) -> None:
    script = tmp_path / "readme.py"
    script.write_text(block("python").replace("ws://127.0.0.1:8080", server.url))
    assert await output(sys.executable, str(script)) == ["hot now: []", "hot now: [1240]"]
    again = await output(sys.executable, str(script))
    assert again == ["hot now: [1240]", "hot now: [1240, 1240]"]


async def test_the_script_without_a_library_runs_twice(server: Server, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs Node")
    script = tmp_path / "readme.cjs"
    # Ends once the push is there, which a page would go on waiting for.
    ending = """
const log = console.log;
console.log = (line) => { log(line); if (line.includes('"push"')) process.exit(0); };
"""
    text = block("js").replace("ws://127.0.0.1:8080", server.url)
    script.write_text(ending + text)
    for count in (1, 2):
        lines = await output(node, "--experimental-websocket", str(script))
        assert '"type":"welcome"' in lines[0]
        pushes = [line for line in lines if '"push"' in line]
        assert len(pushes) == 1 and pushes[0].count("1300") == count, lines
