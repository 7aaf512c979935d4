"""The admin panel: the console in a browser, server-rendered, over the same handlers as the REST API."""
