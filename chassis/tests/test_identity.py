"""Passes, and what principals may do."""

import base64
import time
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import orjson
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, OKPKey

from chassis import clock, errors, identity
from chassis.identity import Principal
from chassis.testing import Credentials, signing_key


def _user(*permissions: str) -> Principal:
    return Principal("user", "u", uuid4(), "s", ("manager",), frozenset(permissions), frozenset({"site"}))


class TestMay:
    @pytest.mark.parametrize(
        ("granted", "asked", "answer"),
        [
            ("orders.orders.read", "orders.orders.read", True),
            ("orders.orders.read", "orders.orders.write", False),
            ("orders.*", "orders.orders.write", True),
            ("orders.*", "ordersx.orders.write", False),
            ("*.read", "anything.things.read", True),
            ("*.read", "anything.things.write", False),
            ("*", "anything.things.write", True),
        ],
    )
    def test_grants(self, granted: str, asked: str, answer: bool) -> None:  # noqa: FBT001 - a table of cases
        assert _user(granted).may(asked) is answer


class TestVerify:
    async def test_a_pass_comes_back_as_it_was(self) -> None:
        user = _user("orders.*")

        verified = await identity.Verifier(Credentials("tests").keys).verify(identity.sign_pass(user, signing_key()))

        assert verified == user

    async def test_who_acts_and_since_when_come_back_too(self) -> None:
        user = replace(_user(), actor="user:b", authenticated_at=1_790_000_000)
        before = time.time()

        verified = await identity.Verifier(Credentials("tests").keys).verify(identity.sign_pass(user, signing_key()))

        assert (verified.actor, verified.authenticated_at) == ("user:b", 1_790_000_000)
        assert before - 0.01 <= verified.issued_at <= time.time()

    async def test_a_void_pass_is_refused_whether_known_or_not(self) -> None:
        void: set[str] = set()
        verifier = identity.Verifier(Credentials("tests").keys, lambda principal: principal.id in void)
        known, unknown = (identity.sign_pass(_user(*each), signing_key()) for each in ((), ("orders.*",)))
        await verifier.verify(known)

        void.add("u")

        for token in (known, unknown):
            assert verifier.cached(token) is None
            with pytest.raises(errors.Unauthenticated) as refused:
                await verifier.verify(token)
            assert refused.value.code == identity.REVOKED

    async def test_an_ended_pass_is_refused(self) -> None:
        verifier = identity.Verifier(Credentials("tests").keys)
        long_ago = clock.now() - timedelta(seconds=61)

        with pytest.raises(errors.Unauthenticated):
            await verifier.verify(identity.sign_pass(_user(), signing_key(), now=long_ago.timestamp()))

    async def test_forgeries_are_refused(self) -> None:
        good = identity.sign_pass(_user(), signing_key())
        claims = orjson.loads(base64.urlsafe_b64decode(good.split(".")[1] + "=="))
        header = {"alg": "Ed25519", "kid": signing_key().kid}
        foreign = OKPKey.generate_key("Ed25519", parameters={"kid": "testing"}, auto_kid=False)
        public = OctKey.import_key(base64.urlsafe_b64decode(str(signing_key().as_dict(private=False)["x"]) + "="))
        unsigned = ".".join([_part({"alg": "none", "kid": "testing"}), good.split(".")[1], ""])
        forged = [
            unsigned,
            jwt.encode(header, claims, foreign, algorithms=["Ed25519"]),
            jwt.encode({"alg": "HS256", "kid": "testing"}, claims, public, algorithms=["HS256"]),
            jwt.encode(header, {**claims, "aud": "another"}, signing_key(), algorithms=["Ed25519"]),
            jwt.encode(header, {**claims, "iss": "another"}, signing_key(), algorithms=["Ed25519"]),
            jwt.encode({"alg": "Ed25519", "kid": "unknown"}, claims, signing_key(), algorithms=["Ed25519"]),
            good[:-4] + "AAAA",
            "not.a.pass",
            "",
        ]
        verifier = identity.Verifier(Credentials("tests").keys)

        for token in forged:
            with pytest.raises(errors.Unauthenticated):
                await verifier.verify(token)

    async def test_without_keys_it_is_unavailable(self) -> None:
        async def no_keys() -> dict[str, object]:
            raise errors.Unavailable

        with pytest.raises(errors.Unavailable):
            await identity.Verifier(no_keys).verify(identity.sign_pass(_user(), signing_key()))


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(value)).decode().rstrip("=")


class TestMayForPlatform:
    def test_takes_the_operators_role_and_the_permission_itself(self) -> None:
        def may(roles: tuple[str, ...], *granted: str) -> bool:
            principal = Principal("user", "1", None, roles=roles, permissions=frozenset(granted))
            return principal.may_for_platform("registry.write")

        assert may(("operator",), "registry.write")
        assert not may(("operator",), "*")
        assert not may(("admin",), "registry.write", "*")
