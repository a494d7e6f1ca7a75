"""Tenants are suspended and resumed, whatever the order in which auth hears of it."""

from typing import Any

import orjson
import pytest
from switchyard.auth.v1 import access_pb2
from uuid_utils.compat import uuid7

from chassis import clock, errors, inbox
from chassis.testing import Databases, Tenant
from services.auth.events import HANDLERS
from services.auth.tests.support import OPERATOR_EMAIL, Auth, Person, admin, outbox


async def tell(auth: Auth, tenant: Tenant, kind: str, event_id: str | None = None, **data: Any) -> str:
    """Let auth handle an event of tenants."""
    envelope = {
        "id": event_id or str(uuid7()),
        "type": f"switchyard.tenants.v1.{kind}",
        "tenantid": str(tenant.id),
        "time": clock.now().isoformat(),
        "data": {"tenant_id": str(tenant.id), **data},
    }
    service = auth.running.service
    await inbox.Inbox(service.database, service.nats, HANDLERS).handle(orjson.dumps(envelope))
    return str(envelope["id"])


async def refused(auth: Auth, credential: str, tenant: Tenant | None = None) -> str:
    with pytest.raises(errors.Denied) as refusal:
        await auth.exchange(credential, tenant)
    return refusal.value.code


class TestSuspension:
    async def test_nobody_gets_a_pass(self, auth: Auth, tenant: Tenant) -> None:
        token = (await auth.sign_in(await auth.person(tenant))).access_token
        operator = (await auth.sign_in(Person("", OPERATOR_EMAIL))).access_token
        wanted = access_pb2.ApiToken(name="Kiosk", kind=access_pb2.TOKEN_KIND_CATALOG, site_id=str(uuid7()))
        kiosk = await auth.stub(admin(tenant)).CreateToken(access_pb2.CreateTokenRequest(token=wanted))

        await tell(auth, tenant, "TenantSuspended", reason="unpaid")

        shown = [(token, tenant), (operator, tenant), (kiosk.token, None)]
        assert {await refused(auth, *one) for one in shown} == {"TENANT_SUSPENDED"}

    async def test_it_is_told_once(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        told_by = await tell(auth, tenant, "TenantSuspended", reason="unpaid")

        await tell(auth, tenant, "TenantSuspended", told_by, reason="unpaid")

        told = await outbox(databases, tenant.id, "TenantStatusChanged")
        assert [one["data"]["status"] for one in told] == ["suspended"]

    async def test_resumed_everybody_gets_one_again(self, auth: Auth, tenant: Tenant) -> None:
        token = (await auth.sign_in(await auth.person(tenant))).access_token
        await tell(auth, tenant, "TenantSuspended", reason="unpaid")

        await tell(auth, tenant, "TenantResumed")

        assert (await auth.exchange(token, tenant)).tenant_id == tenant.id

    async def test_what_comes_late_changes_nothing(self, auth: Auth, tenant: Tenant) -> None:
        token = (await auth.sign_in(await auth.person(tenant))).access_token
        first = str(uuid7())
        await tell(auth, tenant, "TenantResumed")

        await tell(auth, tenant, "TenantSuspended", first, reason="unpaid")

        assert (await auth.exchange(token, tenant)).tenant_id == tenant.id

    async def test_another_tenant_goes_on(self, auth: Auth, tenant: Tenant) -> None:
        other_tenant = Tenant(uuid7())
        token = (await auth.sign_in(await auth.person(other_tenant))).access_token

        await tell(auth, tenant, "TenantSuspended", reason="unpaid")

        assert (await auth.exchange(token, other_tenant)).tenant_id == other_tenant.id
