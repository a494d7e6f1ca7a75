"""The edge of factors. Ways to sign in open transactions of their own: a refusal, too, leaves something to commit."""

from typing import ClassVar
from uuid import UUID

from google.protobuf import json_format
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.empty_pb2 import Empty
from google.protobuf.struct_pb2 import Struct
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.auth.v1 import auth_pb2, factors_pb2

from chassis import call, clock, errors, identity
from chassis.rpc.server import prepared, transactional
from services.auth import (
    attempts,
    biometrics,
    challenges,
    factor_store,
    factors,
    passkeys,
    resets,
    sessions,
    store,
    totp,
    users,
)
from services.auth.factor_models import Passkey
from services.auth.rpc import door
from services.auth.rpc.door import Door

_AUTH = identity.service_principal("auth", None)


class FactorsRpc:
    """Serves `switchyard.auth.v1.FactorsService`."""

    service: ClassVar[ServiceDescriptor] = factors_pb2.DESCRIPTOR.services_by_name["FactorsService"]

    def __init__(self, way_in: Door) -> None:
        self._door = way_in
        self._database = way_in.database
        self._vault = way_in.vault
        self._letters = way_in.letters
        self._hasher = way_in.hasher
        self._party = way_in.party

    @transactional
    async def BeginTotp(
        self, _request: factors_pb2.BeginTotpRequest, session: AsyncSession
    ) -> factors_pb2.TotpEnrolment:
        person = await factors.person(session)
        begun = await totp.begin(session, self._vault, person.id, person.email)
        return factors_pb2.TotpEnrolment(secret=begun.secret, otpauth_uri=begun.uri, qr_svg=begun.qr_svg)

    @transactional
    async def ConfirmTotp(
        self, request: factors_pb2.ConfirmTotpRequest, session: AsyncSession
    ) -> factors_pb2.RecoveryCodes:
        person = await factors.person(session)
        codes = await totp.confirm(session, self._vault, person.id, request.otp)
        await factors.tell(session, self._letters, person, "an authenticator was added")
        return factors_pb2.RecoveryCodes(codes=codes)

    @transactional
    async def DeleteTotp(self, _request: factors_pb2.DeleteTotpRequest, session: AsyncSession) -> Empty:
        person = await factors.person(session)
        if await totp.delete(session, person.id):
            await factors.tell(session, self._letters, person, "the authenticator was removed")
        return Empty()

    @transactional
    async def CreateRecoveryCodes(
        self, _request: factors_pb2.CreateRecoveryCodesRequest, session: AsyncSession
    ) -> factors_pb2.RecoveryCodes:
        person = await factors.person(session)
        codes = await totp.new_recovery_codes(session, person.id)
        await factors.tell(session, self._letters, person, "new recovery codes were made")
        return factors_pb2.RecoveryCodes(codes=codes)

    @transactional
    async def BeginPasskey(
        self, _request: factors_pb2.BeginPasskeyRequest, session: AsyncSession
    ) -> factors_pb2.PasskeyOptions:
        person = await factors.person(session)
        options = await passkeys.begin_registration(session, self._party, person)
        return factors_pb2.PasskeyOptions(options=json_format.ParseDict(options, Struct()))

    @transactional
    async def RegisterPasskey(
        self, request: factors_pb2.RegisterPasskeyRequest, session: AsyncSession
    ) -> factors_pb2.Passkey:
        person = await factors.person(session)
        credential = door.credential_of(request.credential)
        row = await passkeys.register(session, self._party, person.id, credential, request.name)
        await factors.tell(session, self._letters, person, f"the passkey “{row.name}” was added")
        return _passkey(row)

    @transactional
    async def ListPasskeys(
        self, _request: factors_pb2.ListPasskeysRequest, session: AsyncSession
    ) -> factors_pb2.ListPasskeysResponse:
        person = await factors.person(session)
        rows = await factor_store.passkeys(session, person.id)
        return factors_pb2.ListPasskeysResponse(passkeys=[_passkey(row) for row in rows])

    @transactional
    async def DeletePasskey(self, request: factors_pb2.DeletePasskeyRequest, session: AsyncSession) -> Empty:
        person = await factors.person(session)
        await passkeys.delete(session, person.id, UUID(request.id))
        await factors.tell(session, self._letters, person, "a passkey was removed")
        return Empty()

    async def BeginPasskeyLogin(self, request: factors_pb2.BeginPasskeyLoginRequest) -> factors_pb2.PasskeyOptions:
        secret = self._door.keyring.derive("passkey-decoys")
        async with self._database.transaction(_AUTH) as session:
            options = await passkeys.begin_login(session, self._party, users.normalised(request.email), secret)
        return factors_pb2.PasskeyOptions(options=json_format.ParseDict(options, Struct()))

    async def PasskeyLogin(self, request: factors_pb2.PasskeyLoginRequest) -> auth_pb2.LoginResponse:
        credential = door.credential_of(request.credential)
        key = f"passkey:{passkeys.credential_id(credential).hex()}"
        await self._door.admit(key)
        shown = await self._door.shown_passkey(credential)
        found = await self._door.find(shown.user_id)
        async with self._database.transaction() as session:
            await passkeys.use(session, shown)
        signed_in = await self._door.let_in(
            found, key, method=factors.PASSKEY, device_id=request.device_id, remember=request.remember
        )
        return door.answer(self._door.keyring, signed_in)

    @transactional
    async def RegisterBiometric(
        self, request: factors_pb2.RegisterBiometricRequest, session: AsyncSession
    ) -> factors_pb2.BiometricKey:
        row, person = await biometrics.register(
            session,
            user_id=UUID(request.user_id),
            device_id=request.device_id,
            public_key=request.public_key,
            signature=request.signature,
        )
        await factors.tell(session, self._letters, person, f"the device “{row.device_id}” may sign you in")
        enrolled = factors_pb2.BiometricKey(id=str(row.id), user_id=str(row.user_id), device_id=row.device_id)
        enrolled.created_at.FromDatetime(row.created_at)
        return enrolled

    async def CreateBiometricChallenge(
        self, request: factors_pb2.CreateBiometricChallengeRequest
    ) -> factors_pb2.BiometricChallenge:
        async with self._database.transaction(_AUTH) as session:
            issued = await challenges.issue(session, challenges.BIOMETRIC, subject=request.device_id)
        challenge = factors_pb2.BiometricChallenge(challenge=issued.text)
        challenge.expires_at.FromDatetime(issued.expires_at)
        return challenge

    async def BiometricLogin(self, request: factors_pb2.BiometricLoginRequest) -> auth_pb2.LoginResponse:
        key = f"biometric:{request.device_id}:{request.user_id}"
        await self._door.admit(key)
        shown = await self._shown_biometric(request)
        found = await self._door.find(shown.user_id, shown.tenant_id)
        biometrics.require_password_lately(shown)
        async with self._database.transaction() as session:
            await factor_store.use_biometric_key(session, shown.id, clock.now())
        signed_in = await self._door.let_in(
            found, key, method=factors.BIOMETRIC, device_id=request.device_id, tenant_id=shown.tenant_id
        )
        return door.answer(self._door.keyring, signed_in)

    async def ForgotPassword(self, request: factors_pb2.ForgotPasswordRequest) -> Empty:
        email = users.normalised(request.email)
        async with self._database.transaction(_AUTH) as session:
            # A count of its own: who asks for letters in somebody's name must not keep them from signing in.
            await attempts.admit(session, email=f"forgot:{email}", address=call.current().address)
            await resets.request(session, self._vault, email)
        return Empty()

    async def _prepare_reset(self, request: factors_pb2.ResetPasswordRequest) -> str:
        async with self._database.transaction(_AUTH) as session:
            found = await resets.find(session, request.token)
            access = await store.access_of(session, found.user_id)
        # The token is the person's word, in whose trail it stands.
        call.current().principal = sessions.acting(found.user_id, access)
        resets.require_strong(request.password, own=(found.email, found.name), field="password")
        return await self._hasher.hash(request.password)

    @prepared(_prepare_reset)
    @transactional
    async def ResetPassword(
        self, request: factors_pb2.ResetPasswordRequest, session: AsyncSession, hashed: str
    ) -> Empty:
        await resets.reset(session, self._letters, request.token, hashed)
        return Empty()

    async def _prepare_change(self, request: factors_pb2.ChangePasswordRequest) -> str:
        current = call.current()
        async with self._database.transaction() as session:
            person = await factors.person(session)
            found = await store.find_account(session, person.email)
        await self._door.admit(person.email)
        if not await self._hasher.matches(request.current_password, found.password_hash if found else None):
            raise errors.Invalid(fields={"current_password": ["is wrong"]})
        async with self._database.transaction(_AUTH) as session:
            await attempts.succeeded(session, email=person.email, address=current.address)
        resets.require_strong(request.new_password, own=(person.email, person.name), field="new_password")
        return await self._hasher.hash(request.new_password)

    @prepared(_prepare_change)
    @transactional
    async def ChangePassword(
        self, _request: factors_pb2.ChangePasswordRequest, session: AsyncSession, hashed: str
    ) -> Empty:
        person = await factors.person(session)
        keep = UUID(call.current().principal.session_id)
        await resets.change(session, self._letters, person, hashed, keep=keep)
        return Empty()

    async def _shown_biometric(self, request: factors_pb2.BiometricLoginRequest) -> biometrics.Shown:
        """The key that has signed a challenge of this device. Raises `Unauthenticated`, whatever is wrong."""
        async with self._database.transaction(_AUTH) as session:
            in_time = await challenges.take(
                session, request.challenge.encode(), challenges.BIOMETRIC, subject=request.device_id
            )
        async with self._database.transaction(_AUTH) as session:
            shown = await biometrics.recognise(
                session,
                device_id=request.device_id,
                user_id=UUID(request.user_id) if request.user_id else None,
                challenge=request.challenge,
                signature=request.signature,
            )
        if shown is None or not in_time:
            message = "the device does not sign in anybody here, or its answer is not to our challenge"
            raise errors.Unauthenticated(message)
        return shown


def _passkey(row: Passkey) -> factors_pb2.Passkey:
    passkey = factors_pb2.Passkey(id=str(row.id), name=row.name, backed_up=row.backed_up)
    passkey.created_at.FromDatetime(row.created_at)
    if row.last_used_at is not None:
        passkey.last_used_at.FromDatetime(row.last_used_at)
    return passkey
