"""What gateway, worker and load test must agree on byte for byte: pure functions, no I/O."""
