"""The documentation site: `docs/` plus reference pages made from the code while it is built (`make docs`), so that they cannot age."""
