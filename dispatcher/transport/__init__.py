"""The seam behind which HTTP happens: one contract, one conformance suite, any implementation."""
