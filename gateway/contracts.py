"""What a service announces about itself: its descriptor set, read into messages, bindings and policies.

The set comes from outside and lives in a descriptor pool of its own, so that two services may know different versions
of one file. Options are read from the serialized files with our own generated classes, never from the foreign pool.
A set that cannot be used raises `ContractError`, and no other service notices.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from buf.validate import validate_pb2
from google.api import annotations_pb2, http_pb2  # type: ignore[import-untyped] # ships no types
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import DecodeError, Message
from switchyard.options.v1 import policy_pb2

# A contract of ours has about 100 kB with its comments; a hundred times that is not a contract.
DESCRIPTOR_SET_LEN_MAX: Final = 8 * 1024 * 1024
# What a method takes and answers whose protocol is somebody else's.
RAW: Final = ("switchyard.common.v1.HttpRequest", "switchyard.common.v1.HttpResponse")
# The verbs that a binding may name; `custom` is for methods that nobody calls here.
VERBS: Final = ("get", "put", "post", "delete", "patch")

# Extensions of options. Their stubs name no container, so they have no type here.
_HTTP: Final[Any] = annotations_pb2.http
_POLICY: Final[Any] = policy_pb2.policy
_FIELD_POLICY: Final[Any] = policy_pb2.field
_RULES: Final[Any] = validate_pb2.field
_ONEOF: Final[Any] = validate_pb2.oneof
_NO_FIELD_POLICY: Final = policy_pb2.FieldPolicy()
_NO_RULES: Final = validate_pb2.FieldRules()
# What protoc accepts as a name. Converters are compiled from these names, so nothing else may come in.
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
# Where things lie in a `FileDescriptorProto`, which is how source comments are addressed.
_MESSAGE, _ENUM, _SERVICE = 4, 5, 6
_FIELD, _NESTED, _NESTED_ENUM, _METHOD, _VALUE = 2, 3, 4, 2, 2


class ContractError(Exception):
    """An announced contract that cannot be used, and why."""


@dataclass(frozen=True, slots=True)
class Binding:
    """One `google.api.http` binding. `body` is empty, `*` or a field of the request."""

    verb: str
    template: str
    body: str
    response_body: str


@dataclass(frozen=True, slots=True, eq=False)
class Method:
    """One method of a service. `path` is the gRPC path, such as `/acme.v1.Pets/Get`; a raw one reads HTTP itself."""

    contract: "Contract" = field(repr=False)
    path: str
    name: str
    comment: str = field(repr=False)
    policy: policy_pb2.MethodPolicy = field(repr=False)
    bindings: tuple[Binding, ...]
    input: Descriptor = field(repr=False)
    output: Descriptor = field(repr=False)
    request: type[Message]
    response: type[Message]
    client_streaming: bool
    server_streaming: bool

    @property
    def is_raw(self) -> bool:
        """Whether the method is given requests as they came."""
        return self.input.full_name == RAW[0]


@dataclass(eq=False)
class Contract:
    """A service's contract. `comments` and the two option maps are keyed by full protobuf names."""

    service: str
    pool: descriptor_pool.DescriptorPool = field(repr=False)
    comments: Mapping[str, str] = field(repr=False)
    policies: Mapping[str, policy_pb2.FieldPolicy] = field(repr=False)
    rules: Mapping[str, validate_pb2.FieldRules] = field(repr=False)
    # Full names of the oneofs of which one member must be given.
    demanded: frozenset[str] = field(repr=False)
    methods: tuple[Method, ...] = ()

    @classmethod
    def of(cls, service: str, descriptor_set: bytes, *, services: Iterable[str] | None = None) -> "Contract":
        """Read the `FileDescriptorSet`, dependencies included, of the service that the registry calls `service`.

        `services` are the full names of the gRPC services it serves; unless given, those of its own packages, which
        are the packages of the files that no other file of the set imports.
        """
        with refusing(service):
            files = _files(descriptor_set)
            index = _Index()
            for file in files:
                index.add(file)
            contract = cls(
                service, _pool(files), index.comments, index.policies, index.rules, frozenset(index.demanded)
            )
            names = _own_services(files) if services is None else tuple(services)
            contract.methods = tuple(contract._methods(names, index.options))
        return contract

    def _methods(
        self, services: Iterable[str], options: Mapping[str, descriptor_pb2.MethodOptions]
    ) -> Iterator[Method]:
        for name in services:
            try:
                found = self.pool.FindServiceByName(name)
            except KeyError as error:
                raise ContractError(f"{self.service}: the descriptor set has no service {name}") from error
            for method in found.methods:
                yield self._method(method, options[method.full_name])

    def _method(self, method: MethodDescriptor, options: descriptor_pb2.MethodOptions) -> Method:
        rule = options.Extensions[_HTTP]
        bindings = tuple(_bindings(method.full_name, rule)) if options.HasExtension(_HTTP) else ()
        if bindings and not options.HasExtension(_POLICY):
            raise ContractError(f"{method.full_name}: an HTTP binding without a policy")
        if bindings:
            _check_raw(method, options.Extensions[_POLICY])
        return Method(
            contract=self,
            path=f"/{method.containing_service.full_name}/{method.name}",
            name=method.name,
            comment=self.comments.get(method.full_name, ""),
            policy=options.Extensions[_POLICY],
            bindings=bindings,
            input=method.input_type,
            output=method.output_type,
            request=message_factory.GetMessageClass(method.input_type),
            response=message_factory.GetMessageClass(method.output_type),
            client_streaming=method.client_streaming,
            server_streaming=method.server_streaming,
        )

    def policy_of(self, found: FieldDescriptor) -> policy_pb2.FieldPolicy:
        """The policy of a field; an empty one if it has none."""
        return self.policies.get(found.full_name, _NO_FIELD_POLICY)

    def rules_of(self, found: FieldDescriptor) -> validate_pb2.FieldRules:
        """The validation rules of a field; empty ones if it has none."""
        return self.rules.get(found.full_name, _NO_RULES)


@contextmanager
def refusing(service: str) -> Iterator[None]:
    """The border to what others announce: whatever goes wrong in reading it is their contract's error."""
    try:
        yield
    except ContractError:
        raise
    except Exception as error:
        raise ContractError(f"{service}: unreadable contract: {type(error).__name__}: {error}") from error


def reachable(start: Descriptor, *, stop: Callable[[Descriptor], bool]) -> list[Descriptor]:
    """The message types that `start` leads to, itself first; `stop` says which are leaves and not in the list."""
    found: dict[str, Descriptor] = {}
    todo = [start]
    while todo:
        message = todo.pop()
        if message.full_name in found or stop(message):
            continue
        found[message.full_name] = message
        todo.extend(each.message_type for each in message.fields if each.message_type is not None)
    return list(found.values())


def _files(descriptor_set: bytes) -> list[descriptor_pb2.FileDescriptorProto]:
    if len(descriptor_set) > DESCRIPTOR_SET_LEN_MAX:
        raise ContractError(f"the descriptor set has {len(descriptor_set)} bytes, over {DESCRIPTOR_SET_LEN_MAX}")
    try:
        files = list(descriptor_pb2.FileDescriptorSet.FromString(descriptor_set).file)
    except DecodeError as error:
        raise ContractError("not a FileDescriptorSet") from error
    if not files:
        raise ContractError("an empty FileDescriptorSet")
    for file in files:
        _check_text(file)
    return files


def _check_text(message: Message) -> None:
    """Refuse text that is not UTF-8: protobuf hands it out as bytes, which no reader of names or policies expects."""
    for found, value in message.ListFields():
        values = value if found.is_repeated else [value]
        if found.message_type is not None:
            for each in values:
                _check_text(each)
        elif found.type == FieldDescriptor.TYPE_STRING and not all(isinstance(each, str) for each in values):
            raise ContractError(f"{found.full_name}: text that is not UTF-8")


def _pool(files: Iterable[descriptor_pb2.FileDescriptorProto]) -> descriptor_pool.DescriptorPool:
    """A pool with all files. Their order does not matter, as long as each one's imports are in the set."""
    pool = descriptor_pool.DescriptorPool()
    waiting = {file.name: file for file in files}
    added: set[str] = set()
    while waiting:
        ready = [name for name, file in waiting.items() if added.issuperset(file.dependency)]
        if not ready:
            missing = sorted({each for file in waiting.values() for each in file.dependency} - added - set(waiting))
            raise ContractError(f"imports that are not in the set or go round: {missing or sorted(waiting)}")
        for name in ready:
            try:
                pool.AddSerializedFile(waiting.pop(name).SerializeToString())
            except TypeError as error:
                raise ContractError(f"{name}: {error}") from error
            added.add(name)
    return pool


def _own_services(files: Iterable[descriptor_pb2.FileDescriptorProto]) -> list[str]:
    files = list(files)
    imported = {name for file in files for name in file.dependency}
    packages = {file.package for file in files if file.name not in imported}
    return [
        f"{file.package}.{service.name}" if file.package else service.name
        for file in files
        if file.package in packages
        for service in file.service
    ]


def _bindings(method: str, rule: http_pb2.HttpRule) -> Iterator[Binding]:
    for each in (rule, *rule.additional_bindings):
        verb = each.WhichOneof("pattern")
        if verb not in VERBS:
            raise ContractError(f"{method}: a binding needs one of {', '.join(VERBS)}")
        yield Binding(verb.upper(), getattr(each, verb), each.body, each.response_body)


def _check_raw(method: MethodDescriptor, policy: policy_pb2.MethodPolicy) -> None:
    raw = [
        found == wanted
        for found, wanted in zip((method.input_type.full_name, method.output_type.full_name), RAW, strict=True)
    ]
    if any(raw) != all(raw) or (policy.HasField("raw") and not all(raw)):
        raise ContractError(f"{method.full_name}: a raw method takes {RAW[0]} and answers {RAW[1]}")


def _named(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ContractError(f"not a name: {name!r}")
    return name


class _Index:
    """The options and comments of all files, by full name."""

    def __init__(self) -> None:
        self.comments: dict[str, str] = {}
        self.options: dict[str, descriptor_pb2.MethodOptions] = {}
        self.policies: dict[str, policy_pb2.FieldPolicy] = {}
        self.rules: dict[str, validate_pb2.FieldRules] = {}
        self.demanded: set[str] = set()
        self._spoken: dict[tuple[int, ...], str] = {}

    def add(self, file: descriptor_pb2.FileDescriptorProto) -> None:
        self._spoken = {
            tuple(each.path): each.leading_comments.strip()
            for each in file.source_code_info.location
            if each.leading_comments
        }
        scope = f"{file.package}." if file.package else ""
        for at, message in enumerate(file.message_type):
            self._message(scope, (_MESSAGE, at), message)
        for at, enum in enumerate(file.enum_type):
            self._enum(scope, (_ENUM, at), enum)
        for at, service in enumerate(file.service):
            self._note(f"{scope}{service.name}", (_SERVICE, at))
            for number, method in enumerate(service.method):
                name = f"{scope}{service.name}.{method.name}"
                self._note(name, (_SERVICE, at, _METHOD, number))
                self.options[name] = method.options

    def _message(self, scope: str, path: tuple[int, ...], message: descriptor_pb2.DescriptorProto) -> None:
        full_name = f"{scope}{_named(message.name)}"
        self._note(full_name, path)
        for at, each in enumerate(message.field):
            name = f"{full_name}.{_named(each.name)}"
            self._note(name, (*path, _FIELD, at))
            if each.options.HasExtension(_FIELD_POLICY):
                self.policies[name] = each.options.Extensions[_FIELD_POLICY]
            if each.options.HasExtension(_RULES):
                self.rules[name] = each.options.Extensions[_RULES]
        self.demanded |= {
            f"{full_name}.{each.name}" for each in message.oneof_decl if each.options.Extensions[_ONEOF].required
        }
        for at, nested in enumerate(message.nested_type):
            self._message(f"{full_name}.", (*path, _NESTED, at), nested)
        for at, enum in enumerate(message.enum_type):
            self._enum(f"{full_name}.", (*path, _NESTED_ENUM, at), enum)

    def _enum(self, scope: str, path: tuple[int, ...], enum: descriptor_pb2.EnumDescriptorProto) -> None:
        self._note(f"{scope}{_named(enum.name)}", path)
        for at, value in enumerate(enum.value):
            self._note(f"{scope}{enum.name}.{_named(value.name)}", (*path, _VALUE, at))

    def _note(self, name: str, path: tuple[int, ...]) -> None:
        if path in self._spoken:
            self.comments[name] = self._spoken[path]
