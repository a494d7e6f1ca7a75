"""Credentials, passes and revocations."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from joserfc.jwk import KeySet, OKPKey

from chassis import identity
from chassis.testing import Tenant
from gateway.errors import Problem
from gateway.passes import Asked


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.005)


def _asked(house: Any, principal: Any = None) -> Asked:
    return Asked(house.auth.sign_in(principal or house.tenant.user()))


class TestGet:
    async def test_exchanges_at_one_time_are_one(self, house: Any) -> None:
        asked = _asked(house)
        house.auth.gate.clear()
        waiting = [asyncio.create_task(house.gateway.passes.get(asked)) for _ in range(20)]
        await _until(lambda: bool(house.auth.exchanges))

        house.auth.gate.set()
        passes = await asyncio.gather(*waiting)

        assert len(house.auth.exchanges) == 1
        assert all(each is passes[0] for each in passes)

    async def test_one_who_leaves_does_not_take_the_others_along(self, house: Any) -> None:
        asked = _asked(house)
        house.auth.gate.clear()
        first, second = (asyncio.create_task(house.gateway.passes.get(asked)) for _ in range(2))
        await _until(lambda: bool(house.auth.exchanges))

        first.cancel()
        house.auth.gate.set()

        assert (await second).token

    async def test_another_tenant_is_another_pass(self, house: Any) -> None:
        asked = _asked(house)
        await house.gateway.passes.get(asked)

        await house.gateway.passes.get(asked._replace(tenant=str(house.tenant.id)))

        assert len(house.auth.exchanges) == 2

    async def test_a_refusal_is_repeated_for_a_moment(self, house: Any) -> None:
        for _ in range(3):
            with pytest.raises(Problem, match="UNAUTHENTICATED"):
                await house.gateway.passes.get(Asked("nonsense"))

        assert len(house.auth.exchanges) == 1

    async def test_a_pass_that_ends_is_not_used(self, house: Any) -> None:
        house.auth.lifetime_s = 2
        asked = _asked(house)
        await house.gateway.passes.get(asked)

        assert house.gateway.passes.find(asked) is None

    async def test_a_pass_in_use_is_renewed_before_it_ends(self, house: Any) -> None:
        house.auth.lifetime_s = 10
        asked = _asked(house)
        old = await house.gateway.passes.get(asked)
        house.auth.lifetime_s = 60

        assert house.gateway.passes.find(asked) is old

        await _until(lambda: house.gateway.passes.find(asked) is not old)

    async def test_a_long_credential_does_not_reach_auth(self, house: Any) -> None:
        with pytest.raises(Problem, match="UNAUTHENTICATED"):
            await house.gateway.passes.get(Asked("x" * 10_000))

        assert house.auth.exchanges == []


class TestRenew:
    async def test_another_pass_comes(self, house: Any) -> None:
        asked = _asked(house)
        stale = await house.gateway.passes.get(asked)

        passes = await asyncio.gather(*(house.gateway.passes.renew(asked, stale) for _ in range(5)))

        assert stale not in passes
        # Who asks while somebody else does may know of more: together they wait for one more.
        assert len(house.auth.exchanges) == 3

    async def test_one_that_is_newer_already_is_good(self, house: Any) -> None:
        asked = _asked(house)
        stale = await house.gateway.passes.get(asked)
        newer = await house.gateway.passes.renew(asked, stale)

        assert await house.gateway.passes.renew(asked, stale) is newer

    async def test_an_exchange_that_was_begun_before_is_not_enough(self, house: Any) -> None:
        house.auth.lifetime_s = 10
        asked = _asked(house)
        stale = await house.gateway.passes.get(asked)
        house.auth.gate.clear()
        # A pass that is about to end is asked for ahead.
        house.gateway.passes.find(asked)
        await _until(lambda: len(house.auth.exchanges) == 2)

        renewing = asyncio.create_task(house.gateway.passes.renew(asked, stale))
        await asyncio.sleep(0)
        house.auth.gate.set()

        assert await renewing
        assert len(house.auth.exchanges) == 3


class TestOutdate:
    async def test_who_changed_something_at_auth_is_asked_for_anew(self, house: Any) -> None:
        asked = _asked(house)
        old = await house.gateway.passes.get(asked)

        house.gateway.passes.outdate(old)

        assert house.gateway.passes.find(asked) is None

    async def test_others_are_left_alone(self, house: Any) -> None:
        asked, other = _asked(house), _asked(house)
        kept = await house.gateway.passes.get(other)

        house.gateway.passes.outdate(await house.gateway.passes.get(asked))

        assert house.gateway.passes.find(other) is kept

    async def test_an_exchange_under_way_is_not_enough(self, house: Any) -> None:
        house.auth.lifetime_s = 10
        asked = _asked(house)
        old = await house.gateway.passes.get(asked)
        house.auth.gate.clear()
        house.gateway.passes.find(asked)
        await _until(lambda: len(house.auth.exchanges) == 2)

        house.gateway.passes.outdate(old)
        house.auth.gate.set()

        assert await house.gateway.passes.get(asked)
        assert len(house.auth.exchanges) == 3


class TestRevocation:
    async def test_an_ended_session_stops_at_once(self, house: Any) -> None:
        principal = house.tenant.user(permissions={"kettles.read"})
        headers = house.bearer(principal)
        assert (await house.http.get("/api/v1/kettles", headers=headers)).status_code == 200
        house.auth.principals.clear()

        await house.publish("auth.SessionRevoked", {"session_id": principal.session_id, "user_id": principal.id})

        async with asyncio.timeout(1):
            while (await house.http.get("/api/v1/kettles", headers=headers)).status_code != 401:
                await asyncio.sleep(0.01)

    async def test_a_revoked_token_is_dropped(self, house: Any) -> None:
        kiosk = house.tenant.kiosk("s1")
        asked = _asked(house, kiosk)
        await house.gateway.passes.get(asked)

        await house.publish("auth.TokenRevoked", {"token_id": kiosk.id, "site_id": "s1"})

        await _until(lambda: house.gateway.passes.find(asked) is None)

    async def test_passes_go_with_the_keys_that_signed_them(self, house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(identity, "REFETCH_EVERY_S", 0.0)
        asked = _asked(house)
        await house.gateway.passes.get(asked)
        dropped = OKPKey.generate_key("Ed25519", parameters={"kid": "dropped"}, auto_kid=False)
        house.gateway.passes._verifier._keys = KeySet([dropped])

        await house.gateway.passes.get(_asked(house))

        assert house.gateway.passes.find(asked) is None

    async def test_a_changed_role_is_asked_for_again(self, house: Any) -> None:
        principal = house.tenant.user()
        asked = _asked(house, principal)
        await house.gateway.passes.get(asked)

        await house.publish("auth.RoleChanged", {"user_id": principal.id, "role": "staff"})

        await _until(lambda: house.gateway.passes.find(asked) is None)

    async def test_another_tenants_role_is_left_alone(self, house: Any) -> None:
        principal = house.tenant.user()
        asked = _asked(house, principal)
        await house.gateway.passes.get(asked)
        barrier = _asked(house)
        await house.gateway.passes.get(barrier)

        await house.publish("auth.RoleChanged", {"user_id": principal.id}, tenant=str(Tenant().id))
        await house.publish("auth.RoleChanged", {"user_id": house.auth.principals[barrier.credential].id})

        await _until(lambda: house.gateway.passes.find(barrier) is None)
        assert house.gateway.passes.find(asked) is not None

    async def test_one_that_comes_during_the_exchange_counts(self, house: Any) -> None:
        principal = house.tenant.user()
        asked = _asked(house, principal)
        revoked = asyncio.Event()
        house.gateway.passes.on_revocation(lambda _: revoked.set())
        house.auth.gate.clear()
        waiting = asyncio.create_task(house.gateway.passes.get(asked))
        await _until(lambda: bool(house.auth.exchanges))
        house.auth.principals.clear()
        await house.publish("auth.SessionRevoked", {"session_id": principal.session_id})
        await asyncio.wait_for(revoked.wait(), 5)

        house.auth.gate.set()

        with pytest.raises(Problem, match="UNAUTHENTICATED"):
            await waiting
        assert len(house.auth.exchanges) == 2
