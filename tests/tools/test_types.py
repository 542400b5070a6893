"""`noexd types --python`: mypy and Python itself read what it makes."""

from __future__ import annotations

import importlib.util
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

from rig import Server, environment

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests/types/definitions.py"

# What a program does with the types of the golden file, right and wrong.
PROGRAM = '''
from definitions import CloseTicketInput, EveryParams, LowStockResult, MakersKey, Parts, PartsInsert

part: PartsInsert = {"qty": 3, "state": None, "dims": {"w": 1}, "tags": ["a", None]}
asked: CloseTicketInput = {"ticket": "T-1", "o": {}, "a": [], "__proto__": True}
maker: MakersKey = "acme"

def quantities(rows: LowStockResult, record: Parts) -> float:
    return sum(row["qty"] for row in rows) + (record["value"] or 0)

wrong_1: PartsInsert = {"state": "new"}
wrong_2: PartsInsert = {"qty": "3"}
wrong_3: PartsInsert = {"qty": 3, "qyt": 3}
wrong_4: PartsInsert = {"qty": 3, "state": "broken"}
wrong_5: PartsInsert = {"qty": 3, "stated": None}
wrong_6: MakersKey = "nobody"
wrong_7: CloseTicketInput = {"o": {}, "a": [], "__proto__": True}
'''


def mypy(directory: Path, *files: str) -> list[str]:
    """The lines of its errors."""
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary"]
    done = subprocess.run(
        [*command, "--cache-dir", str(directory / "cache"), *files],
        cwd=directory, capture_output=True, text=True, env=environment(),
    )
    assert done.returncode in (0, 1) and not done.stderr, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_golden_file_means_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "definitions.py").write_text(GOLDEN.read_text())
    (tmp_path / "program.py").write_text(PROGRAM)
    errors = mypy(tmp_path, "program.py", "definitions.py")
    source = PROGRAM.splitlines()
    wrong = [number for number, line in enumerate(source, 1) if line.startswith("wrong")]
    found = {int(error.split(":")[1]) for error in errors if error.startswith("program.py")}
    assert found == set(wrong), errors
    assert all(error.startswith("program.py") for error in errors), errors


def test_golden_file_runs() -> None:
    spec = importlib.util.spec_from_file_location("definitions", GOLDEN)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PartsInsert.__required_keys__ == {"qty"}
    assert "__proto__" in module.ClassInsert.__optional_keys__
    assert module.EveryParams.__required_keys__ >= {"from", "not", "list"}


class Schemas:
    """Random definitions of buckets, and data that may fit."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def field(self, depth: int, top: bool) -> dict[str, Any]:
        choose = self.random
        kinds = ["string", "number", "boolean", "date"] + ["object", "array"] * (depth < 3)
        kind = choose.choice(kinds)
        field: dict[str, Any] = {"type": kind}
        if choose.random() < 0.3:
            field["required"] = True
        if kind == "object" and choose.random() < 0.8:
            names = choose.sample(NAMES, choose.randint(1, 3))
            field["properties"] = {name: self.field(depth + 1, False) for name in names}
        if kind == "array" and choose.random() < 0.8:
            field["items"] = self.field(depth + 1, False)
        if kind in ("string", "number") and choose.random() < 0.3:
            values = {"string": ["a", 'b"', "\\c", 7], "number": [1, -2, 2.5, "x"]}[kind]
            field["enum"] = choose.sample(values, choose.randint(1, 3))
        if top and choose.random() < 0.2 and "enum" not in field and kind == "number":
            field["default"] = 5
        return field

    def bucket(self) -> dict[str, Any]:
        schema = {"id": {"type": "string", "generated": "uuid"}}
        for name in self.random.sample(NAMES, self.random.randint(1, 5)):
            schema[name] = self.field(0, True)
        return {"key": "id", "schema": schema}

    def value(self, field: dict[str, Any]) -> Any:
        choose = self.random
        if choose.random() < 0.15:
            return None
        if "enum" in field:
            return choose.choice(field["enum"])
        match field["type"]:
            case "string":
                return choose.choice(["", "x", 'q"\n', "é"])
            case "number":
                return choose.choice([0, 1.5, -3])
            case "boolean":
                return choose.random() < 0.5
            case "date":
                return choose.choice(["2026-01-01", 1700000000000])
            case "array":
                items = field.get("items", {"type": "string"})
                return [self.value(items) for _ in range(choose.randint(0, 2))]
        properties = field.get("properties", {"any": {"type": "number"}})
        return self.members(properties)

    def members(self, fields: dict[str, Any]) -> dict[str, Any]:
        given = [name for name, field in fields.items() if field.get("required") or self.random.random() < 0.7]
        return {name: self.value(fields[name]) for name in given}


NAMES = ["a", "b-c", "class", "str", "__x", "größe", "Z", 'q"t', "__proto__", "1st"]


def accepted(server: Server, binary: Path, lines: list[str]) -> list[Any]:
    """What the server stores of these inserts; the others are refused."""
    done = subprocess.run(
        [binary, "shell", "--url", server.url, "--json"], input="\n".join(lines),
        capture_output=True, text=True, env=environment(),
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return [one["data"] for one in answers if one.get("type") == "result"]


def test_accepted_records_of_random_schemas_fit(
    binary: Path, serve: Callable[..., Server], tmp_path: Path
) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    schemas = Schemas(seed)
    buckets = {f"b{number}": schemas.bucket() for number in range(200)}
    server = serve(buckets=buckets)
    text = subprocess.run(
        [binary, "types", "--python", "--url", server.url],
        capture_output=True, text=True, check=True, env=environment(),
    ).stdout
    program, stored = ["import types_of as t", ""], 0
    for name, bucket in buckets.items():
        fields = {field: of for field, of in bucket["schema"].items() if field != "id"}
        # Each alone: the shell ends with the first that is refused.
        for _ in range(3):
            insert = {"type": "store.insert", "bucket": name, "data": schemas.members(fields)}
            for record in accepted(server, binary, [json.dumps(insert)]):
                stored += 1
                kind = name.upper()
                program.append(f"v{stored}: t.{kind} = {record!r}")
                data = insert["data"]
                program.append(f"i{stored}: t.{kind}Insert = {data!r}")
    assert stored > 200, stored
    (tmp_path / "types_of.py").write_text(text)
    (tmp_path / "program.py").write_text("\n".join(program) + "\n")
    assert mypy(tmp_path, "program.py") == []
