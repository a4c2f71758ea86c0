"""Drift by Evidently, in an environment of its own: it asks for an older pandas than ours. Knows nothing of this project."""

import json
import sys
import time
from pathlib import Path


def peak_mib() -> float:
    """The largest resident memory of this process so far."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def main() -> None:
    """PSI of every column between the two halves of a file."""
    import pandas as pd
    import pyarrow.parquet  # noqa: F401 - what is loaded once does not count
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    before, started = peak_mib(), time.perf_counter()
    frame = pd.read_parquet(sys.argv[2])
    columns = DataDefinition(numerical_columns=list(frame.columns))
    half = len(frame) // 2
    now, then = (Dataset.from_pandas(part, data_definition=columns) for part in (frame[half:], frame[:half]))
    report = Report([DataDriftPreset(num_method="psi")]).run(now, then)
    if len(report.dict()["metrics"]) <= len(frame.columns):
        raise SystemExit("Evidently judged fewer columns than there are")
    print(json.dumps({"seconds": time.perf_counter() - started, "peak_mib": peak_mib(), "import_mib": before}))


if __name__ == "__main__":
    main()
