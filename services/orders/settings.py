"""What only orders is told: what seals its secrets, and where it may send orders."""

from pydantic import Field, SecretStr

from chassis.settings import ServiceSettings


class OrdersSettings(ServiceSettings):
    """Settings of an orders process."""

    # Wraps the keys that encrypt secrets at rest. The one before it is named too until every process has the new one.
    orders_master_key: SecretStr = Field(min_length=16)
    orders_master_key_previous: SecretStr = SecretStr("")
    # Let a POS stand at a private address, such as the same laptop. Heeded in development alone.
    pos_at_private_addresses: bool = False

    @property
    def development(self) -> bool:
        """Whether nothing here is real."""
        return self.environment == "development"
