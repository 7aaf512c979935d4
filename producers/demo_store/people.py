"""The people: customers with and without an account, their addresses and consents."""

from __future__ import annotations

import unicodedata
from bisect import bisect
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import accumulate
from random import Random
from typing import Final

from hookline.producers.demo_store.countries import COUNTRIES, Country
from hookline.producers.demo_store.prices import Data

_SHARES: Final = list(accumulate(country.share for country in COUNTRIES))
_FOLDED: Final = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", " ": "-"})
_MAIL_HOSTS: Final = ("example.com", "example.net", "example.org")
_IP_NETS: Final = ("192.0.2", "198.51.100", "203.0.113")  # RFC 5737: for documentation
_MOST_KNOWN: Final = 5_000
_COMPANY_SHARE: Final = 0.06
_BIRTHDAY_SHARE: Final = 0.3
_SUBSCRIBED_SHARE: Final = 0.4


@dataclass(slots=True, kw_only=True, eq=False)
class Person:
    """Who buys; `id` is None for a guest, `orders` counts what was ordered so far."""

    id: str | None
    email: str
    first_name: str
    last_name: str
    country: Country
    address: Data
    accepts_marketing: bool
    orders: int = 0
    _ref: Data | None = field(default=None, init=False)

    @property
    def town(self) -> str:
        """Where the person lives."""
        return str(self.address["city"])

    @property
    def ref(self) -> Data:
        """The customer as carts and orders name them."""
        if self._ref is None:
            self._ref = {
                "customer_id": self.id,
                "email": self.email,
                "first_name": self.first_name,
                "last_name": self.last_name,
                "locale": self.country.locale,
                "accepts_marketing": self.accepts_marketing,
            }
        return self._ref

    def enrol(self, customer_id: str, *, accepts_marketing: bool) -> None:
        """Give a guest an account."""
        self.id = customer_id
        self.accepts_marketing = accepts_marketing
        self._ref = None


class People:
    """Everybody the shop knows; a bounded number, so that a shop that runs for days does not grow."""

    def __init__(self, rng: Random, count: int) -> None:
        self._rng = rng
        self._numbers = 0
        self._known: list[Person] = []
        for _ in range(count):
            person = self.stranger()
            person.enrol(self.new_id("cust"), accepts_marketing=rng.random() < _SUBSCRIBED_SHARE)
            person.orders = rng.randrange(1, 6)
            self.remember(person)

    def new_id(self, prefix: str) -> str:
        """Return a fresh id."""
        return f"{prefix}_{self._rng.getrandbits(60):015x}"

    def stranger(self) -> Person:
        """Return somebody new, without an account."""
        rng = self._rng
        country = COUNTRIES[min(bisect(_SHARES, rng.random()), len(COUNTRIES) - 1)]
        first, last = rng.choice(country.first_names), rng.choice(country.last_names)
        self._numbers += 1
        return Person(
            id=None,
            email=f"{_folded(first)}.{_folded(last)}{self._numbers}@{rng.choice(_MAIL_HOSTS)}",
            first_name=first,
            last_name=last,
            country=country,
            address=self._address(country, f"{first} {last}"),
            accepts_marketing=False,
        )

    def known(self) -> Person:
        """Return a customer with an account."""
        return self._known[int(self._rng.random() * len(self._known))]

    def remember(self, person: Person) -> None:
        """Keep a customer who has an account now; beyond the bound somebody is forgotten."""
        if len(self._known) < _MOST_KNOWN:
            self._known.append(person)
        else:
            self._known[self._rng.randrange(_MOST_KNOWN)] = person

    def ip(self) -> str:
        """Return an address that belongs to nobody."""
        return f"{self._rng.choice(_IP_NETS)}.{self._rng.randrange(1, 255)}"

    def account(self, person: Person, consents: list[Data], now: datetime) -> Data:
        """Return the customer as `customer.created` tells it."""
        rng = self._rng
        return {
            "id": person.id,
            "email": person.email,
            "first_name": person.first_name,
            "last_name": person.last_name,
            "phone": person.address["phone"],
            "company": person.address["company"],
            "vat_id": None,
            "birthday": self._birthday() if rng.random() < _BIRTHDAY_SHARE else None,
            "locale": person.country.locale,
            "addresses": [person.address],
            "consents": consents,
            "tags": ["business"] if person.address["company"] else [],
            "created_at": now,
            "source": "WEB",
        }

    def _birthday(self) -> date:
        return date(self._rng.randrange(1950, 2006), self._rng.randrange(1, 13), self._rng.randrange(1, 29))

    def _address(self, country: Country, name: str) -> Data:
        rng = self._rng
        postal_code, city = rng.choice(country.towns)
        street, number = rng.choice(country.streets), rng.randrange(1, 140)
        return {
            "name": name,
            "company": f"{name.rpartition(' ')[2]} & Co." if rng.random() < _COMPANY_SHARE else None,
            "street": f"{number} {street}" if country.code == "FR" else f"{street} {number}",
            "street2": None,
            "postal_code": postal_code,
            "city": city,
            "region": None,
            "country": country.code,
            "phone": country.phone.format(rng.randrange(1_000)) if country.phone else None,
        }


def consent(state: str, now: datetime | None, source: str, ip: str) -> Data:
    """Return a consent to e-mails by double opt-in; `now` is None until it is confirmed."""
    return {"channel": "EMAIL", "state": state, "double_opt_in": True, "given_at": now, "source": source, "ip": ip}


def _folded(name: str) -> str:
    """Return a name as it stands in an e-mail address."""
    text = unicodedata.normalize("NFKD", name.lower().translate(_FOLDED))
    return "".join(letter for letter in text if letter.isascii() and (letter.isalnum() or letter == "-"))
