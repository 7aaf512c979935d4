"""One machine: the embedded broker, the supervisor and the demo."""
