"""Who asks: the operator's token, an API key, or the cookie of a sign-in.

A header of credentials counts alone: whoever sends one does not ask with a cookie, too. Whatever is
wrong, it is the one 401; an operator sees the cause in the metrics.
"""

import hashlib
import hmac
import time
from collections.abc import Callable

from aiohttp import hdrs, web

from core.api_keys import digest_of, is_key
from core.errors import AuthFailure, unauthorized
from gateway.api.account_cache import Account, AccountCache
from gateway.api.caller import OPERATOR, Caller, Via
from gateway.api.sign_ins import SignIns

COOKIE = "__Host-contox_session"
Noted = Callable[[str, int], None]


class Identity:
    """Tells who asks. used: told of each use of a key, its id and Unix ms; must not wait."""

    def __init__(
        self, accounts: AccountCache, sign_ins: SignIns, *, operator_token: str, used: Noted
    ) -> None:
        self._accounts = accounts
        self._sign_ins = sign_ins
        self._operator = _digest(operator_token) if operator_token else None
        self._used = used

    async def of(self, request: web.Request) -> Caller:
        """The caller. Raises Rejected (unauthorized), Unavailable, one of QUEUE_ERRORS."""
        headers = request.headers.getall(hdrs.AUTHORIZATION, [])
        if len(headers) > 1:
            raise unauthorized(AuthFailure.DUPLICATE_HEADER)
        if headers:
            return await self.of_bearer(headers[0])
        if cookie := request.cookies.get(COOKIE):
            return await self._of_cookie(cookie)
        raise unauthorized(AuthFailure.MISSING_HEADER)

    async def of_bearer(self, authorization: str) -> Caller:
        """The caller with this Authorization header; raises as `of` does."""
        scheme, _, text = authorization.partition(" ")
        text = text.strip(" ")
        if scheme.lower() != "bearer" or not text:
            raise unauthorized(AuthFailure.MISSING_HEADER)
        if self._operator and hmac.compare_digest(_digest(text), self._operator):
            return OPERATOR
        holder = await self._accounts.holder(digest_of(text)) if is_key(text) else None
        if holder is None:
            raise unauthorized(AuthFailure.UNKNOWN_KEY)
        account = await self._active(holder.user_id)
        self._used(holder.key_id, int(time.time() * 1000))
        return Caller(Via.KEY, account.role, holder.user_id, account.email, key_id=holder.key_id)

    async def _of_cookie(self, token: str) -> Caller:
        sign_in = await self._sign_ins.find(token)
        if sign_in is None:
            raise unauthorized(AuthFailure.UNKNOWN_SIGN_IN)
        account = await self._active(sign_in.user_id)
        if account.stamp != sign_in.stamp:
            raise unauthorized(AuthFailure.UNKNOWN_SIGN_IN)
        return Caller(Via.COOKIE, account.role, sign_in.user_id, account.email, sign_in=token)

    async def _active(self, user_id: str) -> Account:
        account = await self._accounts.account(user_id)
        if account is None or not account.is_active:
            raise unauthorized(AuthFailure.DISABLED_USER)
        return account


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogateescape")).digest()
