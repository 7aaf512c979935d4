"""The manners of the REST API: what every route has in common, and nothing of any one resource."""
