"""Moving every webhook's secrets under the first master key, so that an older one can go: while traffic runs, and as often as it takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from hookline.kernel.errors import ConfigError, NotFound
from hookline.webhooks.model import Webhook
from hookline.webhooks.secrets import Vault, sealed_blobs

CURRENT: Final = "current"
MOVED: Final = "moved"
GONE: Final = "gone"
FAILED: Final = "failed"


class Resealer(Protocol):
    """Who writes: `Webhooks`."""

    def reseal(self, webhook_id: str) -> bool:
        """Encrypt a webhook's secrets with the first key; return whether any was under another."""


@dataclass(frozen=True, slots=True)
class Step:
    """What became of one webhook: already `current`, `moved`, `gone` meanwhile, or `failed` with the reason and what to do."""

    webhook_id: str
    outcome: str
    reason: str = ""
    remedy: str = ""


def keys_in_use(webhooks: Iterable[Webhook], vault: Vault) -> dict[str, int]:
    """Return for each id of a key how many secrets and headers it has encrypted; keys that are configured and idle have 0.

    Opens nothing, so that a key that is missing here is counted too.
    """
    counts = Counter(dict.fromkeys(vault.key_ids, 0))
    for webhook in webhooks:
        counts.update(vault.key_of(blob) for blob in sealed_blobs(webhook))
    return dict(counts)


def outdated(webhooks: Iterable[Webhook], vault: Vault) -> list[Webhook]:
    """Return the webhooks of which something is under another key than the first, the oldest first."""
    found = (w for w in webhooks if not all(vault.is_current(blob) for blob in sealed_blobs(w)))
    return sorted(found, key=lambda w: (w.created_at_us, w.id))


def reencrypt(webhooks: Iterable[Webhook], writer: Resealer) -> Iterator[Step]:
    """Move webhooks one by one, each a record of its own, and say what became of each; one that fails stops no other.

    To stop between two is safe, and to begin again: what is done is done. A change that somebody makes meanwhile is kept,
    since every move starts from the state that is last in the log. Raises `BrokerError`: the rest can be tried again.
    """
    for webhook in webhooks:
        try:
            moved = writer.reseal(webhook.id)
        except NotFound:
            yield Step(webhook.id, GONE)
        except ConfigError as error:
            yield Step(webhook.id, FAILED, error.message, error.remedy)
        else:
            yield Step(webhook.id, MOVED if moved else CURRENT)
