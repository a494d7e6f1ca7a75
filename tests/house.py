"""The rules of the house that a machine can check. Each answers with its violations, in words; none is good."""

import ast
import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OURS = ("chassis", "gateway", "services", "cli", "tools")

FILE_LINES_MAX = 400
TEST_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
# Nine of ten functions are shorter than this, and half of them than that.
FUNCTION_LINES_90 = 25
FUNCTION_LINES_50 = 8
MAIN_LINES_MAX = 40
RPC_LINES_MAX = 15
# Where work begins, and therefore a transaction: a call, a timer or stream (`work`), an order's next step, the trail's
# stream; and the provider of test payments, which stands for a system of somebody else's.
EDGES = ("rpc.py", "work.py", "post.py", "saga.py", "intake.py", "paying_scripted.py")
# So many lines in a row, the same in two services, are one piece of code that wants a home.
DUPLICATE_LINES = 8

PARTS = ("__init__.py", "__main__.py", "models.py", "migrations", "tests")


def sources(root: Path, *, tests: bool = False) -> Iterator[Path]:
    """Our Python files."""
    for folder in OURS:
        for path in sorted((root / folder).rglob("*.py")):
            if ("tests" in path.relative_to(root).parts) == tests:
                yield path


def service_folders(root: Path) -> list[Path]:
    """One folder a service."""
    return sorted(path.parent for path in (root / "services").glob("*/__main__.py"))


def _rpcs(folder: Path) -> list[Path]:
    """The edge of a service: `rpc.py`, or in `rpc/` one module a gRPC service where there are several."""
    return [*folder.glob("rpc.py"), *sorted(folder.glob("rpc/*.py"))]


def functions(path: Path) -> Iterator[tuple[str, int, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Name, length in lines and node of each function of a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1, node


def shape(root: Path) -> list[str]:
    """Every service has the same parts; its `__init__` is a docstring and its `__main__` is short."""
    found = []
    for folder in service_folders(root):
        name = folder.name
        found += [f"services/{name} lacks {part}" for part in (*PARTS, f"{name}.py") if not (folder / part).exists()]
        if not _rpcs(folder):
            found.append(f"services/{name} lacks rpc.py")
        package = ast.parse((folder / "__init__.py").read_text())
        if len(package.body) != 1 or ast.get_docstring(package) is None:
            found.append(f"services/{name}/__init__.py is more, or less, than a docstring")
        if len((folder / "__main__.py").read_text().splitlines()) > MAIN_LINES_MAX:
            found.append(f"services/{name}/__main__.py is over {MAIN_LINES_MAX} lines")
        if not (root / "protos/switchyard" / name).is_dir():
            found.append(f"services/{name} has no contract")
    return found


def sizes(root: Path) -> list[str]:
    """No file and no function is too long; most are short."""
    found = []
    for tests, limit in ((False, FILE_LINES_MAX), (True, TEST_LINES_MAX)):
        for path in sources(root, tests=tests):
            lines = len(path.read_text().splitlines())
            if lines > limit:
                found.append(f"{path.relative_to(root)} has {lines} lines, over {limit}")
    lengths = []
    for path in sources(root):
        for name, length, _ in functions(path):
            lengths.append(length)
            if length > FUNCTION_LINES_MAX:
                found.append(f"{path.relative_to(root)}: {name} has {length} lines, over {FUNCTION_LINES_MAX}")
    lengths.sort()
    if lengths and lengths[len(lengths) // 2] > FUNCTION_LINES_50:
        found.append(f"the median function has {lengths[len(lengths) // 2]} lines, over {FUNCTION_LINES_50}")
    if lengths and lengths[len(lengths) * 9 // 10] > FUNCTION_LINES_90:
        found.append(f"a tenth of the functions have {lengths[len(lengths) * 9 // 10]} lines or more")
    return found


def edges(root: Path) -> list[str]:
    """RPCs are thin; commits, transactions, status codes and HTTP stay where they belong."""
    found = []
    for folder in service_folders(root):
        for path in sorted(folder.rglob("*.py")):
            if "tests" in path.parts or "migrations" in path.parts:
                continue
            found += [f"{path.relative_to(root)}: {what}" for what in _misplaced(path)]
        for path in _rpcs(folder):
            for name, length, _ in functions(path):
                if name[0].isupper() and length > RPC_LINES_MAX:
                    found.append(f"{path.relative_to(root)}: {name} has {length} lines, over {RPC_LINES_MAX}")
    names = "|".join(folder.name for folder in service_folders(root) if folder.name not in {"auth", "registry"})
    for path in (*(root / "gateway").rglob("*.py"),):
        if "tests" not in path.parts and names and re.search(rf"\bswitchyard\.({names})\b", path.read_text()):
            found.append(f"{path.relative_to(root)} names a service")
    return found


def _misplaced(path: Path) -> Iterator[str]:
    text = path.read_text()
    if ".transaction(" in text and path.name not in EDGES and path.parent.name != "rpc":
        yield "opens a transaction and is no edge"
    for pattern, what in (
        (r"\.commit\(", "commits"),
        (r"grpc\.StatusCode", "names a gRPC status"),
        (r"\bfrom starlette|\bimport http\b|status_code", "knows HTTP"),
        (r"datetime\.now\(|\btime\.time\(", "asks another clock than chassis.clock"),
    ):
        # The post speaks to servers that are not ours.
        if re.search(pattern, text) and not (what == "knows HTTP" and path.name == "post.py"):
            yield what


def cycles(root: Path) -> list[str]:
    """No module imports itself by way of others."""
    graph = {_module(root, path): _imports(path) for path in sources(root)}
    packages = {name.removesuffix(".__init__"): name for name in graph}
    edges_of = {
        name: {packages.get(one, one) for one in imported} & graph.keys() - {name} for name, imported in graph.items()
    }
    found: list[str] = []
    done: set[str] = set()

    def walk(name: str, way: tuple[str, ...]) -> None:
        if name in way:
            found.append(" -> ".join((*way[way.index(name) :], name)))
        elif name not in done:
            for following in sorted(edges_of[name]):
                walk(following, (*way, name))
            done.add(name)

    for name in sorted(graph):
        walk(name, ())
    return found


def _module(root: Path, path: Path) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts)


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def inward(root: Path) -> list[str]:
    """Inside a service imports point inward: `__main__` → rpc, events, work → heart → store → models."""
    found = []
    for folder in service_folders(root):
        rank = {
            "models": 0,
            "messages": 1,
            "store": 1,
            "rpc": 4,
            "events": 4,
            "work": 4,
            "post": 4,
            "saga": 3,
            "intake": 3,
            "__main__": 5,
        }
        prefix = f"services.{folder.name}."
        for path in (*sorted(folder.glob("*.py")), *folder.glob("rpc/*.py")):
            own = rank["rpc"] if path.parent.name == "rpc" else _rank(rank, path.stem)
            for imported in _imports(path):
                target = imported.removeprefix(prefix).split(".")[0] if imported.startswith(prefix) else None
                if target is not None and _rank(rank, target) > own and _is_part(folder, target):
                    found.append(f"{path.relative_to(root)} imports {target}, which stands outward of it")
    return found


def _rank(rank: dict[str, int], part: str) -> int:
    # A second heart's queries and tables stand in files of their own: `factor_store.py`, `factor_models.py`.
    kind = next((kind for kind in ("store", "models") if part.endswith(f"_{kind}")), part)
    return rank.get(kind, 2)


def _is_part(folder: Path, name: str) -> bool:
    return (folder / f"{name}.py").exists() or (folder / name / "__init__.py").exists()


def duplicates(root: Path) -> list[str]:
    """No passage of code stands in two services."""
    places: dict[str, set[str]] = defaultdict(set)
    for folder in service_folders(root):
        for path in sorted(folder.rglob("*.py")):
            if "tests" not in path.parts and "migrations" not in path.parts:
                for digest, line in _passages(path):
                    places[digest].add(f"{folder.name}:{path.name}:{line}")
    return [
        f"{DUPLICATE_LINES} lines stand in {', '.join(sorted(where))}"
        for where in places.values()
        if len({place.split(":")[0] for place in where}) > 1
    ]


def _passages(path: Path) -> Iterator[tuple[str, int]]:
    lines = [
        (number, text)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (text := line.strip()) and not text.startswith(("#", "import ", "from ", '"""')) and len(text) > 1
    ]
    for start in range(len(lines) - DUPLICATE_LINES + 1):
        window = lines[start : start + DUPLICATE_LINES]
        yield hashlib.sha256("\n".join(text for _, text in window).encode()).hexdigest(), window[0][0]
