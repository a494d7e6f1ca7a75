"""All the checks of `make lint`, one after the other; every one runs, and any failure fails the whole."""

import subprocess
import sys
from pathlib import Path

from rich.console import Console

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

CHECKS = {
    "style": ["ruff", "check", "."],
    "format": ["ruff", "format", "--check", "."],
    "types": ["mypy"],
    "imports": ["lint-imports", "--no-cache"],
    "dependencies": ["deptry", "."],
    "contracts": ["buf", "lint"],
    "contract format": ["buf", "format", "--diff", "--exit-code", "protos"],
    "compose file": ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"],
    "image": ["hadolint", "Dockerfile"],
}
FIXES = {
    "style": ["ruff", "check", "--fix", "."],
    "format": ["ruff", "format", "."],
    "contract format": ["buf", "format", "--write", "protos"],
}


def main() -> int:
    """Run the checks, or with `--fix` what can mend by itself. The number of those that failed."""
    console = Console()
    failed = []
    for name, (program, *arguments) in (FIXES if "--fix" in sys.argv else CHECKS).items():
        outcome = subprocess.run([BIN / program, *arguments], cwd=ROOT, check=False, capture_output=True, text=True)
        console.print(f"[{'green' if outcome.returncode == 0 else 'red'}]{name}[/]")
        if outcome.returncode != 0:
            failed.append(name)
            console.print(outcome.stdout + outcome.stderr, markup=False, highlight=False)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
