"""Whether a run was correct: counts that must be one, and signatures that must verify. What is not ends the case without a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from benchmarks.repeats import Values


def reconcile(**counts: int) -> None:
    """End the program, with every count by its name, unless all are the same."""
    if len(set(counts.values())) > 1:
        raise SystemExit("the counts differ: " + ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in counts.items()))


def verify(sample: Sequence[Values], secrets: Mapping[str, str]) -> int:
    """Return how many signatures of a sample of calls were verified, each with the secret of its path (without the slash).

    Ends the program at one that is none, at a call to no webhook's path, and when there is no call. The judge is the `standardwebhooks`
    package, none of our own code.
    """
    for call in sample:
        secret = secrets.get(call["path"].removeprefix("/"))
        if secret is None:
            raise SystemExit(f"a call came to {call['path']}, which is no webhook's")
        try:
            Webhook(secret).verify(call["body"], call["headers"])
        except WebhookVerificationError as error:
            raise SystemExit(f"the signature of {call['headers'].get('webhook-id')} does not verify: {error}") from error
    if not sample:
        raise SystemExit("no call was kept whose signature could be verified")
    return len(sample)
