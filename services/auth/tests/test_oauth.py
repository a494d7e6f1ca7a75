"""The authorization server by its own protocol: code, refresh, client credentials, exchange, the end of tokens."""

from chassis.testing import Tenant
from services.auth.tests.oauth_support import Browser, exchange_code, register, verifier
from services.auth.tests.support import Auth


class TestCode:
    async def test_it_becomes_tokens(self, auth: Auth, tenant: Tenant) -> None:
        client, person = await register(auth, tenant), await auth.person(tenant)
        chosen, challenge = verifier()

        reply = await Browser(auth).allow(client.asking(challenge), person)
        given = await exchange_code(auth, client, reply.sent["code"], chosen)

        assert given.status == 200, given.text
        assert set(given.json) == {"access_token", "refresh_token", "id_token", "token_type", "expires_in", "scope"}
        principal = await auth.exchange(given.json["access_token"])
        assert (principal.id, principal.tenant_id, set(principal.permissions)) == (
            person.id,
            tenant.id,
            {"orders.read"},
        )
