"""`--webhook` of log, export and statistics: an id that the store never had is refused, told apart from one that nothing was found of."""

from __future__ import annotations

from collections.abc import Mapping

from hookline.analytics.queries import LogFilter, Queries, log_page
from hookline.cli.broker import reached
from hookline.kernel.errors import HooklineError, InputError


def check_webhook(environ: Mapping[str, str], queries: Queries, store_id: str, webhook_id: str) -> None:
    """Return when the log holds anything of the webhook, or the store has it; raise `InputError`.

    For answers that hold nothing: whatever holds something need not ask. An empty id is none.
    While Kafka does not answer every id is taken.
    """
    if not webhook_id or log_page(queries, LogFilter(store_id=store_id, webhook_id=webhook_id, limit=1)).rows:
        return
    if _may_have(environ, store_id, webhook_id):
        return
    raise InputError(
        "There is no such webhook in this store, and the log has nothing of it",
        field="webhook",
        remedy="Look the id up with `hookline webhooks list`.",
    )


def _may_have(environ: Mapping[str, str], store_id: str, webhook_id: str) -> bool:
    from hookline.schemas.registry import open_registry  # keep `hookline --help` quick
    from hookline.schemas.topics import Topics
    from hookline.schemas.wire import Codec
    from hookline.webhooks.registry import WebhookRegistry

    try:
        kafka, schemas = reached(environ), open_registry(environ)
        registry = WebhookRegistry(kafka, Topics(kafka.topic_prefix), Codec(schemas))
        try:
            schemas.start()
            registry.start()
            found = registry.get(webhook_id)
        finally:
            registry.stop()
            schemas.stop()
    except HooklineError:  # the log is read where Kafka need not be
        return True
    return found is not None and found.store_id == store_id
