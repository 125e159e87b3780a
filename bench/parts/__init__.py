"""The benchmarks, one a file: each has `run(rig)`."""
