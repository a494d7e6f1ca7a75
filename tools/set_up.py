"""Make `.venv` from `requirements.lock`. Runs with the machine's own Python and nothing but its standard library."""

import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
# Installs the lock file, with its hashes, in seconds.
UV = "uv==0.13.8"
PYTHON_MIN = (3, 11)


def main() -> None:
    """Create or bring up to date. Exits with a message when the Python is too old."""
    if sys.version_info < PYTHON_MIN:
        found = ".".join(map(str, sys.version_info[:3]))
        sys.exit(f"Switchyard needs Python 3.11 or newer; this is {found}. Try: make PYTHON=python3.12 setup")
    if not (VENV / "bin/python").exists():
        print("making .venv")
        venv.create(VENV, with_pip=True)
    run("-m", "pip", "install", "--quiet", "--disable-pip-version-check", UV)
    print("installing requirements.lock")
    run("-m", "uv", "pip", "install", "--quiet", "--require-hashes", "-r", "requirements.lock")
    run("-m", "uv", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", ".")
    (VENV / ".ready").touch()


def run(*arguments: str) -> None:
    """Run the environment's Python."""
    subprocess.run([VENV / "bin/python", *arguments], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
