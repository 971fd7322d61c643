"""The same measures past one machine: PySpark DataFrame programs over a partitioned Parquet export."""
