"""The settings of who may ask: sign-in, requests a minute, proxies, origins."""

from dataclasses import dataclass

from core import parse_as
from core.setting import setting


@dataclass(frozen=True, kw_only=True)
class AccountSettings:
    """Those of the API for people and their programs; none of them touches ingest."""

    sign_in_idle_s: int = setting(
        "86400",
        parse_as.whole(60, 365 * 86_400),
        "Seconds after which a sign-in that is not used ends.",
    )
    sign_in_s_max: int = setting(
        "604800",
        parse_as.whole(60, 365 * 86_400),
        "Seconds after which a sign-in ends, however it is used.",
    )
    sign_in_account_tries: int = setting(
        "10",
        parse_as.whole(1, 10**6),
        "Tries to sign in to an account, whether it exists or not, in 15 minutes.",
    )
    sign_in_address_tries: int = setting(
        "50", parse_as.whole(1, 10**6), "Tries to sign in from a client address in 15 minutes."
    )
    api_requests_minute: int = setting(
        "200",
        parse_as.whole(1, 10**6),
        "Requests a minute that a client address may send to the API; of ingest, envelopes that are"
        " refused count, by themselves.",
    )
    trusted_proxies: frozenset[str] = setting(
        "",
        parse_as.networks,
        "Addresses or networks, or unix, whose X-Forwarded-For is believed, separated by commas.",
    )
    public_origins: frozenset[str] = setting(
        "",
        parse_as.origins,
        "Origins of the gateway's own pages, https://HOST; empty: what the Host header says.",
    )
    cors_origins: frozenset[str] = setting(
        "",
        parse_as.origins,
        "Origins whose pages may use the API with a key, separated by commas.",
    )
