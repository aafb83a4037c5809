"""Systems with known connectivity and true effective connectivity, for tests and benchmarks."""
