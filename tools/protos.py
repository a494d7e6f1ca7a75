"""Generate `gen/` from `protos/`: messages, gRPC stubs and their types. Folder = proto package = Python package.

`python -m tools.protos` writes; `tests/test_house.py` calls `generate` into a temporary folder and compares.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
# Protos of others that ours import and no installed wheel generates for us.
VENDORED = ["buf/validate/validate.proto"]


def generate(out: Path) -> None:
    """Write everything that belongs into `gen/` to `out`. Raises `RuntimeError` when protoc refuses a file."""
    ours = sorted(str(path.relative_to(ROOT / "protos")) for path in (ROOT / "protos").rglob("*.proto"))
    services = [name for name in ours if "\nservice " in (ROOT / "protos" / name).read_text()]
    bundled = Path(protoc.__file__).parent / "_proto"
    includes = [f"-I{ROOT / 'protos'}", f"-I{ROOT / 'vendor/protos'}", f"-I{bundled}"]
    plugins = [f"--plugin={name}={Path(sys.executable).parent / name}" for name in ("protoc-gen-mypy_grpc",)]
    _run([*includes, f"--python_out={out}", f"--pyi_out={out}", *ours, *VENDORED])
    _run([*includes, *plugins, f"--grpc_python_out={out}", f"--mypy_grpc_out=quiet:{out}", *services])
    for name in services:
        _describe(includes, name, out / name.replace(".proto", ".binpb"))


def _describe(includes: list[str], name: str, target: Path) -> None:
    """The contract with imports and its comments, which the generated Python lacks: what a service registers."""
    _run([*includes, "--include_imports", "--include_source_info", f"--descriptor_set_out={target}", name])
    contract = FileDescriptorSet.FromString(target.read_bytes())
    for file in contract.file:
        if not file.name.startswith("switchyard/"):
            # Comments of others' protos are long and document nothing of ours.
            file.ClearField("source_code_info")
    target.write_bytes(contract.SerializeToString(deterministic=True))


def _run(arguments: list[str]) -> None:
    if protoc.main(["protoc", *arguments]) != 0:
        message = f"protoc failed: {' '.join(arguments)}"
        raise RuntimeError(message)


def main() -> None:
    """Replace `gen/`, or the folder given, as a whole, so that a deleted proto leaves nothing behind."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "gen"
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(scratch, target)


if __name__ == "__main__":
    main()
