"""What happened: the sink into ClickHouse, migrations, log and statistics queries."""
