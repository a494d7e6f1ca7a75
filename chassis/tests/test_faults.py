"""Points at which a process dies."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from chassis import call, faults
from chassis.testing import Tenant

_PASSES = """
from chassis import faults
faults.arm({fault!r})
for number in range(3):
    print(number, flush=True)
    faults.point("commit.before")
"""


def _run(fault: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", _PASSES.format(fault=fault)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


class TestArm:
    def test_kills_the_process_where_it_is_told(self) -> None:
        ended = _run("-/commit.before:2")

        assert (ended.returncode, ended.stdout.split()) == (-signal.SIGKILL, ["0", "1"])

    def test_another_point_is_passed(self) -> None:
        assert _run("-/commit.after:1").returncode == 0

    def test_notes_what_is_passed(self, tmp_path: Path) -> None:
        path = tmp_path / "points.txt"

        _run(f">{path}")

        assert path.read_text().splitlines() == ["-/commit.before"] * 3

    def test_nothing_is_done_unless_it_is_told(self) -> None:
        assert _run("").returncode == 0

    def test_nonsense_is_refused(self) -> None:
        with pytest.raises(ValueError, match="invalid literal"):
            faults.arm("orders.PlaceOrder/commit.after")


class TestWatching:
    def test_a_point_is_named_after_the_call(self, tenant: Tenant) -> None:
        passed: list[str] = []

        with faults.watching(passed.append), call.answering(call.Call(tenant.user(), "orders.PlaceOrder")):
            faults.point("commit.before")
        faults.point("commit.after")

        assert passed == ["orders.PlaceOrder/commit.before"]
