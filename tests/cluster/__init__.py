"""The data jobs on real clusters: Flink's and Spark's processes, on 127.0.0.1."""
