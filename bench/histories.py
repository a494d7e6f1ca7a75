"""Histories of others, with known verdicts, to prove `bench.linearizability` before it is trusted.

    python -m bench.histories FOLDER

checks all that the folder's `verdicts.csv` (`file,linearizable`) names. Two forms are read, those of porcupine's tests
(https://github.com/anishathalye/porcupine, `test_data`): Jepsen's log of a compare-and-set register in etcd, and
`.txt` files of a key-value store with `get`, `put` and `append`.
"""

import csv
import re
import sys
import time
from collections import defaultdict
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any

from bench import linearizability
from bench.linearizability import Operation

# One key that is wrong is enough: where that is soon seen, no other is gone into deeply.
VISITED_MAX = (20_000, linearizability.VISITED_MAX)
_REGISTER = re.compile(r"(\d+)\s+:(\w+)\s+:(\w+)\s+(.*)$")
_KEY_VALUE = re.compile(r'\{:process (\d+), :type :(\w+), :f :(\w+), :key "([^"]*)", :value (?:nil|"(.*)")\}')


def register_step(value: Any, what: tuple[str, Any, bool]) -> Hashable | None:
    """A register: `read` of a value, `write`, and `cas` from one value to another, which may say that it failed."""
    kind, told, succeeded = what
    if kind == "write":
        return (told,)
    if kind == "read":
        return value if value == (told,) else None
    expected, new = told
    if (value == (expected,)) is not succeeded:
        return None
    return (new,) if succeeded else value


def register(lines: Iterable[str]) -> list[Operation]:
    """Jepsen's log. Reads that failed or are unknown say nothing, a compare-and-set that failed says what is not."""
    asked: dict[str, tuple[int, str, str]] = {}
    found = []
    for moment, line in enumerate(lines):
        if (match := _REGISTER.search(line)) is None:
            continue
        process, event, kind, told = match.groups()
        if event == "invoke":
            asked[process] = (moment, kind, told)
            continue
        invoked, kind, wish = asked.pop(process)
        unknown = event == "info" or told == ":timed-out"
        if kind != "read" or not unknown:
            what = (kind, _value(wish if kind != "read" else told), event != "fail")
            found.append(Operation(what, invoked, None if unknown else moment))
    # Whoever was still waiting at the end.
    found += [Operation((kind, _value(wish), True), at, None) for at, kind, wish in asked.values() if kind != "read"]
    return found


def _value(text: str) -> Any:
    numbers = [int(number) for number in re.findall(r"-?\d+", text)]
    return tuple(numbers) if text.startswith("[") else (numbers or [None])[0]


def key_value_step(value: Any, what: tuple[str, str]) -> Hashable | None:
    """One key of a store of texts."""
    kind, told = what
    if kind == "get":
        return value if value == told else None
    return told if kind == "put" else value + told


def key_value(lines: Iterable[str]) -> dict[str, list[Operation]]:
    """The operations by key: each is an object of its own, and linearizability is local."""
    asked: dict[str, tuple[int, str, str, str]] = {}
    found = defaultdict(list)
    for moment, line in enumerate(lines):
        if (match := _KEY_VALUE.search(line)) is None:
            continue
        process, event, kind, key, told = match.groups()
        if event == "invoke":
            asked[process] = (moment, kind, key, told or "")
            continue
        invoked, kind, key, wish = asked.pop(process)
        found[key].append(Operation((kind, told or "" if kind == "get" else wish), invoked, moment))
    for invoked, kind, key, wish in asked.values():
        if kind != "get":
            found[key].append(Operation((kind, wish), invoked, None))
    return found


def linearizable(path: Path) -> bool | None:
    """The verdict on a file; None: the search was given up."""
    lines = path.read_text().splitlines()
    if path.suffix == ".log":
        return linearizability.check((None,), register_step, register(lines)).linearizable
    objects = key_value(lines).values()
    for visited_max in VISITED_MAX:
        verdicts = {
            linearizability.check("", key_value_step, each, visited_max=visited_max).linearizable for each in objects
        }
        if False in verdicts:
            return False
        if None not in verdicts:
            return True
    return None


def differing(folder: Path) -> tuple[int, list[str]]:
    """How many histories the folder has, and those on which we differ from what is known of them."""
    with (folder / "verdicts.csv").open() as file:
        known = {row["file"]: row["linearizable"] == "true" for row in csv.DictReader(file)}
    return len(known), [name for name, verdict in known.items() if linearizable(folder / name) is not verdict]


def main() -> int:
    began = time.perf_counter()
    count, wrong = differing(Path(sys.argv[1]))
    print(f"{count} histories, {len(wrong)} verdicts differ {wrong}, {time.perf_counter() - began:.1f} s")
    return 1 if wrong or not count else 0


if __name__ == "__main__":
    sys.exit(main())
