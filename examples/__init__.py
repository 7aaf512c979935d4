"""Five small programs that do something with a store's webhooks. `make example NAME=erp` shows one at work."""
