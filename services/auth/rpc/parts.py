"""What the edges of auth are made of, put together."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from switchyard.tenants.v1.sites_pb2_grpc import SitesServiceStub

from chassis.encryption import Vault
from chassis.rpc.server import Servicer
from chassis.service import Service
from services.auth.keys import Keyring
from services.auth.letters import Letters
from services.auth.passkeys import Party
from services.auth.passwords import Hasher
from services.auth.permissions import Catalogue
from services.auth.rpc.access import AccessRpc
from services.auth.rpc.auth import AuthRpc
from services.auth.rpc.door import Door
from services.auth.rpc.factors import FactorsRpc
from services.auth.rpc.keys import KeysRpc
from services.auth.rpc.oauth import OauthRpc
from services.auth.rpc.users import UsersRpc
from services.auth.settings import AuthSettings
from services.auth.sites import Sites
from services.auth.tokens import Uses


@dataclass(frozen=True)
class Parts:
    """The parts that several edges share."""

    service: Service
    settings: AuthSettings
    vault: Vault
    keyring: Keyring
    hasher: Hasher
    letters: Letters
    catalogue: Catalogue
    uses: Uses = field(default_factory=Uses)

    def servicers(self) -> Iterator[Servicer]:
        """One for each contract."""
        database, keyring, pager = self.service.database, self.keyring, self.service.pager()
        sites = Sites(SitesServiceStub(self.service.channel("tenants")))
        door = Door(database, self.vault, keyring, self.hasher, self.letters, Party.of(self.settings))
        yield AuthRpc(
            database, settings=self.settings, keyring=keyring, door=door, uses=self.uses, pager=pager, sites=sites
        )
        yield FactorsRpc(door)
        yield UsersRpc(database, hasher=self.hasher, keyring=keyring, letters=self.letters, pager=pager, sites=sites)
        yield AccessRpc(catalogue=self.catalogue, pager=pager, sites=sites)
        yield OauthRpc(database, keyring=keyring, door=door, pager=pager, sites=sites)
        yield KeysRpc(vault=self.vault, keyring=keyring)
