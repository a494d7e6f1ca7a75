"""The house keeps its shape; and each rule is shown to catch what it is for."""

import filecmp
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import house

RULES = (house.shape, house.sizes, house.edges, house.cycles, house.inward, house.duplicates)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the house in which a test may break things."""
    skip = shutil.ignore_patterns("__pycache__", "tests")
    for folder in (*house.OURS, "gen", "protos", "vendor"):
        shutil.copytree(house.ROOT / folder, tmp_path / folder, ignore=skip if folder in house.OURS else None)
    for folder in house.service_folders(tmp_path):
        (folder / "tests").mkdir()
    shutil.copy(house.ROOT / "pyproject.toml", tmp_path)
    return tmp_path


class TestHouse:
    @pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
    def test_the_house_keeps_the_rule(self, rule: Callable[[Path], list[str]]) -> None:
        assert rule(house.ROOT) == []

    def test_gen_is_what_protos_say(self, tmp_path: Path) -> None:
        # In a process of its own: what this one has imported changes how options are written.
        subprocess.run([sys.executable, "-m", "tools.protos", str(tmp_path / "gen")], cwd=house.ROOT, check=True)

        assert _differences(filecmp.dircmp(tmp_path / "gen", house.ROOT / "gen", ignore=["__pycache__"])) == []

    def test_imports_go_where_they_may(self) -> None:
        assert _lint_imports(house.ROOT).returncode == 0


class TestPlantedViolations:
    def test_a_service_without_a_part(self, copy: Path) -> None:
        (copy / "services/orders/models.py").unlink()

        assert house.shape(copy) == ["services/orders lacks models.py"]

    def test_a_long_function(self, copy: Path) -> None:
        _append(copy / "chassis/clock.py", "def long() -> None:\n" + "    print()\n" * 80)

        assert "chassis/clock.py: long has 81 lines, over 70" in house.sizes(copy)

    def test_a_commit_and_a_transaction_in_a_heart(self, copy: Path) -> None:
        _append(
            copy / "services/orders/orders.py", "async def bad(db):\n    async with db.transaction() as s: s.commit()\n"
        )

        assert {
            "services/orders/orders.py: commits",
            "services/orders/orders.py: opens a transaction and is no edge",
        } <= set(house.edges(copy))

    def test_a_service_in_the_gateway(self, copy: Path) -> None:
        _append(copy / "gateway/app.py", "from switchyard.orders.v1 import orders_pb2\n")

        assert house.edges(copy) == ["gateway/app.py names a service"]

    def test_an_import_circle(self, copy: Path) -> None:
        _append(copy / "chassis/clock.py", "from chassis import service\n")

        assert any("chassis.clock" in circle for circle in house.cycles(copy))

    def test_a_store_that_imports_its_edge(self, copy: Path) -> None:
        _append(copy / "services/orders/store.py", "from services.orders import rpc\n")

        assert "services/orders/store.py imports rpc, which stands outward of it" in house.inward(copy)

    def test_a_passage_that_stands_in_two_services(self, copy: Path) -> None:
        passage = "".join(f"value_{number} = {number}\n" for number in range(8))
        _append(copy / "services/orders/orders.py", passage)
        _append(copy / "services/locks/locks.py", passage)

        assert len(house.duplicates(copy)) == 1

    @pytest.mark.parametrize(
        ("where", "line"),
        [
            ("services/orders/orders.py", "from services.inventory import inventory\n"),
            ("chassis/clock.py", "from services.orders import orders\n"),
            ("gateway/app.py", "from services.orders import orders\n"),
            ("services/orders/orders.py", "from gateway import app\n"),
        ],
    )
    def test_an_import_in_a_wrong_direction(self, copy: Path, where: str, line: str) -> None:
        _append(copy / where, line)

        outcome = _lint_imports(copy)

        assert (outcome.returncode, "BROKEN" in outcome.stdout) == (1, True)


class TestRecipe:
    def test_a_new_service_keeps_the_rules_and_passes_its_tests(self, copy: Path) -> None:
        begun = _python(copy, "tools.new_service", "billing")
        tested = _python(copy, "pytest", "-q", "-p", "no:cacheprovider", "services/billing")

        assert (begun.returncode, tested.returncode) == (0, 0), begun.stderr + tested.stdout
        assert [found for rule in RULES for found in rule(copy) if "billing" in found] == []


def _python(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{root}:{root / 'gen'}"}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


def _append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + "\n\n" + text)


def _lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).parent / "lint-imports", "--no-cache"]
    environment = {"PYTHONPATH": f"{root}:{root / 'gen'}", "PATH": "/usr/bin:/bin", "HOME": str(root)}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


def _differences(compared: "filecmp.dircmp[str]") -> list[str]:
    found = [*compared.left_only, *compared.right_only, *compared.diff_files]
    for below in compared.subdirs.values():
        found += _differences(below)
    return found
