"""`hookline topics`: the Kafka topics that Hookline needs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hookline.cli.broker import reached
from hookline.cli.output import AsJson, say, show_table
from hookline.kernel import kafka
from hookline.kernel.config import environment, load
from hookline.kernel.errors import InputError
from hookline.schemas.drift import Action, Difference, differences, look, mend, remedies
from hookline.schemas.topics import DAY_MS, Topics, TopicsConfig, TopicSpec, create, retentions, specs
from hookline.schemas.topics import retain as apply_retention

app = typer.Typer(no_args_is_help=True, help="Kafka topics: create those that are missing, list them, mend those that differ.")

_COLUMNS = ("action", "topic", "what", "now", "wanted")
_RETENTION = "retention.ms"
_NONE = "All topics are as they should be."


@app.command("create")
def create_topics(as_json: AsJson = False) -> None:
    """Create the topics that are missing with their settings; those that exist stay as they are."""
    environ = environment()
    config, settings = reached(environ), load(TopicsConfig, environ)
    wanted = specs(Topics(config.topic_prefix), settings)
    made = set(create(config, wanted, settings.replication_factor))
    rows = [{"topic": s.name, "partitions": s.partitions, "state": "created" if s.name in made else "was there"} for s in wanted]
    show_table(rows, ("topic", "partitions", "state"), as_json=as_json)


@app.command("list")
def list_topics(as_json: AsJson = False) -> None:
    """List the topics, their partitions as they are and as they should be."""
    environ = environment()
    config = reached(environ)
    client = kafka.admin(config)
    wanted = specs(Topics(config.topic_prefix), load(TopicsConfig, environ))
    rows = [{"topic": s.name, "partitions": kafka.partitions_of(client, s.name), "wanted": s.partitions} for s in wanted]
    show_table(({**row, "state": _state(row)} for row in rows), ("topic", "partitions", "wanted", "state"), as_json=as_json)


@app.command()
def plan(
    detailed_exitcode: Annotated[bool, typer.Option("--detailed-exitcode", help="Leave with 2 when something differs.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show how topics differ from the settings in force: partitions, copies, retention and the like; changes nothing."""
    config, settings, wanted = _wanted()
    found = _drift(config, settings, wanted)
    show_table(map(_row, found), _COLUMNS, as_json=as_json, empty=_NONE)
    _say_remedies(found, wanted)
    if found and detailed_exitcode:
        raise typer.Exit(2)


@app.command()
def apply(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Mend what `plan` shows: create, add partitions, set; what says `by hand` stays as it is, and the status is 1 then."""
    config, settings, wanted = _wanted()
    found = _drift(config, settings, wanted)
    show_table(map(_row, found), _COLUMNS, as_json=as_json, empty=_NONE)
    doable = [one for one in found if one.action is not Action.BY_HAND]
    if doable:
        _warn_of_loss(doable)
        if not yes:
            typer.confirm(f"Make these {len(doable)} changes?", abort=True, err=True)
        mend(config, doable, wanted, settings.replication_factor)
        say(f"{len(doable)} changes made.")
    if len(doable) < len(found):
        say(f"{len(found) - len(doable)} left as they are.")
        _say_remedies(found, wanted)
        raise typer.Exit(1)


@app.command()
def retain(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show only.")] = False,
    as_json: AsJson = False,
) -> None:
    """Have existing topics keep their records for HOOKLINE_RETENTION_DAYS: `create` leaves what is there as it is."""
    environ = environment()
    config = reached(environ)
    found = retentions(config, specs(Topics(config.topic_prefix), load(TopicsConfig, environ)))
    other = [kept for kept in found if kept.now_ms != kept.wanted_ms]
    if not dry_run:
        apply_retention(config, other)
    done = "would change" if dry_run else "changed"
    rows = [
        {"topic": k.topic, "days_before": _days(k.now_ms), "days": _days(k.wanted_ms), "state": done if k in other else "as wanted"}
        for k in found
    ]
    show_table(rows, ("topic", "days_before", "days", "state"), as_json=as_json)


@app.command("dump")
def dump_topics(
    folder: Annotated[Path, typer.Option("--to", help="A folder for the files, one per topic; it is made if need be.")],
    every: Annotated[bool, typer.Option("--all", help="Events and dead letters too, not only what Hookline keeps of itself.")] = False,
    as_json: AsJson = False,
) -> None:
    """Copy topics into files while everything runs: schemas, webhooks, API keys, users, erasures, audit, jobs. See docs/backup.md."""
    from hookline.local.dump import dump, flow_topics, state_topics

    config = reached(environment())
    topics = Topics(config.topic_prefix)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    names = [*state_topics(topics), *(flow_topics(topics) if every else [])]
    show_table([{"topic": name, "records": dump(config, name, folder)} for name in names], ("topic", "records"), as_json=as_json)


@app.command("restore")
def restore_topics(
    folder: Annotated[Path, typer.Option("--from", help="The folder that `dump` wrote.")],
    as_json: AsJson = False,
) -> None:
    """Put dumped records on topics that were created and are empty, before any process runs on them. See docs/backup.md."""
    from hookline.local.dump import SUFFIX, flow_topics, restore, state_topics

    config = reached(environment())
    topics = Topics(config.topic_prefix)
    known = [name.removeprefix(f"{config.topic_prefix}.") for name in (*state_topics(topics), *flow_topics(topics))]
    found = [path for name in known if (path := folder / f"{name}{SUFFIX}").exists()]
    if not found:
        raise InputError(f"{folder} holds no dump", field="from", remedy="Give the folder that `hookline topics dump --to` wrote.")
    rows = [dict(zip(("topic", "records"), restore(config, path), strict=True)) for path in found]
    show_table(rows, ("topic", "records"), as_json=as_json)


def _wanted() -> tuple[kafka.KafkaConfig, TopicsConfig, list[TopicSpec]]:
    environ = environment()
    config, settings = reached(environ), load(TopicsConfig, environ)
    return config, settings, specs(Topics(config.topic_prefix), settings)


def _drift(config: kafka.KafkaConfig, settings: TopicsConfig, wanted: list[TopicSpec]) -> list[Difference]:
    return differences(look(config, wanted), wanted, settings.replication_factor)


def _say_remedies(found: list[Difference], wanted: list[TopicSpec]) -> None:
    for remedy in remedies(found, wanted):
        say(remedy)


def _warn_of_loss(found: list[Difference]) -> None:
    """Say which topics would lose records: Kafka deletes within minutes what is older than a shorter retention."""
    for one in found:
        if one.what == _RETENTION and one.now and int(one.wanted) >= 0 and not 0 <= int(one.now) <= int(one.wanted):
            say(f"{one.topic}: records older than {_days(int(one.wanted))} days will be deleted for good.")


def _row(difference: Difference) -> dict[str, str]:
    return {column: str(getattr(difference, column)) for column in _COLUMNS}


def _days(milliseconds: int) -> float | None:
    """Return milliseconds in days, None for ever."""
    return None if milliseconds < 0 else round(milliseconds / DAY_MS, 3)


def _state(row: dict[str, object]) -> str:
    if not row["partitions"]:
        return "missing: hookline topics create"
    return "as wanted" if row["partitions"] == row["wanted"] else "other partition count"
