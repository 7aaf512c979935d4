"""The demo: a busy shop, good and bad receivers, faults on the way, and a reconciliation that leaves nothing open.

`cast` says who takes part, `receiver` is one receiver's process, `ledgers` reads what each side has written down,
`reconcile` compares that (pure), `board` and `report` show it, `show` runs it all from curtain to curtain.
"""
