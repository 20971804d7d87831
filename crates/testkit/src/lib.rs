//! Process clusters, oracles and load for tests and benchmarks.
