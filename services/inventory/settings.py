"""What inventory is told besides."""

from chassis.settings import ServiceSettings


class InventorySettings(ServiceSettings):
    """How long stock stays promised."""

    # A net below the net: orders releases what it does not use. Longer than any order waits in a queue.
    reservation_life_s: float = 7 * 24 * 3600.0
