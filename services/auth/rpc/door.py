"""The ways in besides the password, and factors that are shown again. Each opens transactions of its own.

An attempt is counted as failed before anything is looked at; what was right takes the count back.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.auth.v1 import auth_pb2
from uuid_utils.compat import uuid7

from chassis import call, clock, errors, identity
from chassis.db import Database
from chassis.encryption import Vault
from services.auth import attempts, factor_store, factors, passkeys, passwords, sessions, store
from services.auth.keys import Keyring
from services.auth.letters import Letters
from services.auth.passkeys import Party, Shown
from services.auth.store import Found

_WITH_PASSWORD = (factors.PASSWORD, factors.OTP)
_NEVER = datetime.fromtimestamp(0, UTC)
_AUTH = identity.service_principal("auth", None)


@dataclass(frozen=True)
class Door:
    """Checks factors, and lets people in."""

    database: Database
    vault: Vault
    keyring: Keyring
    hasher: passwords.Hasher
    letters: Letters
    party: Party

    async def recognise(self, email: str, password: str, otp: str) -> tuple[Found, str]:
        """The account of an e-mail address, a password and a code, and the method they make.

        For no account it takes as long, and the refusal is the same.
        """
        current = call.current()
        async with self.database.transaction(_AUTH) as session:
            await attempts.admit(session, email=email, address=current.address)
            found = await store.find_account(session, email)
            access = await store.access_of(session, found.id if found else UUID(int=0))
        if found is not None:
            # Whose trail tells of it, whatever comes of it.
            current.principal = sessions.suspected(found.id, access)
        if not await self.hasher.matches(password, found.password_hash if found else None):
            raise sessions.refused()
        if found is None or not (access or found.operator):
            raise sessions.refused()
        method = await self.second(found, otp)
        if self.hasher.is_outdated(found.password_hash):
            await self._rehash(found, password)
        return found, method

    async def _rehash(self, found: Found, password: str) -> None:
        """Keep a right password at the cost that is demanded by now."""
        hashed = await self.hasher.hash(password)
        async with self.database.transaction(_AUTH) as session:
            await store.rehash_password(session, found.id, was=found.password_hash, hashed=hashed)

    async def second(self, found: Found, otp: str) -> str:
        """How somebody signs in whose password was right. Raises `Unauthenticated` where a code is missing or wrong."""
        try:
            async with self.database.transaction(_AUTH) as session:
                return await factors.second(session, self.vault, self.letters, found.id, otp)
        except errors.Unauthenticated:
            if not otp:
                # That a code is needed is told to everybody who has the password: it is no failure.
                async with self.database.transaction(_AUTH) as session:
                    await attempts.taken_back(session, email=found.email, address=call.current().address)
            raise

    async def shown_passkey(self, credential: Mapping[str, Any]) -> Shown:
        """The passkey that answers a challenge of ours. Raises `Unauthenticated`, whatever is wrong."""
        async with self.database.transaction(_AUTH) as session:
            in_time = await passkeys.take_challenge(session, credential)
        async with self.database.transaction(_AUTH) as session:
            shown = await passkeys.verify(session, self.party, credential)
        if shown is None or not in_time:
            message = "the passkey is not known here, or its answer is not to our challenge"
            raise errors.Unauthenticated(message)
        return shown

    async def admit(self, key: str) -> None:
        """Count an attempt under a key that is no e-mail address. Raises `Exhausted`."""
        async with self.database.transaction(_AUTH) as session:
            await attempts.admit(session, email=key, address=call.current().address)

    async def find(self, user_id: UUID, tenant_id: UUID | None = None) -> Found:
        """A person who may come in (in this tenant), whose trail tells of it from now on, whatever comes of it."""
        async with self.database.transaction(_AUTH) as session:
            found = await self._account(session, user_id)
            access = [
                one
                for one in await store.access_of(session, user_id)
                if tenant_id is None or one.tenant_id == tenant_id
            ]
        call.current().principal = sessions.suspected(user_id, access)
        if found is None or not (access or (found.operator and tenant_id is None)):
            raise sessions.refused()
        return found

    async def let_in(
        self,
        found: Found,
        key: str,
        *,
        method: str,
        device_id: str,
        remember: bool = False,
        tenant_id: UUID | None = None,
    ) -> sessions.SignedIn:
        """Open the session of somebody who was found and has shown who they are."""
        current = call.current()
        tenant = current.principal.tenant_id
        current.principal = identity.Principal("user", str(found.id), tenant, str(uuid7()))
        async with self.database.transaction() as session:
            signed_in = await sessions.begin(
                session, found, device_id=device_id, remember=remember, method=method, tenant_id=tenant_id
            )
            if method == factors.BIOMETRIC:
                # Somebody else vouched for the device's key: sensitive calls ask for a factor of the person's own.
                signed_in.row.authenticated_at = _NEVER
            await store.note_login(session, found.id, clock.now())
            if method in _WITH_PASSWORD:
                await factor_store.note_password_shown(session, found.id, clock.now())
        async with self.database.transaction(_AUTH) as session:
            await attempts.succeeded(session, email=key, address=current.address)
        return signed_in

    async def show_again(self, request: auth_pb2.StepUpRequest) -> None:
        """Check a factor of the caller's. Raises `Unauthenticated` if it is wrong, or (`MFA_REQUIRED`) too weak."""
        current = call.current()
        user_id = UUID(current.principal.id)
        async with self.database.transaction(_AUTH) as session:
            await sessions.require_person(session)
            found = await self._account(session, user_id)
            held = await factor_store.held(session, user_id)
            if found is None:
                raise errors.Unauthenticated
            if request.HasField("password") and any(held):
                raise factors.required()
            await attempts.admit(session, email=found.email, address=current.address)
        if not await self._is_shown(request, found):
            message = "the factor is wrong"
            raise errors.Unauthenticated(message)
        async with self.database.transaction(_AUTH) as session:
            await attempts.succeeded(session, email=found.email, address=current.address)

    async def _is_shown(self, request: auth_pb2.StepUpRequest, found: Found) -> bool:
        if request.HasField("password"):
            return await self.hasher.matches(request.password, found.password_hash)
        if request.HasField("otp"):
            async with self.database.transaction(_AUTH) as session:
                await store.act_as(session, found.id)
                return await factors.use_code(session, self.vault, self.letters, found.id, request.otp)
        shown = await self.shown_passkey(credential_of(request.passkey))
        if shown.user_id != found.id:
            return False
        async with self.database.transaction(_AUTH) as session:
            await passkeys.use(session, shown)
        return True

    async def _account(self, session: AsyncSession, user_id: UUID) -> Found | None:
        await store.act_as(session, user_id)
        account = await store.account(session, user_id)
        return await store.find_account(session, account.email) if account else None


def credential_of(given: Struct) -> dict[str, Any]:
    """What a browser says of a passkey."""
    return json_format.MessageToDict(given)


def answer(keyring: Keyring, signed_in: sessions.SignedIn) -> auth_pb2.LoginResponse:
    """What somebody is told who has signed in."""
    account = signed_in.account
    return auth_pb2.LoginResponse(
        access_token=sessions.sign_access(keyring.signing, signed_in.row, keyring.issuer),
        refresh_token=signed_in.refresh_token,
        expires_in=sessions.ACCESS_S,
        token_type="Bearer",  # noqa: S106 - the scheme's name
        user=auth_pb2.Account(id=str(account.id), email=account.email, name=account.name),
        tenants=[
            auth_pb2.TenantAccess(
                tenant_id=str(access.tenant_id),
                role=access.role,
                site_ids=[str(site) for site in access.site_ids],
                additional_roles=access.additional_roles,
            )
            for access in signed_in.access
            if signed_in.row.tenant_id in {None, access.tenant_id}
        ],
    )
