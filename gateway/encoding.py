"""Messages to JSON-ready objects: one Python function is generated for each message type.

Scalars without presence, lists and maps are always in the answer; messages and optional fields only when they are set,
enums only when their value has a word. A `Tree` restricts a type to some of its fields.
"""

import keyword
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from gateway import wellknown
from gateway.contracts import Contract, ContractError
from gateway.fields import WRAPPERS, enum_of, is_map, message_of

# Distinct trims that are kept compiled for one contract; a trim is compiled in about a millisecond.
TRIMS_MAX: Final = 256

# What is shown of a message: None is all of it.
Tree: TypeAlias = "Mapping[str, Tree] | None"
Encode = Callable[[Message], Any]

_WELL_KNOWN: Final[Mapping[str, str]] = {
    "google.protobuf.Timestamp": "stamp({0}.seconds, {0}.nanos)",
    "google.protobuf.Duration": "span({0}.seconds, {0}.nanos)",
    "google.protobuf.Struct": "json_of_struct({0})",
    "google.protobuf.Value": "json_of_value({0})",
    "google.protobuf.ListValue": "json_of_list({0})",
    "google.protobuf.FieldMask": "','.join({0}.paths)",
    "google.protobuf.Empty": "{{}}",
    **dict.fromkeys(WRAPPERS, "{0}.value"),
    "google.protobuf.FloatValue": "shortest({0}.value)",
    "google.protobuf.BytesValue": "base64_of({0}.value)",
}


class Encoders:
    """The encoders of one contract's messages."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._whole: dict[str, Any] = {
            name: getattr(wellknown, name)
            for name in (
                "stamp",
                "span",
                "base64_of",
                "shortest",
                "json_of_struct",
                "json_of_value",
                "json_of_list",
            )
        }
        self._trimmed: OrderedDict[tuple[str, object], Encode] = OrderedDict()

    def of(self, message: Descriptor, tree: Tree = None) -> Encode:
        """The encoder of a type, or of the part of it that `tree` shows."""
        if tree is None:
            return self._compile(message, None, self._whole)
        key = (message.full_name, _frozen(tree))
        found = self._trimmed.get(key)
        if found is None:
            found = self._trimmed[key] = self._compile(message, tree, dict(self._whole))
            while len(self._trimmed) > TRIMS_MAX:
                self._trimmed.popitem(last=False)
        self._trimmed.move_to_end(key)
        return found

    def _compile(self, message: Descriptor, tree: Tree, scope: dict[str, Any]) -> Encode:
        writer = _Writer(scope)
        name = writer.need(message, tree)
        writer.run(self._contract.service)
        encode: Encode = scope[name]
        return encode


def _frozen(tree: Tree) -> object:
    return None if tree is None else tuple(sorted((name, _frozen(below)) for name, below in tree.items()))


class _Writer:
    """Writes the functions that a scope does not have yet."""

    def __init__(self, scope: dict[str, Any]) -> None:
        self._scope = scope
        self._todo: list[tuple[str, Descriptor, Tree]] = []
        self._trims = 0

    def need(self, message: Descriptor, tree: Tree) -> str:
        """The name of the function for a type, which is written later if there is none."""
        name = f"encode_{message.full_name.replace('.', '_')}"
        if tree is not None:
            self._trims += 1
            name = f"{name}__{self._trims}"
        if name not in self._scope:
            self._scope[name] = None
            self._todo.append((name, message, tree))
        return name

    def run(self, service: str) -> None:
        """Write and compile until nothing is missing."""
        while self._todo:
            name, message, tree = self._todo.pop()
            source = "\n".join(self._function(name, message, tree))
            exec(compile(source, f"<encoder of {service}>", "exec"), self._scope)  # noqa: S102 -- our own source

    def _function(self, name: str, message: Descriptor, tree: Tree) -> list[str]:
        shown = [each for each in message.fields if tree is None or each.name in tree]
        always, later = [], []
        for each in shown:
            below = None if tree is None else tree[each.name]
            value = self._value(each, below)
            if each.has_presence or self._may_vanish(each):
                later += self._conditional(each, value)
            elif later:
                later.append(f"    d[{each.name!r}] = {value}")
            else:
                always.append(f"{each.name!r}: {value}")
        return [f"def {name}(m):", f"    d = {{{', '.join(always)}}}", *later, "    return d"]

    @staticmethod
    def _may_vanish(found: FieldDescriptor) -> bool:
        return found.type == FieldDescriptor.TYPE_ENUM and not found.is_repeated

    def _conditional(self, found: FieldDescriptor, value: str) -> list[str]:
        name, read = found.name, _read(found)
        if found.message_type is not None:
            return [f"    if m.HasField({name!r}):", f"        v = {read}", f"        d[{name!r}] = {value}"]
        if self._may_vanish(found):
            guard = f"m.HasField({name!r}) and " if found.has_presence else ""
            words = self._words(found)
            return [f"    if {guard}{read} in {words}:", f"        d[{name!r}] = {words}[{read}]"]
        return [f"    if m.HasField({name!r}):", f"        d[{name!r}] = {value}"]

    def _words(self, found: FieldDescriptor) -> str:
        enum = enum_of(found)
        name = f"words_{enum.full_name.replace('.', '_')}"
        if name not in self._scope:
            is_null = enum.full_name == "google.protobuf.NullValue"
            self._scope[name] = {0: None} if is_null else wellknown.enum_words(enum)
        return name

    def _value(self, found: FieldDescriptor, below: Tree) -> str:
        read = _read(found)
        if is_map(found):
            return self._map(found, read, below)
        if found.is_repeated:
            return self._list(found, read, below)
        return self._one(found, "v" if found.message_type is not None else read, below)

    def _list(self, found: FieldDescriptor, read: str, below: Tree) -> str:
        if found.type == FieldDescriptor.TYPE_ENUM:
            words = self._words(found)
            return f"[{words}[x] for x in {read} if x in {words}]"
        one = self._one(found, "x", below)
        return f"list({read})" if one == "x" else f"[{one} for x in {read}]"

    def _map(self, found: FieldDescriptor, read: str, below: Tree) -> str:
        key, value = (message_of(found).fields_by_name[name] for name in ("key", "value"))
        name = {FieldDescriptor.TYPE_STRING: "k", FieldDescriptor.TYPE_BOOL: "'true' if k else 'false'"}.get(
            key.type, "str(k)"
        )
        if value.type == FieldDescriptor.TYPE_ENUM:
            words = self._words(value)
            return f"{{{name}: {words}[x] for k, x in {read}.items() if x in {words}}}"
        one = self._one(value, "x", below)
        return f"dict({read})" if (name, one) == ("k", "x") else f"{{{name}: {one} for k, x in {read}.items()}}"

    def _one(self, found: FieldDescriptor, value: str, below: Tree) -> str:
        if found.type == FieldDescriptor.TYPE_GROUP:
            raise ContractError(f"{found.full_name}: groups have no JSON form here")
        if found.message_type is not None:
            special = _WELL_KNOWN.get(found.message_type.full_name)
            if special is not None:
                return special.format(value)
            if found.message_type.full_name == "google.protobuf.Any":
                raise ContractError(f"{found.full_name}: google.protobuf.Any has no JSON form here")
            return f"{self.need(found.message_type, below)}({value})"
        special = {FieldDescriptor.TYPE_BYTES: "base64_of({0})", FieldDescriptor.TYPE_FLOAT: "shortest({0})"}.get(
            found.type, "{0}"
        )
        return special.format(value)


def _read(found: FieldDescriptor) -> str:
    # Some names of fields are words of Python.
    return f"getattr(m, {found.name!r})" if keyword.iskeyword(found.name) else f"m.{found.name}"
