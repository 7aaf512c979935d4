"""The goods: categories, products and variants, and the shelf they lie on."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate, product
from random import Random
from typing import Final

from hookline.producers.demo_store.assortment import CATEGORIES, GOODS, NEW_GOODS
from hookline.producers.demo_store.prices import Data, money

SHOP_URL: Final = "https://shop.example.com"
LOCATION: Final = "loc_berlin"
LOW_STOCK: Final = 5
_LOOKS: Final = 4


@dataclass(slots=True, kw_only=True, eq=False)
class Category:
    """A category; `seasonal` ones come and go."""

    id: str
    title: str
    handle: str
    parent_id: str | None
    path: list[str]
    position: int
    visible: bool = True
    seasonal: bool = False

    def data(self, product_count: int, now: datetime) -> Data:
        """Return the category as an event tells it."""
        return {
            "id": self.id,
            "title": self.title,
            "handle": self.handle,
            "parent_id": self.parent_id,
            "path": list(self.path),
            "position": self.position,
            "visible": self.visible,
            "product_count": product_count,
            "updated_at": now,
        }


@dataclass(slots=True, kw_only=True, eq=False)
class Variant:
    """What is bought; `available` counts pieces, `lot` how many a refill brings, `awaited` whether one is on its way."""

    id: str
    product: Product
    sku: str
    title: str | None
    barcode: str
    options: dict[str, str]
    price: int
    compare_at: int | None = None
    available: int = 0
    reserved: int = 0
    incoming: int = 0
    lot: int = 0
    awaited: bool = False
    facts: Data = field(init=False)

    def __post_init__(self) -> None:
        self.facts = {
            "product_id": self.product.id,
            "variant_id": self.id,
            "sku": self.sku,
            "title": self.product.title,
            "variant_title": self.title,
            "requires_shipping": True,
            "category_ids": [self.product.category.id],
            "image_url": self.product.image_url,
            "weight_g": self.product.grams,
        }

    @property
    def full_title(self) -> str:
        """The product's title with the variant's."""
        return f"{self.product.title}, {self.title}" if self.title else self.product.title

    @property
    def sellable(self) -> bool:
        """Whether it can be bought now."""
        return self.available > 0 and self.product.status == "ACTIVE"

    def data(self) -> Data:
        """Return the variant as an event tells it."""
        return {
            "id": self.id,
            "sku": self.sku,
            "title": self.title or "Default",
            "barcode": self.barcode,
            "options": dict(self.options),
            "price": money(self.price),
            "compare_at_price": money(self.compare_at) if self.compare_at is not None else None,
            "cost": money((self.compare_at or self.price) * 43 // 100),
            "weight_g": self.product.grams,
            "stock": [{"location_id": LOCATION, "available": self.available, "reserved": self.reserved, "incoming": self.incoming}],
        }


@dataclass(slots=True, kw_only=True, eq=False)
class Product:
    """A product; `status` is ACTIVE, DRAFT or ARCHIVED, `weight` its popularity."""

    id: str
    title: str
    handle: str
    description: str
    vendor: str
    category: Category
    grams: int
    tags: list[str]
    status: str
    weight: float
    temporary: bool
    variants: list[Variant] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where it stands in the shop."""
        return f"{SHOP_URL}/products/{self.handle}"

    @property
    def image_url(self) -> str:
        """Its picture."""
        return f"https://cdn.example.com/{self.handle}.jpg"

    @property
    def reduced_tax(self) -> bool:
        """Whether the reduced rate of tax applies: food and books."""
        return self.category.handle in {"coffee", "books"}

    @property
    def wearable(self) -> bool:
        """Whether it can turn out too small."""
        return self.category.parent_id == "cat_clothing"

    def data(self, now: datetime) -> Data:
        """Return the product as an event tells it."""
        return {
            "id": self.id,
            "title": self.title,
            "handle": self.handle,
            "description": self.description,
            "vendor": self.vendor,
            "category_ids": [self.category.id],
            "tags": list(self.tags),
            "status": self.status,
            "variants": [variant.data() for variant in self.variants],
            "images": [{"url": self.image_url, "alt": self.title, "position": 1}],
            "updated_at": now,
            "url": self.url,
            "tax_class": "reduced" if self.reduced_tax else "standard",
        }


class Shelf:
    """All goods of the shop; `scale` multiplies stocks and refills, for shops with more visitors."""

    def __init__(self, rng: Random, scale: float) -> None:
        self._rng = rng
        self._scale = scale
        self.categories = _categories()
        self.products = list(self._stocked(GOODS, temporary=False))
        self.novelties = list(self._stocked(NEW_GOODS, temporary=True))
        self._offer: list[Variant] = []
        self._sums: list[float] = []
        self.rearrange()

    def pick(self) -> Variant | None:
        """Return something that can be bought, popular things more often; None when the shelf looks empty."""
        for _ in range(_LOOKS):
            variant = self._offer[bisect(self._sums, self._rng.random() * self._sums[-1])]
            if variant.sellable:
                return variant
        return None

    def rearrange(self) -> None:
        """Offer what is active now; call it whenever a product comes, goes or changes its status."""
        self._offer = [variant for found in self.products if found.status == "ACTIVE" for variant in found.variants]
        self._sums = list(accumulate(variant.product.weight / len(variant.product.variants) for variant in self._offer))

    def category_data(self, category: Category, now: datetime) -> Data:
        """Return a category with its count of products, those of its children included."""
        inside = {category.id} | {child.id for child in self.categories if child.parent_id == category.id}
        return category.data(sum(found.category.id in inside for found in self.products), now)

    def _stocked(self, table: str, *, temporary: bool) -> Iterator[Product]:
        for index, row in enumerate(_rows(table)):
            found = self._product(row, temporary=temporary)
            found.weight = 1 / (1 + self._rng.randrange(12)) + 0.05
            for combination in product(*(option[1] for option in _options(row))):
                names = [option[0] for option in _options(row)]
                found.variants.append(self._variant(found, dict(zip(names, combination, strict=True)), row[3], index))
            yield found

    def _product(self, row: list[str], *, temporary: bool) -> Product:
        handle = row[1].lower().replace(" ", "-")
        category = next(found for found in self.categories if found.handle == row[0])
        return Product(
            id=f"prod_{handle.replace('-', '_')}",
            title=row[1],
            handle=handle,
            description=row[7],
            vendor=row[2],
            category=category,
            grams=int(row[6]),
            tags=[category.handle, row[2].lower()],
            status="DRAFT" if temporary else "ACTIVE",
            weight=1.0,
            temporary=temporary,
        )

    def _variant(self, found: Product, options: dict[str, str], price: str, index: int) -> Variant:
        rank = len(found.variants)
        minor = int(price.replace(".", ""))
        codes = [value[:5].upper().replace("-", "") for value in options.values()]
        return Variant(
            id=f"var_{index:02d}{rank:02d}_{found.handle.replace('-', '_')}"[:64],
            product=found,
            sku="-".join([*(part[:3].upper() for part in found.handle.split("-")), *codes]),
            title=" / ".join(options.values()) or None,
            barcode=_ean(2_000_000_000_00 + index * 100 + rank + (50_000 if found.temporary else 0)),
            options=options,
            price=minor * (3 if options.get("size") in {"1kg", "500g"} else 1),
            available=max(2, round(self._rng.randint(6, 30) * self._scale)),
            lot=max(6, round(self._rng.randint(12, 36) * self._scale)),
        )


def _categories() -> list[Category]:
    found: dict[str, Category] = {}
    for position, (handle, title, parent) in enumerate(_rows(CATEGORIES), 1):
        above = found.get(parent)
        found[handle] = Category(
            id=f"cat_{handle}",
            title=title,
            handle=handle,
            parent_id=above.id if above else None,
            path=[*(above.path if above else []), title],
            position=position,
        )
    return list(found.values())


def _rows(table: str) -> Iterator[list[str]]:
    for line in table.strip().splitlines():
        yield [cell.strip() for cell in line.split("|")]


def _options(row: list[str]) -> list[tuple[str, list[str]]]:
    found = (cell.partition(":") for cell in row[4:6] if cell)
    return [(name, values.split()) for name, _, values in found]


def _ean(digits: int) -> str:
    """Return an EAN-13 with its check digit; numbers from 20… are for use within a shop."""
    text = f"{digits:012d}"
    total = sum(int(digit) * (3 if index % 2 else 1) for index, digit in enumerate(text))
    return f"{text}{-total % 10}"
