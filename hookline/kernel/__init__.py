"""The kernel: what every process shares and nothing of what a process does."""
