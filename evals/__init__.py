"""Whether it is any good: benchmarks as files, each a stream of cases with known answers."""
