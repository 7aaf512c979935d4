"""People: the REST API and the admin panel."""
