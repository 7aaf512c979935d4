"""Who gets what: the webhook model, its registry, filters and secrets."""
