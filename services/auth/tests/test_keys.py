"""Signing keys: one first key however many processes start, overlap when they rotate, nothing readable at rest."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from joserfc import jwt
from joserfc.jwk import KeySet
from switchyard.auth.v1 import auth_pb2

from chassis import clock, encryption, errors, identity, resealing
from chassis.identity import Verifier
from chassis.testing import Databases, Tenant
from services.auth import keys
from services.auth.models import Base
from services.auth.tests.support import MASTER_KEY, Auth, superuser, vault


async def loaded(auth: Auth, master: str = MASTER_KEY, previous: str = "") -> keys.Keyring:
    """The keyring of another process."""
    own = vault(auth, master, previous)
    await own.load()
    keyring = keys.Keyring(own)
    await load(auth, keyring)
    return keyring


async def load(auth: Auth, keyring: keys.Keyring) -> None:
    async with auth.running.service.database.transaction(identity.service_principal("auth", None)) as session:
        await keyring.load(session)


async def rotate(auth: Auth, keyring: keys.Keyring, *, at_once: bool = False) -> None:
    async with auth.running.service.database.transaction(identity.service_principal("auth", None)) as session:
        await keyring.rotate(session, at_once=at_once)
    await load(auth, keyring)


@pytest_asyncio.fixture(loop_scope="session")
async def admin(databases: Databases, auth: Auth) -> AsyncIterator[asyncpg.Connection]:
    """A superuser; what stood in the tables of keys stands there again afterwards."""
    async with superuser(databases) as connection:
        yield connection
        await connection.execute("DELETE FROM signing_keys")
        await loaded(auth)


async def generations(admin: asyncpg.Connection, alg: str = keys.PASSES) -> list[int]:
    rows = await admin.fetch("SELECT generation FROM signing_keys WHERE alg = $1 ORDER BY 1", alg)
    return [row["generation"] for row in rows]


def told(keyring: keys.Keyring) -> Mapping[str, Any]:
    """The key set as everybody fetches it."""
    return {"keys": list(keyring.document)}


class TestLoad:
    async def test_many_first_starts_make_one_key_of_each_kind(self, auth: Auth, admin: asyncpg.Connection) -> None:
        await admin.execute("DELETE FROM signing_keys")

        keyrings = await asyncio.gather(*(loaded(auth) for _ in range(8)))

        assert [await generations(admin, alg) for alg in (keys.PASSES, keys.ID_TOKENS, keys.SECRET)] == [[1]] * 3
        assert len({keyring.signing.kid for keyring in keyrings}) == 1
        assert len({keyring.id_token_key.kid for keyring in keyrings}) == 1
        assert len({keyring.derive("refresh-tokens") for keyring in keyrings}) == 1

    async def test_what_is_derived_is_for_one_purpose(self, auth: Auth) -> None:
        keyring = await loaded(auth)

        assert keyring.derive("refresh-tokens") != keyring.derive("something else")

    async def test_before_it_there_is_nothing_to_sign_with(self, auth: Auth) -> None:
        keyring = keys.Keyring(vault(auth))

        for use in (lambda: keyring.signing, lambda: keyring.public, lambda: keyring.derive("refresh-tokens")):
            with pytest.raises(errors.Unavailable):
                use()

    async def test_another_master_key_opens_nothing(self, auth: Auth) -> None:
        with pytest.raises(encryption.Unreadable):
            await loaded(auth, "a master key of somebody else")

    async def test_a_new_master_key_keeps_the_keys(self, auth: Auth) -> None:
        before = await loaded(auth)

        after = await loaded(auth, "a new master key of the tests", previous=MASTER_KEY)
        back = await loaded(auth, MASTER_KEY, previous="a new master key of the tests")

        assert before.signing.as_dict() == after.signing.as_dict() == back.signing.as_dict()
        assert before.derive("refresh-tokens") == after.derive("refresh-tokens")

    async def test_the_database_holds_no_key(self, auth: Auth, admin: asyncpg.Connection) -> None:
        keyring = await loaded(auth)
        private = [
            str(keyring.signing.as_dict(private=True)["d"]),
            str(keyring.id_token_key.as_dict(private=True)["d"]),
        ]
        secret = keyring.derive("refresh-tokens")

        dump = "".join(str(dict(row)) for row in await admin.fetch("SELECT * FROM signing_keys, encryption_keys"))

        assert "'Ed25519'" in dump
        assert not any(hidden in dump for hidden in (*private, repr(secret)[2:-1], secret.hex(), '"d"', MASTER_KEY))

    async def test_a_key_moved_to_another_generation_does_not_open(self, auth: Auth, admin: asyncpg.Connection) -> None:
        await admin.execute("UPDATE signing_keys SET generation = generation + 7, kid = 'moved' WHERE alg = 'Ed25519'")

        with pytest.raises(encryption.Unreadable):
            await loaded(auth)


class TestRotate:
    async def test_it_comes_by_itself_when_a_key_is_old(self, auth: Auth, admin: asyncpg.Connection) -> None:
        before = (await loaded(auth)).signing.kid

        with clock.shifted(keys.ROTATED_AFTER + timedelta(days=1)):
            rotated = await loaded(auth)
            at_first = rotated.signing.kid
            with clock.shifted(keys.PUBLISHED_BEFORE):
                later = rotated.signing.kid

        assert at_first == before != later

    @pytest.mark.parametrize("alg", keys.PUBLISHED)
    async def test_a_new_key_is_published_before_it_signs(
        self, auth: Auth, admin: asyncpg.Connection, alg: str
    ) -> None:
        keyring = await loaded(auth)
        before = keyring.in_use(alg).kid
        await rotate(auth, keyring)
        known = {key["kid"] for key in keyring.document}

        at_first = keyring.in_use(alg).kid
        with clock.shifted(keys.PUBLISHED_BEFORE):
            later = keyring.in_use(alg).kid

        assert at_first == before != later
        assert {before, later} <= known

    async def test_a_key_is_kept_until_what_it_signed_has_ended(self, auth: Auth, admin: asyncpg.Connection) -> None:
        keyring = await loaded(auth)
        before = keyring.signing.kid
        for _ in range(3):
            await rotate(auth, keyring)
            await admin.execute("UPDATE signing_keys SET used_from = now() WHERE used_from > now()")

        with clock.shifted(keys.KEPT_AFTER - timedelta(minutes=1)):
            kept = await loaded(auth)
        with clock.shifted(keys.KEPT_AFTER + timedelta(minutes=1)):
            dropped = await loaded(auth)

        assert before in {key.kid for key in kept.public.keys}
        assert before not in {key.kid for key in dropped.public.keys}
        assert await generations(admin) == [4]

    async def test_processes_that_rotate_at_once_make_one_key(self, auth: Auth, admin: asyncpg.Connection) -> None:
        keyrings = [await loaded(auth) for _ in range(8)]
        (before,) = await generations(admin)

        await asyncio.gather(*(rotate(auth, keyring) for keyring in keyrings))

        assert await generations(admin) == [before, before + 1]
        assert await generations(admin, keys.ID_TOKENS) == [before, before + 1]

    async def test_refresh_tokens_are_derived_as_before(self, auth: Auth, admin: asyncpg.Connection) -> None:
        keyring = await loaded(auth)
        before = keyring.derive("refresh-tokens")

        await rotate(auth, keyring)

        assert keyring.derive("refresh-tokens") == before

    async def test_at_once_the_keys_before_are_gone(self, auth: Auth, admin: asyncpg.Connection) -> None:
        keyring = await loaded(auth)
        before = {row.kid for row in keyring.kept}

        await rotate(auth, keyring, at_once=True)

        assert before.isdisjoint({row.kid for row in keyring.kept})
        assert keyring.signing.kid == keyring.document[0]["kid"]
        assert len(keyring.document) == 2

    async def test_nothing_fails_while_it_goes_on(
        self, auth: Auth, admin: asyncpg.Connection, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(identity, "REFETCH_EVERY_S", 0.0)
        one, other = await loaded(auth), await loaded(auth)
        fetched = [told(one)]

        async def fetch() -> Mapping[str, Any]:
            return fetched[-1]

        verifiers = [Verifier(fetch) for _ in range(3)]
        used = set()
        for step in range(40):
            if step % 10 == 5:
                await rotate(auth, one if step % 20 == 5 else other)
                await load(auth, one)
                await load(auth, other)
                fetched.append(told(one))
            if step % 10 == 9:
                await admin.execute("UPDATE signing_keys SET used_from = now() WHERE used_from > now()")
                await load(auth, one)
            for keyring in (one, other):
                used.add(keyring.signing.kid)
                for verifier in verifiers:
                    await verifier.verify(identity.sign_pass(tenant.user(), keyring.signing))

        assert len(used) == 5


class TestKeySet:
    async def test_it_holds_both_kinds(self, auth: Auth) -> None:
        found = (await auth.keys())["keys"]

        assert {(key["kty"], key["alg"], key["use"]) for key in found} == {
            ("OKP", "Ed25519", "sig"),
            ("RSA", "RS256", "sig"),
        }
        assert {name for key in found for name in key} == {"kty", "kid", "alg", "use", "crv", "x", "n", "e"}

    async def test_an_id_token_verifies_with_it(self, auth: Auth) -> None:
        key = (await loaded(auth)).id_token_key
        token = jwt.encode({"alg": "RS256", "kid": key.kid}, {"sub": "somebody"}, key, algorithms=["RS256"])

        found: Any = await auth.keys()

        assert jwt.decode(token, KeySet.import_key_set(found), algorithms=["RS256"]).claims == {"sub": "somebody"}

    async def test_one_of_a_minute_ago_verifies_what_a_new_key_signs(
        self, auth: Auth, admin: asyncpg.Connection, tenant: Tenant
    ) -> None:
        keyring = await loaded(auth)
        await rotate(auth, keyring)
        fetched = told(await loaded(auth))

        async def fetch_nothing_newer() -> Mapping[str, Any]:
            return fetched

        with clock.shifted(keys.PUBLISHED_BEFORE):
            token = identity.sign_pass(tenant.user(), keyring.signing, now=time.time())
            principal = await Verifier(fetch_nothing_newer).verify(token)

        assert principal.tenant_id == tenant.id

    async def test_what_the_old_key_signed_verifies_until_it_ends(
        self, auth: Auth, admin: asyncpg.Connection, tenant: Tenant
    ) -> None:
        signed_in = await auth.sign_in(await auth.person(tenant))
        keyring = await loaded(auth)
        await rotate(auth, keyring)
        await admin.execute("UPDATE signing_keys SET used_from = now() WHERE used_from > now()")
        await load(auth, keyring)

        exchanged = await auth.exchange(signed_in.access_token, tenant)

        assert exchanged.tenant_id == tenant.id

    async def test_a_pass_is_never_signed_with_rsa(self, auth: Auth, tenant: Tenant) -> None:
        keyring = await loaded(auth)
        key = keyring.id_token_key
        right = jwt.decode(identity.sign_pass(tenant.user(), keyring.signing), keyring.public, algorithms=["Ed25519"])
        forged = jwt.encode({**right.header, "alg": "RS256", "kid": key.kid}, right.claims, key, algorithms=["RS256"])

        with pytest.raises(errors.Unauthenticated):
            await Verifier(auth.keys).verify(forged)
        with pytest.raises(errors.Unauthenticated):
            await auth.stub().ExchangeToken(auth_pb2.ExchangeTokenRequest(credential=forged))

    async def test_a_dropped_key_is_soon_not_trusted(
        self, auth: Auth, admin: asyncpg.Connection, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keyring = await loaded(auth)
        stolen = keyring.signing
        fetched = [told(keyring)]

        async def fetch() -> Mapping[str, Any]:
            return fetched[-1]

        verifier = Verifier(fetch)
        seen = identity.sign_pass(tenant.user(), stolen)
        await verifier.verify(seen)
        await rotate(auth, keyring, at_once=True)
        fetched.append(told(keyring))
        monkeypatch.setattr(identity, "KEYS_AGE_S", 0.0)
        monkeypatch.setattr(identity, "REFETCH_EVERY_S", 0.0)
        # Nobody waits for the keys: the first one is what makes them be fetched.
        await verifier.verify(identity.sign_pass(tenant.user(), stolen))
        await asyncio.sleep(0)

        for forged in (seen, identity.sign_pass(tenant.user(), stolen)):
            with pytest.raises(errors.Unauthenticated):
                await verifier.verify(forged)


class TestSweep:
    async def test_signing_keys_move_to_the_new_encryption_key(self, auth: Auth, admin: asyncpg.Connection) -> None:
        own = vault(auth)
        await own.load()
        database = auth.running.service.database
        async with database.transaction(identity.service_principal("auth", None)) as session:
            number = await own.rotate(session, at_once=True)
        await own.load()

        with clock.shifted(resealing.SETTLED):
            await resealing.Sweep(database, own, Base).run()

        under = {row["sealed"][:4] for row in await admin.fetch("SELECT sealed FROM signing_keys")}
        assert under == {number.to_bytes(4, "big")}
        assert (await loaded(auth)).signing.kid

    async def test_every_sealed_column_can_be_sealed_anew(self, auth: Auth, admin: asyncpg.Connection) -> None:
        """It says what its values are about, and its migration lets them be replaced."""
        columns = resealing.columns(Base)
        sealed = [each for table in Base.metadata.sorted_tables for each in table.columns if each.name == "sealed"]

        assert {str(each) for each in sealed} <= {str(each.column) for each in columns}
        async with admin.transaction():
            await admin.execute("SET LOCAL ROLE switchyard_auth_relay")
            for each in columns:
                keys_of = ", ".join(each.table.primary_key.columns.keys())
                name = each.column.name
                await admin.fetch(f"SELECT {keys_of}, {name} FROM {each.table.name} LIMIT 1")
                await admin.execute(f"UPDATE {each.table.name} SET {name} = {name} WHERE false")
