"""What the gateway does for a service that is not built on the chassis: permission, field rules, audit.

A service on the chassis enforces its contract itself and says so in its registry entry. Any other gets from here what
its contract declares, so that a few lines in any language are enough to be safe behind the gateway.
"""

from typing import Any

from google.protobuf.message import Message

from chassis import errors, policy
from chassis.identity import Principal
from chassis.rpc import validation
from gateway import trail
from gateway.errors import Problem, invalid, permission_denied
from gateway.routes import Route


class Rules:
    """What the contract of one foreign method asks for."""

    def __init__(self, route: Route) -> None:
        declared = route.policy
        self._action = f"{route.service}.{route.method.name}"
        self._permission = declared.permission
        self._platform = declared.platform
        self._tenant_optional = declared.tenant_optional
        self._step_up = declared.step_up
        self._path = route.path
        self._audience = policy.audience(declared)
        self._category = policy.CATEGORIES.get(declared.audit, "")
        self._prefix = f"{route.body}." if route.body not in {"", "*"} else ""

    def check(self, principal: Principal | None, message: Message) -> None:
        """Raise `Problem` (403, 422) for a principal who may not call, or a message that breaks a field's rules."""
        if principal is not None:
            self._admit(principal)
        try:
            validation.check(message, patches=False)
        except errors.Invalid as failure:
            raise invalid({path.removeprefix(self._prefix): told for path, told in failure.fields.items()}) from None

    def _admit(self, principal: Principal) -> None:
        if principal.kind not in self._audience:
            raise Problem("PERMISSION_DENIED", f"a {principal.kind} may not call this")
        may = principal.may_for_platform if self._platform else principal.may
        granted = may(self._permission)
        if self._permission and principal.kind != "service" and not granted:
            raise permission_denied(self._permission)
        if self._step_up:
            self._check_fresh(principal)
        if principal.tenant_id is None and not (self._platform or self._tenant_optional):
            raise invalid({"X-Tenant-ID": ["is required: the credential names no tenant"]})

    def _check_fresh(self, principal: Principal) -> None:
        try:
            policy.check_fresh(principal)
        except errors.Error as failure:
            found = Problem(failure.code, failure.message)
            found.refused_by = self._path
            raise found from None

    def record(self, principal: Principal, told: Any, *, code: str = "") -> trail.Entry | None:
        """What the trail is told of a call that changed something, or was denied; None where nothing is recorded."""
        denied = code in {"PERMISSION_DENIED", "IMPERSONATION_FORBIDDEN"}
        if not denied and (code or not self._category):
            return None
        return trail.entry(principal, told, action=self._action, category=self._category, code=code)
