"""Every metric of the dispatcher, in one place; labels come from closed enums only."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from hookline.kernel.metrics import LATENCY_BUCKETS_S, LoopCounter, LoopHistogram

_WAIT_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5, 30, 300)

EVENTS: Final = LoopCounter("hookline_dispatcher_events_total", "Events taken up.", ["category"])
ATTEMPTS: Final = LoopCounter(
    "hookline_dispatcher_attempts_total", "Attempts and explained skips, by outcome and error kind.", ["outcome", "error_kind"]
)
UNMATCHED: Final = LoopCounter("hookline_dispatcher_filtered_total", "Deliveries not made because the webhook's filter said no.")
PARKED: Final = Counter("hookline_dispatcher_parked_total", "Deliveries put aside without an attempt.", ["reason"])
DEAD: Final = Counter("hookline_dispatcher_dead_letters_total", "Dead letters written.", ["reason"])
RESPONSE_S: Final = LoopHistogram("hookline_dispatcher_response_seconds", "Time of one HTTP attempt.", buckets=LATENCY_BUCKETS_S)
QUEUE_WAIT_S: Final = LoopHistogram(
    "hookline_dispatcher_queue_wait_seconds", "From published, or due, to the start of the attempt.", buckets=_WAIT_BUCKETS_S
)
RECEIVED_S: Final = LoopHistogram(
    "hookline_dispatcher_received_seconds",
    "From published to the receiver's 2xx, of events delivered at their first attempt.",
    buckets=LATENCY_BUCKETS_S,
)
IN_FLIGHT: Final = Gauge("hookline_dispatcher_in_flight", "HTTP calls under way.")
LANES: Final = Gauge("hookline_dispatcher_lanes", "Lanes in memory, by breaker state.", ["state"])
PENDING: Final = Gauge("hookline_dispatcher_pending_records", "Records taken up and not settled.", ["source"])
LAG: Final = Gauge("hookline_dispatcher_lag_records", "Records behind the end of the assigned partitions.", ["source"])
QUEUED: Final = Gauge("hookline_dispatcher_queued_deliveries", "Deliveries that wait in lanes or for a place among the calls in flight.")
PENDING_BYTES: Final = Gauge("hookline_dispatcher_pending_bytes", "Bytes of the records taken up and not settled.", ["source"])
OLDEST_DUE_S: Final = Gauge(
    "hookline_dispatcher_tier_due_seconds",
    "Until the oldest record of a tier is due; negative: overdue by so much; 0 when none waits in the assigned partitions.",
    ["tier"],
)
TIER_DEPTH: Final = Gauge(
    "hookline_dispatcher_tier_depth_records", "Records of a tier's assigned partitions that are not settled.", ["tier"]
)
OFFSET_RESETS: Final = Counter(
    "hookline_dispatcher_offset_resets_total", "Partitions whose offsets went back: made anew, or cut off.", ["source"]
)
MISSED: Final = Counter("hookline_dispatcher_missed_records_total", "Records that retention took before they were read.", ["source"])
FAULTS: Final = Counter("hookline_dispatcher_faults_total", "Errors that should not happen; what they struck stays unsettled.", ["where"])
CLOCK_FAST_S: Final = Gauge("hookline_dispatcher_clock_ahead_seconds", "This machine's clock ahead of the brokers'; 0 below 2 s.")
REBALANCES: Final = Counter("hookline_dispatcher_rebalances_total", "Partitions given or taken.", ["source", "what"])
FENCED: Final = Counter(
    "hookline_dispatcher_fenced_total", "Deliveries not attempted because the partition may belong to another dispatcher."
)
HELD: Final = Gauge("hookline_dispatcher_held_partitions", "Partitions held after too many undecodable records in a row.")
PRODUCE_RETRIES: Final = Counter("hookline_dispatcher_produce_retries_total", "Settling records produced again after Kafka refused them.")
LOOP_STALL_S: Final = Histogram(
    "hookline_dispatcher_loop_stall_seconds", "How late a 100 ms timer of the event loop ran.", buckets=LATENCY_BUCKETS_S
)
REGISTRY_AGE_S: Final = Gauge("hookline_dispatcher_registry_age_seconds", "Since the webhook registry was last known to be complete.")
WEBHOOKS: Final = Gauge("hookline_dispatcher_webhooks", "Webhooks in the registry.")
REGISTRY_FAULTS: Final = Gauge("hookline_dispatcher_registry_faults", "Corrupt records of the webhooks topic, passed over since the start.")
