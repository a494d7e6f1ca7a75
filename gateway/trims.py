"""How much of an answer is shown: `?view=`, `?fields=`, and fields that need a permission of their own to be read."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from switchyard.options.v1 import policy_pb2

from gateway import wellknown
from gateway.contracts import Contract, reachable
from gateway.encoding import Tree
from gateway.fields import is_leaf, is_map, value_field

VIEWS: Final = {
    "minimal": policy_pb2.VIEW_MINIMAL,
    "compact": policy_pb2.VIEW_COMPACT,
    "full": policy_pb2.VIEW_FULL,
}
# Nobody names more by hand, and each list is compiled.
FIELDS_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class Trim:
    """How much of the answer the client asked for. `fields` wins over `view`; both empty: all of it."""

    fields: tuple[str, ...] = ()
    view: str = ""


WHOLE: Final = Trim()


def has_views(contract: Contract, message: Descriptor) -> bool:
    """Whether a view makes a difference to the type."""
    found = reachable(message, stop=is_leaf)
    return any(contract.policy_of(field).view for each in found for field in each.fields)


def read_permissions(contract: Contract, message: Descriptor) -> frozenset[str]:
    """The permissions that fields of the type, at any depth, ask of their readers."""
    found = reachable(message, stop=is_leaf)
    return frozenset(contract.policy_of(field).read_permission for each in found for field in each.fields) - {""}


def tree(contract: Contract, message: Descriptor, trim: Trim, denied: frozenset[str]) -> Tree:
    """What is shown of a type; None for all of it."""
    shown: Tree = None
    if trim.fields:
        shown = _of_fields(trim.fields)
    elif VIEWS.get(trim.view, policy_pb2.VIEW_FULL) != policy_pb2.VIEW_FULL:
        shown = _filtered(message, None, _in_view(contract, VIEWS[trim.view]), ())
    if denied & read_permissions(contract, message):
        shown = _filtered(message, shown, lambda field: contract.policy_of(field).read_permission not in denied, ())
    return shown


def parse_fields(message: Descriptor, text: str, reading: wellknown.Reading) -> tuple[str, ...]:
    """The paths of `?fields=`, sorted, each once. A path that the answer does not have is an error."""
    paths = sorted({each.strip() for each in text.split(",")})
    if len(paths) > FIELDS_MAX:
        reading.bad("fields", f"must be at most {FIELDS_MAX} fields")
        return ()
    for path in paths:
        if not _exists(message, path.split(".")):
            reading.bad("fields", f"{path[:64]!r} is not a field of the answer")
    return tuple(paths)


def _exists(message: Descriptor | None, path: list[str]) -> bool:
    field = None if message is None else message.fields_by_name.get(path[0])
    if field is None or len(path) == 1:
        return field is not None
    below = field.message_type
    return below is not None and not is_leaf(below) and not is_map(field) and _exists(below, path[1:])


def _of_fields(paths: Iterable[str]) -> dict[str, Tree]:
    root: dict[str, Tree] = {}
    # Shorter paths come first, and what they show is not narrowed by longer ones.
    for path in sorted(paths, key=lambda each: each.count(".")):
        at = root
        *above, last = path.split(".")
        for name in above:
            below = at.setdefault(name, {})
            if not isinstance(below, dict):
                break
            at = below
        else:
            at.setdefault(last, None)
    return root


def _in_view(contract: Contract, view: int) -> Callable[[FieldDescriptor], bool]:
    typed: dict[str, bool] = {}

    def shown(field: FieldDescriptor) -> bool:
        owner = field.containing_type
        assert owner is not None
        if owner.full_name not in typed:
            typed[owner.full_name] = any(contract.policy_of(each).view for each in owner.fields)
        # A type without views is shown whole wherever a field of its type is shown.
        smallest = contract.policy_of(field).view or policy_pb2.VIEW_FULL
        return smallest <= view or not typed[owner.full_name]

    return shown


def _filtered(
    message: Descriptor, shown: Tree, keep: Callable[[FieldDescriptor], bool], above: tuple[str, ...]
) -> dict[str, Tree]:
    """The fields of `shown` that pass. A type inside itself is left out: a tree has an end."""
    found: dict[str, Tree] = {}
    for field in message.fields:
        if (shown is not None and field.name not in shown) or not keep(field):
            continue
        below = value_field(field).message_type if is_map(field) else field.message_type
        inner = None if shown is None else shown[field.name]
        if below is None or is_leaf(below):
            found[field.name] = None
        elif below.full_name not in {*above, message.full_name}:
            found[field.name] = _filtered(below, inner, keep, (*above, message.full_name))
    return found
