"""One way to open Spark for every program: UTC, microseconds, and the same files every night."""

import os
import sys

from pyspark.sql import SparkSession

from jobs.running.settings import PROJECT, Settings


def open_spark(settings: Settings, job: str) -> SparkSession:
    """Start Spark, or join the session that spark-submit or a test has started."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("SPARK_CONF_DIR", str(PROJECT / "configs" / "spark"))
    builder = (
        SparkSession.builder.appName(f"nightshift {job}")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.log.level", "ERROR")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
        .config("spark.sql.parquet.compression.codec", "zstd")
        # A log may have both `Price` and `price`.
        .config("spark.sql.caseSensitive", "true")
        .config("spark.sql.shuffle.partitions", str(settings.spark.partitions))
        # The number of files must not follow from the size of the night.
        .config("spark.sql.adaptive.coalescePartitions.enabled", "false")
        # The driver knows every file's path from the table's metadata: no job to list them.
        .config("spark.sql.sources.parallelPartitionDiscovery.threshold", "100000")
        .config("spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs", "false")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "4096")
    )
    if "PYSPARK_GATEWAY_PORT" not in os.environ:  # not under spark-submit, which knows its master
        master = settings.spark.master
        builder = builder.master(master).config("spark.driver.memory", settings.spark.driver_memory)
        if master.startswith("local"):
            builder = builder.config("spark.driver.host", "127.0.0.1").config(
                "spark.driver.bindAddress", "127.0.0.1"
            )
    return builder.getOrCreate()
