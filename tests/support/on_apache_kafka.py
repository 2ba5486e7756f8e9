"""Runs pytest with an Apache Kafka broker in the place of the embedded one: `python -m tests.support.on_apache_kafka …`."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from services.cli.apache_kafka import ApacheKafka


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="salescycle-kafka-") as folder:
        cluster = ApacheKafka(Path(folder))
        print("starting Apache Kafka", flush=True)
        cluster.start()
        try:
            environment = {**os.environ, "SALESCYCLE_TEST_KAFKA": cluster.bootstrap}
            return subprocess.run(
                [sys.executable, "-m", "pytest", *sys.argv[1:]], env=environment, check=False
            ).returncode
        finally:
            cluster.stop()


if __name__ == "__main__":
    sys.exit(main())
