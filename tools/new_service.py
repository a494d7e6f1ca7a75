"""Begin a service: `make service name=billing` renders its contract, its folder and tests that pass."""

import re
import subprocess
import sys
from pathlib import Path
from string import Template

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = ROOT / "tools/templates/service"


def targets(name: str) -> dict[str, str]:
    """Where each template goes."""
    return {
        "proto": f"protos/switchyard/{name}/v1/{name}.proto",
        "events_proto": f"protos/switchyard/{name}/v1/events.proto",
        "init": f"services/{name}/__init__.py",
        "main": f"services/{name}/__main__.py",
        "rpc": f"services/{name}/rpc.py",
        "heart": f"services/{name}/{name}.py",
        "store": f"services/{name}/store.py",
        "models": f"services/{name}/models.py",
        "migration": f"services/{name}/migrations/{name}_0001.py",
        "test_rpc": f"services/{name}/tests/test_rpc.py",
    }


def render(root: Path, name: str) -> list[Path]:
    """Write a new service below `root`. Raises `FileExistsError` rather than write over one."""
    words = {"name": name, "class_name": name.capitalize()}
    written = []
    for template, target in targets(name).items():
        path = root / target
        if path.exists():
            raise FileExistsError(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(Template((TEMPLATES / f"{template}.tmpl").read_text()).substitute(words))
        written.append(path)
    return written


def main() -> None:
    """Render, and generate the contract's Python."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if not re.fullmatch(r"[a-z][a-z0-9]{1,30}", name):
        sys.exit("usage: make service name=billing (lower-case letters and digits)")
    for path in render(ROOT, name):
        print(path.relative_to(ROOT))
    subprocess.run([sys.executable, "-m", "tools.protos"], cwd=ROOT, check=True)
    print(f"now: make test path=services/{name}, then the contract")


if __name__ == "__main__":
    main()
