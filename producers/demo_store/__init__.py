"""The demo store: a seeded simulator of a believable shop, which is also the load generator.

`DemoStore` is the pure core (seed → events); `plan` says how much, how fast and where to; `process` runs it.
"""
