"""The one error tree of Hookline.

```
HooklineError                 code, message, remedy; what a person sees
├── ConfigError               a setting is missing or wrong; names the variable
├── InputError                what a caller gave is wrong; `field` is its path
│   ├── UnknownEventType
│   ├── PayloadTooLarge
│   ├── UrlNotAllowed
│   ├── FilterError           `position` is the column of the fault, from 1
│   ├── TemplateError         a template cannot be used, or fails on an event
│   ├── CertificateError      a client certificate, or its key, cannot be used
│   ├── LimitExceeded
│   ├── NotFound
│   ├── Conflict              it exists already, or its state forbids it
│   │   └── Stale             somebody else changed it since it was read
│   └── Unauthorized
├── BrokerError               Kafka said no or said nothing
│   ├── BrokerUnavailable
│   ├── QueueFull             the local producer queue is full: slow down
│   └── Undelivered           possibly, not certainly, on Kafka: publish again with the same id
├── Closed                    used before start or after close, or after a fork
├── WireError                 the bytes on a topic are not what they should be
│   └── UnknownSchema
├── SchemaError               a schema cannot be registered or read
│   ├── Incompatible
│   └── RegistryUnavailable
├── NoDispatcher              a test call was not made in time
├── WarehouseError            ClickHouse said no
│   └── WarehouseUnavailable
└── LocalError                the embedded stack cannot start (port in use, corrupt state folder)
```
Foreign errors are translated at one seam each: Kafka in `kernel.kafka`, ClickHouse in
`analytics.client`, HTTP in `dispatcher.transport`, the schema registry's REST in `schemas.registry`.
"""

from __future__ import annotations

from typing import ClassVar


class HooklineError(Exception):
    """An error with a stable `code`, a message that names the thing, and a remedy.

    `remedy` is a sentence that says what to do; an empty one means the message says it already.
    """

    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}. {self.remedy}" if self.remedy else self.message


class ConfigError(HooklineError):
    """A setting is missing or wrong; the message names its environment variable."""

    code = "config_invalid"


class InputError(HooklineError):
    """What the caller gave is wrong; `field` is the dotted path of the offending value, or empty."""

    code = "invalid"

    def __init__(self, message: str, *, field: str = "", remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.field = field


class UnknownEventType(InputError):
    """The event type is not in the catalogue."""

    code = "unknown_event_type"


class PayloadTooLarge(InputError):
    """The event or the body is over its limit."""

    code = "payload_too_large"


class UrlNotAllowed(InputError):
    """The webhook's URL is malformed or leads where Hookline must not call."""

    code = "url_not_allowed"


class FilterError(InputError):
    """The CEL filter does not compile; `position` is the column of the fault, from 1 (0: unknown), which the message tells too."""

    code = "filter_invalid"

    def __init__(self, message: str, *, position: int = 0, remedy: str = "") -> None:
        told = f"{message} (at position {position})" if position and "position" not in message else message
        super().__init__(told, field="filter", remedy=remedy)
        self.position = position


class TemplateError(InputError):
    """The template of a webhook cannot be used, or fails on an event; `field` is the path of the text at fault, from `template` on."""

    code = "template_invalid"

    def __init__(self, message: str, *, field: str = "template", remedy: str = "") -> None:
        super().__init__(message, field=field, remedy=remedy)


class CertificateError(InputError):
    """The client certificate of a webhook, or its private key, cannot be used."""

    code = "certificate_invalid"


class LimitExceeded(InputError):
    """A limit of the store is reached."""

    code = "limit_exceeded"


class NotFound(InputError):
    """There is no such thing, or it belongs to another store."""

    code = "not_found"


class Conflict(InputError):
    """The thing exists already, or was changed by somebody else since it was read."""

    code = "conflict"


class Stale(Conflict):
    """The thing was changed by somebody else since it was read: read it again and repeat the change."""

    code = "stale"


class Unauthorized(InputError):
    """The API key is missing, malformed, unknown, revoked, expired or of too small a scope."""

    code = "unauthorized"


class BrokerError(HooklineError):
    """Kafka refused; the message carries its reason."""

    code = "broker_error"


class BrokerUnavailable(BrokerError):
    """Kafka did not answer in time."""

    code = "broker_unavailable"


class QueueFull(BrokerError):
    """The local producer queue is full: publish more slowly or wait."""

    code = "queue_full"


class Undelivered(BrokerError):
    """Not confirmed in time: it may or may not be on Kafka; publish again with the same id."""

    code = "undelivered"


class Closed(HooklineError):
    """Used before its start, after its close, or in a forked child."""

    code = "closed"


class WireError(HooklineError):
    """The bytes of a record are not in the wire format, or not of their schema."""

    code = "wire_invalid"


class UnknownSchema(WireError):
    """The schema id is not in the registry, though the registry was asked again."""

    code = "unknown_schema"


class SchemaError(HooklineError):
    """A schema cannot be parsed, registered or read."""

    code = "schema_invalid"


class Incompatible(SchemaError):
    """The new schema cannot read what the registered one wrote."""

    code = "schema_incompatible"


class RegistryUnavailable(SchemaError):
    """The schema registry did not answer: not the record's fault, try again."""

    code = "schema_registry_unavailable"


class NoDispatcher(HooklineError):
    """No dispatcher made a test call in time; one that starts later still makes it."""

    code = "no_dispatcher"


class WarehouseError(HooklineError):
    """ClickHouse refused; the message carries its reason."""

    code = "warehouse_error"


class WarehouseUnavailable(WarehouseError):
    """ClickHouse did not answer in time: wait and try again, skip nothing."""

    code = "warehouse_unavailable"


class LocalError(HooklineError):
    """The embedded stack cannot start or was left in a state that needs a person."""

    code = "local_error"
