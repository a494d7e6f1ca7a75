"""Renew `requirements.lock`: every version exact, with hashes, for every platform, naming no package index."""

import subprocess
import sys

COMMAND = (
    "uv pip compile pyproject.toml --group dev --universal --generate-hashes --no-emit-index-url --no-header "
    "--python-version 3.11 --quiet --output-file requirements.lock"
)


def main() -> None:
    """Run uv's resolver; arguments are passed on, such as `--upgrade-package x`."""
    subprocess.run([sys.executable, "-m", *COMMAND.split(), *sys.argv[1:]], check=True)


if __name__ == "__main__":
    main()
