"""Signing in and out, and who one is.

    POST /api/auth/sign-in {email, password}  200 and the cookie; a new one each time
    POST /api/auth/sign-out {everywhere?}     204; the cookie is cleared
    GET  /api/auth/me                         200

Tries are counted per address and per account before the password is looked at, whether the account
exists or not; an unknown account costs as much work as a wrong password, and gets the same answer.
"""

import hashlib
from typing import TypedDict

import msgspec
from aiohttp import hdrs, web

from core.errors import AuthFailure, Reason, Rejected, unauthorized
from core.settings import Settings
from core.users import ACTIVE, User, UserStore, email_of
from gateway.api.account_cache import stamp_of
from gateway.api.addresses import Proxies
from gateway.api.bodies import read_json
from gateway.api.edge import client_of
from gateway.api.guard import Access, Asked, Guard, json_response
from gateway.api.identity import COOKIE
from gateway.api.passwords import Passwords
from gateway.api.rate import RateLimit
from gateway.api.sign_ins import SignIns
from runtime.log import get_log

log = get_log()
TRIES_WINDOW_S = 900


class Credentials(msgspec.Struct):
    """The body of a sign-in."""

    email: str
    password: str


class SignOut(msgspec.Struct):
    """The body of a sign-out; none is the same as an empty one."""

    everywhere: bool = False


class Shown(TypedDict):
    """Who one is."""

    id: str | None
    email: str | None
    role: str


class Tries:
    """How often somebody has tried to sign in."""

    def __init__(self, per_address: RateLimit, per_account: RateLimit) -> None:
        self._per_address = per_address
        self._per_account = per_account

    async def count(self, address: str, email: str) -> None:
        """Count one more. Raises Rejected (rate_limited) if it is one too many."""
        standings = [
            await self._per_address.hit(address),
            await self._per_account.hit(_name(email)),
        ]
        if waits_s := [s.retry_after_s for s in standings if s.retry_after_s is not None]:
            wait_s = max(waits_s)
            sentence = f"Too many tries to sign in. Please retry after {wait_s} seconds."
            raise Rejected(Reason.RATE_LIMITED, sentence, retry_after_s=wait_s)

    async def succeeded(self, email: str) -> None:
        """The account's tries are forgotten; the address's are not, or it would try others' with
        an account of its own in between."""
        await self._per_account.forget(_name(email))


class Auth:
    """The handlers."""

    def __init__(
        self,
        settings: Settings,
        *,
        users: UserStore,
        sign_ins: SignIns,
        tries: Tries,
        proxies: Proxies,
    ) -> None:
        self._users = users
        self._sign_ins = sign_ins
        self._tries = tries
        self._proxies = proxies
        self._passwords = Passwords()
        self._body_timeout_s = settings.body_timeout_s
        self._cookie_s = settings.sign_in_s_max

    def routes(self, guard: Guard) -> list[web.RouteDef]:
        """The routes."""

        async def sign_in(request: web.Request) -> web.Response:
            if hdrs.ORIGIN in request.headers:  # a browser: nobody else may sign it in
                guard.check_origin(request)
            return await self._sign_in(request)

        return [
            guard.open_route("POST", "/api/auth/sign-in", sign_in, body=Credentials, answer=Shown),
            guard.route(
                "POST",
                "/api/auth/sign-out",
                self._sign_out,
                Access.USER,
                body=SignOut | None,
                status=204,
            ),
            guard.route("GET", "/api/auth/me", _me, answer=Shown),
        ]

    async def _sign_in(self, request: web.Request) -> web.Response:
        given = await read_json(request, Credentials, timeout_s=self._body_timeout_s)
        await self._tries.count(client_of(request, self._proxies), given.email)
        user = await self._user(given)
        await self._tries.succeeded(given.email)
        if old := request.cookies.get(COOKIE):
            await self._sign_ins.close(old)
        token = await self._sign_ins.open(user.id, stamp_of(user.password_hash))
        log.info("signed in", user=user.id)
        response = json_response(_public(user.id, user.email, user.role))
        self._set_cookie(response, token, self._cookie_s)
        return response

    async def _user(self, given: Credentials) -> User:
        """The user who has these. Raises Rejected (unauthorized)."""
        try:
            user = await self._users.find(email_of(given.email))
        except ValueError:
            user = None
        password_hash = user.password_hash if user else None
        same = await self._passwords.match(given.password, password_hash)
        if user is None or not same:
            raise unauthorized(AuthFailure.BAD_PASSWORD)
        if user.status != ACTIVE:
            raise unauthorized(AuthFailure.DISABLED_USER)
        return user

    async def _sign_out(self, asked: Asked) -> web.Response:
        wanted = await asked.json(SignOut) if asked.request.can_read_body else SignOut()
        if wanted.everywhere:
            await self._sign_ins.close_all(asked.user_id)
        if asked.caller.sign_in:
            await self._sign_ins.close(asked.caller.sign_in)
        log.info("signed out", user=asked.user_id, everywhere=wanted.everywhere)
        response = web.Response(status=204)
        self._set_cookie(response, "", 0)
        return response

    def _set_cookie(self, response: web.Response, token: str, max_age_s: int) -> None:
        response.set_cookie(
            COOKIE,
            token,
            max_age=max_age_s,
            path="/",
            secure=True,
            httponly=True,
            samesite="Lax",
        )


async def _me(asked: Asked) -> web.Response:
    caller = asked.caller
    return json_response(_public(caller.user_id, caller.email, caller.role))


def _public(user_id: str | None, email: str | None, role: str) -> Shown:
    return {"id": user_id, "email": email, "role": role}


def _name(email: str) -> str:
    """What an account's tries are counted under: no address is kept, however long it is."""
    text = email.strip().lower().encode(errors="surrogatepass")
    return hashlib.sha256(text).hexdigest()
