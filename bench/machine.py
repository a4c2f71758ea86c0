"""What this machine is and what it can do at this minute: the numbers that every result stands beside."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bench.timing import race, timed

COPY_BYTES = 128 << 20
SGEMM_SIZE = 2048
_MIB = 1 << 20


def limits(repeats: int = 3) -> dict[str, float]:
    """Memory copy (bytes copied, each read once and written once) and sgemm on all threads, best of three."""
    source, target = np.ones(COPY_BYTES, np.uint8), np.zeros(COPY_BYTES, np.uint8)
    left = np.full((SGEMM_SIZE, SGEMM_SIZE), 0.5, np.float32)
    out = np.empty_like(left)
    best = race(
        {"copy": timed(lambda: np.copyto(target, source)), "sgemm": timed(lambda: np.matmul(left, left, out=out))},
        repeats,
    )
    return {
        "memory_copy_gb_per_s": round(COPY_BYTES / best["copy"] / 1e9, 1),
        "sgemm_gflop_per_s": round(2 * SGEMM_SIZE**3 / best["sgemm"] / 1e9, 1),
    }


def description() -> dict[str, Any]:
    """CPU, memory and the BLAS kernel in use."""
    from threadpoolctl import threadpool_info

    blas: dict[str, Any] = next((pool for pool in threadpool_info() if pool["user_api"] == "blas"), {})
    return {
        "cpus": os.cpu_count(),
        "cpu": _cpu_name(),
        "arch": platform.machine(),
        "memory_mib": psutil.virtual_memory().total // _MIB,
        "load_average": round(os.getloadavg()[0], 2),
        "blas": f"{blas.get('internal_api', 'unknown')} {blas.get('architecture', '')}".strip(),
        "blas_threads": blas.get("num_threads"),
    }


def versions(packages: tuple[str, ...]) -> dict[str, str | None]:
    """Versions of Python and of some packages; None for one that is not installed."""
    return {"python": platform.python_version()} | {name: _version(name) for name in packages}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cpu_name() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
