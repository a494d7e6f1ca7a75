"""A security key in software, below python-fido2's own client: it speaks CTAP2 and verifies its user by itself."""

import secrets
import struct
from collections.abc import Callable, Iterator
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from fido2 import cbor
from fido2.client import DefaultClientDataCollector, Fido2Client
from fido2.cose import ES256
from fido2.ctap import CtapDevice, CtapError
from fido2.hid import CAPABILITY
from fido2.webauthn import AttestedCredentialData, AuthenticatorData

MAKE_CREDENTIAL, GET_ASSERTION, GET_INFO = 0x01, 0x02, 0x04
AAGUID = b"\0" * 16


class SecurityKey(CtapDevice):
    """One passkey for each account, kept in memory."""

    capabilities = CAPABILITY.CBOR

    def __init__(self) -> None:
        self._held: dict[bytes, tuple[str, bytes, ec.EllipticCurvePrivateKey]] = {}
        self._counter = 0

    def call(self, cmd: int, data: bytes = b"", event: Any = None, on_keepalive: Any = None) -> bytes:
        """Answer a CTAP2 command."""
        commands: dict[int, Callable[[Any], dict[int, Any]]] = {
            MAKE_CREDENTIAL: self._make,
            GET_ASSERTION: self._assert,
            GET_INFO: lambda _: self._info(),
        }
        told = cbor.decode(data[1:]) if data[1:] else {}
        try:
            return b"\0" + cbor.encode(commands[data[0]](told))
        except CtapError as failure:
            return struct.pack(">B", failure.code)

    @classmethod
    def list_devices(cls) -> Iterator["SecurityKey"]:
        """None: it is made."""
        return iter(())

    def _info(self) -> dict[int, Any]:
        return {1: ["FIDO_2_0"], 3: AAGUID, 4: {"rk": True, "up": True, "uv": True}, 6: [2]}

    def _make(self, told: Any) -> dict[int, Any]:
        made_id, key = secrets.token_bytes(32), ec.generate_private_key(ec.SECP256R1())
        self._held[made_id] = (told[2]["id"], told[3]["id"], key)
        public = AttestedCredentialData.create(AAGUID, made_id, ES256.from_cryptography_key(key.public_key()))
        flag = AuthenticatorData.FLAG
        return {1: "none", 2: bytes(self._data(told[2]["id"], flag.UP | flag.UV | flag.AT, public)), 3: {}}

    def _assert(self, told: Any) -> dict[int, Any]:
        allowed = [each["id"] for each in told.get(3, [])]
        held = [each for each in allowed or self._held if each in self._held and self._held[each][0] == told[1]]
        if not held:
            raise CtapError(CtapError.ERR.NO_CREDENTIALS)
        _, user, key = self._held[held[0]]
        flag = AuthenticatorData.FLAG
        data = bytes(self._data(told[1], flag.UP | flag.UV))
        signature = key.sign(data + told[2], ec.ECDSA(hashes.SHA256()))
        return {1: {"id": held[0], "type": "public-key"}, 2: data, 3: signature, 4: {"id": user}}

    def _data(self, rp_id: str, flags: AuthenticatorData.FLAG, made: bytes = b"") -> AuthenticatorData:
        self._counter += 1
        digest = hashes.Hash(hashes.SHA256())
        digest.update(rp_id.encode())
        return AuthenticatorData.create(digest.finalize(), flags, self._counter, made)


def client(origin: str) -> Fido2Client:
    """What a browser is, at an origin, with a new security key."""
    return Fido2Client(SecurityKey(), DefaultClientDataCollector(origin))
