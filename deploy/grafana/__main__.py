"""`python -m deploy.grafana`: write the dashboards anew; `--check` writes nothing and fails when they are not what they should be."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana.dashboards import VIEWS

FOLDER: Final = Path(__file__).parent / "dashboards"


def written(name: str) -> str:
    """Return a view as its file holds it."""
    view = VIEWS[name]().build()
    for number, panel in enumerate(view.panels or [], start=1):
        panel.id_val = number  # else Grafana numbers them, and links to one panel change with each import
    return JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False).encode(view) + "\n"


def stale() -> list[Path]:
    """Return the files that are not what the generator gives."""
    paths = {FOLDER / f"{name}.json": written(name) for name in VIEWS}
    return [path for path, text in paths.items() if not path.exists() or path.read_text("utf-8") != text]


def main() -> None:
    """Write the files, or only tell which are stale."""
    if "--check" in sys.argv[1:]:
        if found := stale():
            raise SystemExit(f"Stale: {', '.join(path.name for path in found)}. Run: python -m deploy.grafana")
        return
    for name in VIEWS:
        (FOLDER / f"{name}.json").write_text(written(name), "utf-8")


if __name__ == "__main__":
    main()
