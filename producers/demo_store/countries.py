"""Where customers live: value added tax, names, streets and towns of the four countries the shop sends to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_TOWN: Final = re.compile(r"(\d{4,5}(?: [A-Z]{2})?) ([^,]+)")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)  # compared and hashed as the one object it is
class Country:
    """One country; rates in basis points, shipping in minor units, towns as (postal code, name).

    `phone` holds numbers that are reserved for fiction, with `{}` for the last digits; empty where there are none.
    """

    code: str
    locale: str
    tax: str
    standard_bp: int
    reduced_bp: int
    shipping_minor: int
    share: float
    phone: str
    first_names: tuple[str, ...]
    last_names: tuple[str, ...]
    streets: tuple[str, ...]
    towns: tuple[tuple[str, str], ...]


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


def _towns(text: str) -> tuple[tuple[str, str], ...]:
    """Split `80331 München, 1012 AB Amsterdam` into postal codes and names; a code is digits, in some countries letters after a space."""
    return tuple((found[1], found[2]) for found in _TOWN.finditer(text))


HOME: Final = Country(
    code="DE",
    locale="de-DE",
    tax="MwSt.",
    standard_bp=1_900,
    reduced_bp=700,
    shipping_minor=490,
    share=0.72,
    phone="+49 30 23125 {:03d}",
    first_names=_names(
        "Ada, Anna, Ben, Clara, Emil, Finn, Greta, Hannah, Ida, Jonas, Karim, Lea, Marta, Nils, Olga, Paul, Selin, Tom, Yusuf"
    ),
    last_names=_names(
        "Albrecht, Özdemir, Becker, Brenner, Fischer, Hoffmann, Jansen, Keller, Kowalski, Lange, Nowak, Schäfer, Vogel, Weiß"
    ),
    streets=_names("Lindenstraße, Bahnhofstraße, Gartenweg, Am Mühlbach, Schillerstraße, Kastanienallee, Hafenstraße, Bergstraße"),
    towns=_towns(
        "10969 Berlin, 12047 Berlin, 13353 Berlin, 10407 Berlin, 20359 Hamburg, 50672 Köln, 80331 München, 04109 Leipzig, 70173 Stuttgart"
    ),
)
ABROAD: Final = (
    Country(
        code="AT",
        locale="de-AT",
        tax="USt.",
        standard_bp=2_000,
        reduced_bp=1_000,
        shipping_minor=790,
        share=0.12,
        phone="",
        first_names=_names("Elif, Felix, Johanna, Lukas, Marie, Theresa, Valentin"),
        last_names=_names("Egger, Gruber, Hofer, Leitner, Moser, Pichler"),
        streets=_names("Neubaugasse, Herrengasse, Ringstraße, Landstraße, Mozartweg"),
        towns=_towns("1070 Wien, 8010 Graz, 5020 Salzburg, 4020 Linz, 6020 Innsbruck"),
    ),
    Country(
        code="FR",
        locale="fr-FR",
        tax="TVA",
        standard_bp=2_000,
        reduced_bp=550,
        shipping_minor=990,
        share=0.10,
        phone="+33 1 99 00 {:04d}",
        first_names=_names("Amélie, Chloé, Hugo, Inès, Louis, Mathis, Noémie, Rayan"),
        last_names=_names("Bernard, Dubois, Fournier, Garnier, Lefèvre, Moreau, Rousseau"),
        streets=_names("rue des Lilas, avenue Victor Hugo, rue du Moulin, place de la Gare"),
        towns=_towns("75011 Paris, 69002 Lyon, 31000 Toulouse, 67000 Strasbourg, 44000 Nantes"),
    ),
    Country(
        code="NL",
        locale="nl-NL",
        tax="btw",
        standard_bp=2_100,
        reduced_bp=900,
        shipping_minor=690,
        share=0.06,
        phone="",
        first_names=_names("Bram, Daan, Fleur, Lotte, Noor, Sanne, Sem"),
        last_names=_names("de Boer, de Vries, Jansen, Mulder, van den Berg, Visser"),
        streets=_names("Kerkstraat, Molenweg, Dorpsstraat, Julianalaan"),
        towns=_towns("1012 AB Amsterdam, 3511 CK Utrecht, 3011 AA Rotterdam, 9711 LM Groningen"),
    ),
)
COUNTRIES: Final = (HOME, *ABROAD)
CODES: Final = [country.code for country in COUNTRIES]
COURIER_TOWN: Final = "Berlin"
