"""Why a user or an API token may or may not do something, in the order in which it is decided.

First whether they stand at all (as the exchange of a credential for a pass finds it), then whether a role and the
scopes give the permission, then where they act.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.auth.v1 import access_pb2

from chassis import call, clock, errors
from services.auth import access_store, roles, store, tokens, users
from services.auth.models import ApiToken, Membership
from services.auth.permissions import Permissions

SCOPE = "scope"


class Subject(NamedTuple):
    """Whom the question is about. `fallen`: the rule by which they do not stand, and why; no sites: all of them."""

    fallen: tuple[str, str] | None
    roles: Sequence[str]
    scopes: Sequence[str]
    sites: frozenset[str]


async def explain(
    session: AsyncSession, request: access_pb2.ExplainAccessRequest, there: Permissions
) -> access_pb2.Explanation:
    """The answer to a question about access. Raises `NotFound` for somebody who is none of the caller's business."""
    if request.WhichOneof("principal") == "user_id":
        subject = await _user(session, UUID(request.user_id))
    else:
        subject = await _token(session, UUID(request.token_id))
    defined = await roles.allowed(session, subject.roles)
    permission = request.permission
    by_role = {name: roles.granting(held, permission) for name, held in defined.items()}
    by_scope = {SCOPE: roles.granting(subject.scopes, permission)} if subject.scopes else {}
    rule, reason = _decide(request, subject, by_role, by_scope, platform=there.of_platform(permission))
    missing = rule in {"no_role_grants_it", "outside_scope", "platform_only"}
    return access_pb2.Explanation(
        allowed=rule == "granted",
        reason=reason,
        rule=rule,
        grants=[access_pb2.Grant(role=name, granted_by=by) for name, by in (by_role | by_scope).items()],
        missing_permission=permission if missing else "",
        site_ids=sorted(subject.sites),
    )


def _decide(
    request: access_pb2.ExplainAccessRequest,
    subject: Subject,
    by_role: Mapping[str, str],
    by_scope: Mapping[str, str],
    *,
    platform: bool,
) -> tuple[str, str]:
    permission = request.permission
    giver = next((name for name, by in by_role.items() if by), None)
    if subject.fallen is not None:
        return subject.fallen
    if platform:
        return "platform_only", f"{permission} acts for the platform, and no role of a tenant gives it"
    if giver is None:
        return "no_role_grants_it", f"none of {', '.join(by_role)} grants {permission}"
    if not all(by_scope.values()):
        return "outside_scope", f"the role {giver} grants {permission}, and the token's scopes do not"
    if request.site_id and subject.sites and request.site_id.lower() not in subject.sites:
        return "other_site", f"the role {giver} grants {permission}, but not in this site"
    return "granted", f"the role {giver} grants {permission}"


async def _user(session: AsyncSession, user_id: UUID) -> Subject:
    row = await store.membership(session, call.current().principal.tenant, user_id)
    if row is None or not users.sees(call.current().principal, row.site_ids):
        raise errors.NotFound
    subject = _member(row)
    return subject._replace(fallen=subject.fallen or await _suspension(session))


async def _token(session: AsyncSession, token_id: UUID) -> Subject:
    row = await access_store.api_token(session, token_id)
    if row is None:
        raise errors.NotFound
    subject = await _own_token(session, row) if row.user_id is not None else _device(row)
    if not users.sees(call.current().principal, [UUID(site) for site in subject.sites]):
        raise errors.NotFound
    if row.expires_at is not None and row.expires_at <= clock.now():
        return subject._replace(fallen=("token_expired", "the token has expired"))
    return subject._replace(fallen=await _suspension(session) or subject.fallen)


def _device(row: ApiToken) -> Subject:
    return Subject(None, [tokens.PRINCIPALS[row.kind]], row.scopes, frozenset({str(row.site_id)}))


async def _own_token(session: AsyncSession, row: ApiToken) -> Subject:
    """A personal token: what its person may do, within its scopes and at its site."""
    assert row.user_id is not None
    person = await store.membership(session, row.tenant_id, row.user_id)
    if person is None:
        return Subject(("user_disabled", "its person is no user of the tenant any more"), [], row.scopes, frozenset())
    subject = _member(person)._replace(scopes=row.scopes)
    if row.site_id is None:
        return subject
    site = str(row.site_id)
    if subject.fallen is None and subject.sites and site not in subject.sites:
        subject = subject._replace(fallen=("other_site", "its person does not act in its site any more"))
    return subject._replace(sites=frozenset({site}))


def _member(row: Membership) -> Subject:
    # Whether they have consented is not told: it would say who had an account elsewhere.
    fallen = None if row.status == users.ACTIVE else ("user_disabled", "the user is disabled")
    held = list(dict.fromkeys((row.role, *row.additional_roles)))
    return Subject(fallen, held, (), frozenset(str(site) for site in row.site_ids))


async def _suspension(session: AsyncSession) -> tuple[str, str] | None:
    if await access_store.is_suspended(session):
        return "tenant_suspended", "the tenant is suspended"
    return None
