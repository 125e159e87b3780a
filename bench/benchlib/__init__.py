"""What the benchmarks share: the machine, the tables, the cluster and its peer."""
