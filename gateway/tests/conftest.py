"""The contract of a service that is not in this repository, announced as bytes."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from grpc_tools import protoc

from gateway.contracts import Contract
from gateway.routes import RouteTable

ROOT = Path(__file__).parents[2]
PROTOS = Path(__file__).parent / "protos"


def compile_protos(*names: str, folder: Path = PROTOS) -> bytes:
    """The descriptor set of proto files, as a service's build makes it."""
    bundled = Path(protoc.__file__).parent / "_proto"
    with tempfile.NamedTemporaryFile(suffix=".binpb") as out:
        includes = [f"-I{each}" for each in (folder, ROOT / "protos", ROOT / "vendor/protos", bundled)]
        flags = ["--include_imports", "--include_source_info", f"--descriptor_set_out={out.name}"]
        assert protoc.main(["protoc", *includes, *flags, *names]) == 0
        return Path(out.name).read_bytes()


@pytest.fixture(scope="session")
def descriptor_set() -> bytes:
    return compile_protos("pets.proto")


@pytest.fixture(scope="session")
def pets(descriptor_set: bytes) -> Contract:
    return Contract.of("pets", descriptor_set)


@pytest.fixture(scope="session")
def table(pets: Contract) -> RouteTable:
    return RouteTable.of([pets])


@pytest.fixture(scope="session")
def compile_set() -> Callable[..., bytes]:
    return compile_protos
