"""Method and field policies, read once from the descriptors.

`of` refuses a service with a method that has no policy, so that none can be served by mistake.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from switchyard.options.v1 import policy_pb2

from chassis import clock, errors
from chassis.identity import Principal

AUDIENCES = {
    policy_pb2.AUDIENCE_USER: "user",
    policy_pb2.AUDIENCE_KIOSK: "kiosk",
    policy_pb2.AUDIENCE_POS: "pos",
    policy_pb2.AUDIENCE_SERVICE: "service",
    policy_pb2.AUDIENCE_CLIENT: "client",
}
# For so long after a factor was shown, calls that ask for a fresh one are answered.
STEP_UP_S = 600
# What leaves no trail has no category.
CATEGORIES = {
    value: name.removeprefix("AUDIT_CATEGORY_").lower()
    for name, value in policy_pb2.AuditCategory.items()
    if value not in {policy_pb2.AUDIT_CATEGORY_UNSPECIFIED, policy_pb2.AUDIT_CATEGORY_NONE}
}


@dataclass(frozen=True)
class Method:
    """One method's policy. `audit` is the category's name, empty for what leaves no trail."""

    path: str
    name: str
    service: str
    permission: str
    public: bool
    audience: frozenset[str]
    audit: str
    idempotent: bool
    idempotency_key_required: bool
    if_match_required: bool
    platform: bool
    tenant_optional: bool
    step_up: bool
    descriptor: MethodDescriptor = field(repr=False)

    @property
    def action(self) -> str:
        """The method in the audit trail, such as `inventory.CreateItem`."""
        return f"{self.service}.{self.name}"

    @property
    def for_services_only(self) -> bool:
        """Whether only another process of the suite may call."""
        return self.audience == {"service"}


def of(service: ServiceDescriptor) -> Mapping[str, Method]:
    """Policies by method name. Raises `TypeError` for a method without one."""
    return {method.name: _read(method) for method in service.methods}


def _read(method: MethodDescriptor) -> Method:
    # The generated types call an extension a FieldDescriptor, which the runtime's own types do not accept.
    options: Any = method.GetOptions()
    if not options.HasExtension(policy_pb2.policy):
        message = f"{method.full_name} has no policy"
        raise TypeError(message)
    policy: policy_pb2.MethodPolicy = options.Extensions[policy_pb2.policy]
    return Method(
        path=f"/{method.containing_service.full_name}/{method.name}",
        name=method.name,
        service=service_name(method.containing_service),
        permission=policy.permission,
        public=policy.public,
        audience=audience(policy),
        audit=CATEGORIES.get(policy.audit, ""),
        idempotent=policy.idempotent or policy.audit == policy_pb2.AUDIT_CATEGORY_UNSPECIFIED,
        idempotency_key_required=policy.idempotency_key_required,
        if_match_required=policy.if_match_required,
        platform=policy.platform,
        tenant_optional=policy.tenant_optional,
        step_up=policy.step_up,
        descriptor=method,
    )


def audience(declared: policy_pb2.MethodPolicy) -> frozenset[str]:
    """The kinds of principal that may call. What no permission guards, a client may call only where it is named."""
    if declared.audience:
        return frozenset(AUDIENCES[kind] for kind in declared.audience)
    return frozenset({"user", "client"} if declared.permission else {"user"})


def service_name(service: ServiceDescriptor) -> str:
    """The last word of the package before its version: `switchyard.orders.v1.OrdersService` is `orders`."""
    parts: list[str] = service.file.package.split(".")
    return parts[-2] if len(parts) > 1 and parts[-1].startswith("v") else parts[-1]


def check_fresh(principal: Principal) -> None:
    """Whoever calls has shown a factor lately, and is who they say. Raises `Denied` or `Unauthenticated`.

    Programs have no factors to show: their credential is all that they have.
    """
    if principal.kind in {"client", "service"}:
        return
    if principal.actor:
        message = "this cannot be done in another person's name"
        raise errors.Denied(message, code="IMPERSONATION_FORBIDDEN")
    if principal.authenticated_at < clock.now().timestamp() - STEP_UP_S:
        message = "a factor must be shown again"
        raise errors.Unauthenticated(message, code="STEP_UP_REQUIRED")


def field_policy(descriptor: FieldDescriptor) -> policy_pb2.FieldPolicy:
    """One field's policy; an empty one where none is declared."""
    extensions: Any = descriptor.GetOptions().Extensions
    found: policy_pb2.FieldPolicy = extensions[policy_pb2.field]
    return found


@cache
def guarded_fields(descriptor: Descriptor) -> tuple[tuple[FieldDescriptor, policy_pb2.FieldPolicy], ...]:
    """The fields of a message that carry a permission, or lead to some that do."""
    return tuple(
        (entry, field_policy(entry))
        for entry in descriptor.fields
        if _guarded(entry) or (entry.message_type is not None and _leads_to_guarded(entry.message_type, frozenset()))
    )


def _guarded(entry: FieldDescriptor) -> bool:
    policy = field_policy(entry)
    return bool(policy.read_permission or policy.write_permission)


def _leads_to_guarded(descriptor: Descriptor, seen: frozenset[str]) -> bool:
    if descriptor.full_name in seen:
        return False
    seen |= {descriptor.full_name}
    return any(
        _guarded(entry) or (entry.message_type is not None and _leads_to_guarded(entry.message_type, seen))
        for entry in descriptor.fields
    )


def check_writes(message: Message, may: Callable[[str], bool], path: str = "") -> None:
    """Raise `Denied` when a field is set that demands a permission the principal does not hold."""
    for entry, policy in guarded_fields(message.DESCRIPTOR):
        if not _is_set(message, entry):
            continue
        here = f"{path}{entry.name}"
        if policy.write_permission and not may(policy.write_permission):
            raise errors.Denied.missing(policy.write_permission, field=here)
        for child in _children(message, entry):
            check_writes(child, may, f"{here}.")


def hide_unreadable(message: Message, may: Callable[[str], bool]) -> None:
    """Clear the fields that the principal may not read."""
    for entry, policy in guarded_fields(message.DESCRIPTOR):
        if policy.read_permission and not may(policy.read_permission):
            message.ClearField(entry.name)
            continue
        for child in _children(message, entry):
            hide_unreadable(child, may)


def hide_sensitive(message: Message) -> None:
    """Clear the fields that are never kept in the clear."""
    entry: Any
    for entry in message.DESCRIPTOR.fields:
        if field_policy(entry).sensitive:
            message.ClearField(entry.name)
            continue
        for child in _children(message, entry):
            hide_sensitive(child)


def _is_set(message: Message, entry: FieldDescriptor) -> bool:
    if entry.has_presence:
        return bool(message.HasField(entry.name))
    return bool(getattr(message, entry.name))


def _children(message: Message, entry: FieldDescriptor) -> Iterator[Message]:
    if entry.message_type is None or entry.message_type.GetOptions().map_entry:
        return
    value = getattr(message, entry.name)
    if entry.is_repeated:
        yield from value
    elif message.HasField(entry.name):
        yield value
