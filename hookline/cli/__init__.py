"""The command line, which wires the processes."""
