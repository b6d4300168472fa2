"""Measures of what was said against what is right: pure functions that know neither benchmarks nor runs."""
