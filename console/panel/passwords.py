"""Having a password checked: its pace is asked on the event loop, and only what may be looked at waits for the thread that hashes."""

from __future__ import annotations

from hookline.console.http.pools import Work
from hookline.console.panel.visit import Visit
from hookline.console.sessions import Presence
from hookline.console.users import User
from hookline.producers.ingest.door import network_of


async def of_login(visit: Visit, login: str, password: str) -> User:
    """Return who signs in; raise `Unauthorized`, or `Refused` for too many wrong ones or too many at once."""
    address, sign_in = visit.request.remote or "", visit.services.sign_in
    pool, by = visit.services.parts.pools[Work.PASSWORDS], network_of(address)
    pool.check(by)  # first: what finds no place uses up nothing of its pace
    guess = sign_in.admit(login, address)
    return await pool.run(lambda: sign_in.verified(guess, password), by)


async def of_presence(visit: Visit, presence: Presence, password: str) -> User:
    """Check the password of whoever is signed in, in a thread that strangers do not keep busy; return and raise the same."""
    session_id, sign_in = presence.session.id, visit.services.sign_in
    pool = visit.services.parts.pools[Work.CONFIRMS]
    pool.check(session_id)
    guess = sign_in.admit_signed_in(presence.user.login, session_id)
    return await pool.run(lambda: sign_in.verified(guess, password), session_id)
