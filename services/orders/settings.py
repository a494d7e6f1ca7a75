"""What only orders is told: what seals its secrets, where it may send orders, who takes money."""

from typing import Self

from pydantic import Field, SecretStr, model_validator

from chassis.settings import ServiceSettings


class OrdersSettings(ServiceSettings):
    """Settings of an orders process."""

    # Wraps the keys that encrypt secrets at rest. The one before it is named too until every process has the new one.
    orders_master_key: SecretStr = Field(min_length=16)
    orders_master_key_previous: SecretStr = SecretStr("")
    # Let a POS stand at a private address, such as the same laptop. Heeded in development alone.
    pos_at_private_addresses: bool = False
    # Orders may be paid at the provider `test`, with which no money moves. Where money is real, it is refused.
    test_payments: bool = False

    @property
    def development(self) -> bool:
        """Whether nothing here is real."""
        return self.environment == "development"

    @model_validator(mode="after")
    def _money_is_real(self) -> Self:
        if self.test_payments and not self.development:
            message = "SWITCHYARD_TEST_PAYMENTS is for development: in production nobody pays with test money"
            raise ValueError(message)
        return self
