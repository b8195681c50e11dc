"""What the settings of who may ask are by default; how they are read: test_settings.py."""

from core.account_settings import AccountSettings


def test_defaults() -> None:
    """Nobody is trusted until an operator says so, and everything has a bound."""
    settings = AccountSettings()
    assert settings.trusted_proxies == settings.cors_origins == settings.public_origins == set()
    assert settings.api_requests_minute == 200
    assert settings.sign_in_idle_s <= settings.sign_in_s_max
    assert settings.sign_in_account_tries <= settings.sign_in_address_tries
