"""What runs Hookline elsewhere; only the generator of the dashboards is code."""
