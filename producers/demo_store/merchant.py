"""The merchant's day: prices, texts, new and old products, categories, stock-taking."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from hookline.producers.demo_store.goods import Category, Product
from hookline.producers.demo_store.shop import DAY_S, HOUR_S, USUAL_VISITS, Process, Shop

Edit: TypeAlias = Callable[[Shop], Process]
_BEGINS_H: Final = 8.0
_WORKS_S: Final = 10 * HOUR_S
_SEASONS: Final = ("Spring sale", "Gifts", "Back to school", "Last pieces")
_SHRINKS: Final = 0.7
_SALE_PERCENT: Final = (10, 15, 20, 25, 30)


def work(shop: Shop) -> Process:
    """Work every day from eight to six: each kind of edit comes several times, in another order every day."""
    times = max(1, round(shop.config.visits_per_day / USUAL_VISITS))
    edits = [edit for edit, count in _DAY for _ in range(count * times)]
    yield shop.until_hour(_BEGINS_H)
    while True:
        shop.rng.shuffle(edits)
        for edit in edits:
            yield shop.within(0, 2 * _WORKS_S / len(edits))
            shop.start(edit(shop))
        yield shop.until_hour(_BEGINS_H)


def _tell_product(shop: Shop, product: Product, change: str, *fields: str) -> None:
    shop.tell("product.changed", {"change": change, "product": product.data(shop.now()), "changed_fields": list(fields)})


def _tell_category(shop: Shop, category: Category, change: str) -> None:
    shop.tell("category.changed", {"change": change, "category": shop.shelf.category_data(category, shop.now())})


def _sale(shop: Shop) -> Process:
    """Reduce a product's price for some hours."""
    product = shop.rng.choice(shop.shelf.products)
    if product.variants[0].compare_at is not None:
        return
    off = shop.rng.choice(_SALE_PERCENT)
    for variant in product.variants:
        variant.compare_at = variant.price
        variant.price = max(100, variant.price * (100 - off) // 100 // 10 * 10)
    _tell_product(shop, product, "UPDATED", "variants.price", "variants.compare_at_price")
    yield shop.within(HOUR_S, 2 * DAY_S)
    for variant in product.variants:
        variant.price, variant.compare_at = variant.compare_at or variant.price, None
    if product in shop.shelf.products:
        _tell_product(shop, product, "UPDATED", "variants.price", "variants.compare_at_price")


def _new_text(shop: Shop) -> Process:
    """Put another tag on a product, or take it off."""
    product = shop.rng.choice(shop.shelf.products)
    tag = shop.rng.choice(("new", "bestseller", "staff-pick", "gift-idea"))
    if tag in product.tags:
        product.tags.remove(tag)
    else:
        product.tags.append(tag)
    _tell_product(shop, product, "UPDATED", "tags")
    yield from ()


def _novelty(shop: Shop) -> Process:
    """Launch a product: a draft first, then for sale for some days, then gone."""
    shelf = shop.shelf
    product = next((found for found in shelf.novelties if found not in shelf.products), None)
    if product is None:
        return
    product.status = "DRAFT"
    shelf.products.append(product)
    _tell_product(shop, product, "CREATED")
    yield shop.within(0.2 * HOUR_S, HOUR_S)
    _set_status(shop, product, "ACTIVE")
    yield shop.within(2 * DAY_S, 9 * DAY_S)
    _set_status(shop, product, "ARCHIVED")
    yield shop.within(HOUR_S, DAY_S)
    shelf.products.remove(product)
    _tell_product(shop, product, "DELETED")


def _set_status(shop: Shop, product: Product, status: str) -> None:
    product.status = status
    shop.shelf.rearrange()
    _tell_product(shop, product, "UPDATED", "status")


def _pause(shop: Shop) -> Process:
    """Take a product off sale for some hours, such as for new photographs."""
    product = shop.rng.choice(shop.shelf.products)
    if product.status != "ACTIVE" or product.temporary:
        return
    _set_status(shop, product, "ARCHIVED")
    yield shop.within(HOUR_S, 6 * HOUR_S)
    _set_status(shop, product, "ACTIVE")


def _move_category(shop: Shop) -> Process:
    """Give a category another place in the menu."""
    category = shop.rng.choice(shop.shelf.categories)
    category.position = shop.rng.randint(1, len(shop.shelf.categories))
    _tell_category(shop, category, "UPDATED")
    yield from ()


def _season(shop: Shop) -> Process:
    """Open a seasonal category and close it after some days."""
    title = shop.rng.choice(_SEASONS)
    handle = title.lower().replace(" ", "-")
    if any(found.handle == handle for found in shop.shelf.categories):
        return
    category = Category(id=f"cat_{handle}", title=title, handle=handle, parent_id=None, path=[title], position=1, seasonal=True)
    shop.shelf.categories.append(category)
    _tell_category(shop, category, "CREATED")
    yield shop.within(DAY_S, 6 * DAY_S)
    shop.shelf.categories.remove(category)
    _tell_category(shop, category, "DELETED")


def _count(shop: Shop) -> Process:
    """Count a variant's pieces on the shelf: one is missing, or one more is there."""
    variant = shop.rng.choice(shop.rng.choice(shop.shelf.products).variants)
    shop.move_stock(variant, -1 if variant.available and shop.chance(_SHRINKS) else 1, "CORRECTION", "stock-taking")
    yield from ()


# How often a day, in a shop of the usual size.
_DAY: Final[tuple[tuple[Edit, int], ...]] = (
    (_sale, 5),
    (_new_text, 6),
    (_novelty, 1),
    (_pause, 2),
    (_move_category, 3),
    (_season, 1),
    (_count, 3),
)
