"""What inventory is told besides."""

from pydantic import Field, SecretStr

from chassis.settings import ServiceSettings


class InventorySettings(ServiceSettings):
    """How long stock stays promised, and what secrets at rest are sealed with."""

    # Wraps the keys that encrypt secrets at rest. The one before it is named too until every process has the new one.
    inventory_master_key: SecretStr = Field(min_length=16)
    inventory_master_key_previous: SecretStr = SecretStr("")

    # A net below the net: orders releases what it does not use. Longer than any order waits in a queue.
    reservation_life_s: float = 7 * 24 * 3600.0
