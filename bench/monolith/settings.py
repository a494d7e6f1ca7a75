"""What the monolith is told by its environment."""

from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway.settings import RateSetting, rate


class Settings(BaseSettings):
    """Addresses, and the key that verifies tokens."""

    model_config = SettingsConfigDict(env_prefix="MONOLITH_")

    port: int
    database_url: str
    valkey_url: str
    public_key: str
    # As many connections as requests at once: nobody waits for one.
    database_pool: int = 20
    limit_tenant: RateSetting = rate("1000000/s burst 1000000")
    limit_principal: RateSetting = rate("1000000/s burst 1000000")
