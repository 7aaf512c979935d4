"""Grafana dashboards, generated from the metric definitions and from queries on the log: `python -m deploy.grafana`."""
