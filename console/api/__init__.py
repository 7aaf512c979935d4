"""The resources of the REST API: each module holds its models, its handlers and its rows of the route table."""
