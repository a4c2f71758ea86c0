"""Every Prometheus metric of the project, declared once; nothing else imports prometheus_client.

A name ends with its unit; that of a time ends with `_timestamp_seconds`, so that an age continues to grow when no process
measures: `time() - ok_ml_served_generation_timestamp_seconds`. Each process fills a `Board` of its own. The service puts
all of them together at `/metrics`: see `ok_ml.metric_files`.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Literal

from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric as Family

Kind = Literal["counter", "gauge", "histogram"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
PROCESS: Final = "process"  # a label of every sample: the process that measured it
# 50 us to 1 s: a list takes about 100 us, a batch of a thousand some milliseconds.
_LATENCY_BUCKETS: Final = (
    50e-6, 100e-6, 150e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1.0,
)  # fmt: skip

SERVICE: Final = "service"
MATERIALISER: Final = "materialiser"
COLLECTOR: Final = "collector"
CLOCK: Final = "clock"
RUN: Final = "run"
DAEMON: Final = "daemon"
DATA: Final = "data"
GROUPS: Final = {
    SERVICE: "the HTTP service, a worker each",
    MATERIALISER: "the process between topics and storage",
    COLLECTOR: "a collector of a dataset's topic",
    CLOCK: "the clock of the simulated network",
    RUN: "the steps of Dagster runs, and `ok-ml run`",
    DAEMON: "the heartbeat, a sensor that Dagster's daemon ticks",
    DATA: "what the lake and the incidents say, looked at by the heartbeat and at the end of `ok-ml run`",
    PROCESS: "every process that runs automatically",
}

METRICS: Final[dict[str, "Metric"]] = {}


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes
    ----------
    name
        As Prometheus knows it.
    labels
        Names of its labels; `process` comes on top.
    group
        Who measures it, one of `GROUPS`.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    group: str


class _Group:
    """Declares metrics of one of `GROUPS`, which have the same labels unless others are named."""

    def __init__(self, name: str, *labels: str) -> None:
        self._name, self._labels = name, labels

    def counter(self, name: str, text: str, labels: tuple[str, ...] | None = None) -> Metric:
        return self._declare("counter", name, text, labels)

    def gauge(self, name: str, text: str, labels: tuple[str, ...] | None = None) -> Metric:
        return self._declare("gauge", name, text, labels)

    def histogram(self, name: str, text: str, labels: tuple[str, ...] | None = None) -> Metric:
        return self._declare("histogram", name, text, labels)

    def _declare(self, kind: Kind, name: str, text: str, labels: tuple[str, ...] | None) -> Metric:
        made = Metric(f"ok_ml_{name}", kind, text, self._labels if labels is None else labels, self._name)
        if METRICS.setdefault(made.name, made) is not made:
            raise ValueError(f"{made.name} is declared twice")
        return made


_SERVED = _Group(SERVICE, "experiment")
_SERVICE = _Group(SERVICE)
_MATERIALISER = _Group(MATERIALISER, "experiment")
_COLLECTOR = _Group(COLLECTOR, "dataset")
_CLOCK = _Group(CLOCK, "dataset")
_STEP = _Group(RUN, "scope", "step")
_RUN = _Group(RUN, "experiment")
_DAEMON = _Group(DAEMON, "dagster_job", "outcome")
_TABLE = _Group(DATA, "scope", "table")
_EXPERIMENT = _Group(DATA, "experiment")
_PROCESS = _Group(PROCESS)

# -- the service ---------------------------------------------------------------------------------------------------------

REQUEST_SECONDS: Final = _SERVICE.histogram(
    "request_seconds",
    "Time to answer a request; its count is the number of requests. route is one, batch, page, plot, health or other.",
    labels=("route", "experiment", "status"),
)
LOOKUPS: Final = _SERVED.counter("lookups_total", "Users looked up; a batch counts each of its users.")
FALLBACKS: Final = _SERVED.counter("fallbacks_total", "Users who were served the list for users without history.")
OPEN_READERS: Final = _SERVED.gauge("open_readers", "Readers of the storage that a worker holds open.")
SERVED_GENERATION: Final = _SERVED.gauge(
    "served_generation_timestamp_seconds", "When the served generation was verified and sealed."
)
SERVED_MODEL: Final = _SERVED.gauge("served_model_version", "Version of the model that made the served generation.")
SERVED_PREDICTIONS: Final = _SERVED.gauge(
    "served_predictions", "Users with a list of their own in the served generation."
)
SERVED_DATA: Final = _SERVED.gauge(
    "served_data_timestamp_seconds", "End of the last day of data in the served generation, UTC."
)
SERVED_BEHIND: Final = _SERVED.gauge(
    "served_data_behind_seconds", "From the last day of data served to the newest committed day."
)
SERVED_LIMIT: Final = _SERVED.gauge(
    "served_data_limit_seconds", "How far behind an experiment may be: freshness.predictions_hours."
)
HEARTBEAT_LIMIT: Final = _SERVICE.gauge(
    "heartbeat_limit_seconds", "Age of the heartbeat at which /deadman answers 503."
)
HEARTBEAT: Final = _SERVICE.gauge("heartbeat_timestamp_seconds", "Last heartbeat that came through Dagster's daemon.")

# -- materialiser, collector, clock --------------------------------------------------------------------------------------

LAG: Final = _MATERIALISER.gauge("materialiser_lag_records", "Records of the topic that are not in the storage.")
TAKEN: Final = _MATERIALISER.counter("materialiser_records_total", "Records taken from the topic by this process.")
SET_ASIDE: Final = _MATERIALISER.counter("materialiser_set_aside_records_total", "Records that could not be used.")
VERIFY_FAILURES: Final = _MATERIALISER.counter(
    "materialiser_verify_failures_total",
    "Parts or generations whose count, checksum or signature was not the published one.",
)
SWITCHES: Final = _MATERIALISER.counter("materialiser_switches_total", "Generations switched to by this process.")
MATERIALISER_BEAT: Final = _MATERIALISER.gauge("materialiser_heartbeat_timestamp_seconds", "Last status that it wrote.")
COLLECTOR_LAG: Final = _COLLECTOR.gauge("collector_lag_records", "Messages of the topic that are not written down.")
COLLECTED: Final = _COLLECTOR.counter("collector_records_total", "Messages ever written down.")
COLLECTOR_ASIDE: Final = _COLLECTOR.counter(
    "collector_set_aside_records_total", "Messages that break the contract.", labels=("dataset", "reason")
)
COLLECTOR_LOST: Final = _COLLECTOR.counter(
    "collector_lost_records_total", "Messages that retention took before they were read."
)
COLLECTED_DAYS: Final = _COLLECTOR.counter(
    "collector_committed_days_total", "Versions of days committed by this process."
)
CLOCK_DAYS: Final = _CLOCK.counter("clock_days_total", "Simulated days committed by this process.")
CLOCK_DAY: Final = _CLOCK.gauge("clock_day_timestamp_seconds", "End of the newest simulated day, in its own time.")

# -- runs ----------------------------------------------------------------------------------------------------------------

STEP_SECONDS: Final = _STEP.gauge("step_seconds", "Time of the last run of a step.")
STEP_ROWS: Final = _STEP.gauge("step_rows", "Rows of the partitions that the last run of a step committed.")
STEP_MEMORY: Final = _STEP.gauge(
    "step_peak_memory_bytes", "Most resident memory in the last run of a step, its processes together."
)
STEP_FINISHED: Final = _STEP.gauge("step_finished_timestamp_seconds", "When the last run of a step ended.")
STEPS: Final = _STEP.counter(
    "steps_total", "Runs of a step; outcome is success or failure.", labels=("scope", "step", "outcome")
)
BUILD_SECONDS: Final = _RUN.gauge(
    "build_seconds",
    "Time to build the recommendations: from the commit of the newest day's log to its predictions being live.",
)
HEADLESS_SECONDS: Final = _RUN.gauge("headless_run_seconds", "Time of the last `ok-ml run` of an experiment.")
HEADLESS_MEMORY: Final = _RUN.gauge("headless_run_peak_memory_bytes", "Most resident memory in the last `ok-ml run`.")

# -- the daemon ----------------------------------------------------------------------------------------------------------

RUNS: Final = _DAEMON.counter("runs_total", "Dagster runs that are over; outcome is success, failure or canceled.")
RUN_SECONDS: Final = _DAEMON.gauge("run_seconds", "Time of the last Dagster run with this outcome.")
RUN_FINISHED: Final = _DAEMON.gauge("run_finished_timestamp_seconds", "When the last run with this outcome ended.")
RUNS_OPEN: Final = _DAEMON.gauge(
    "runs_in_progress", "Dagster runs that wait or run; state is queued or started.", labels=("state",)
)
PINGS: Final = _DAEMON.counter(
    "heartbeat_pings_total", "Calls of the address outside; outcome is success or failure.", labels=("outcome",)
)

# -- data ----------------------------------------------------------------------------------------------------------------

NEWEST_DAY: Final = _TABLE.gauge(
    "partition_timestamp_seconds", "End of the newest committed day of a table, in the time of its data."
)
NEWEST_COMMIT: Final = _TABLE.gauge(
    "partition_committed_timestamp_seconds", "When a table's newest partition was committed."
)
NEWEST_ROWS: Final = _TABLE.gauge("partition_rows", "Rows of a table's newest partition.")
DRIFT_PSI: Final = _EXPERIMENT.gauge(
    "feature_drift_psi",
    "Largest population stability index of the newest day's features against the champion's reference.",
)
BLOCKED: Final = _EXPERIMENT.gauge("features_blocked", "1 while the newest day's features may not be served, else 0.")
ONLINE: Final = _EXPERIMENT.gauge(
    "online_metric",
    "What was served against what people did with it, newest day, in the unit of the metric; most are shares.",
    labels=("experiment", "metric", "group"),
)
PRODUCT: Final = _EXPERIMENT.gauge(
    "product_metric",
    "What people did on the newest day, in the unit of the metric.",
    labels=("dataset", "metric", "group"),
)
INCIDENTS: Final = _EXPERIMENT.gauge(
    "incidents_open", "Incidents that are open, acknowledged ones included.", labels=("severity",)
)

# -- every process -------------------------------------------------------------------------------------------------------

UP: Final = _PROCESS.gauge(
    "process_up", "1 while the process writes its metrics, 0 once it crashed or stopped writing."
)
WRITTEN: Final = _PROCESS.gauge("metrics_written_timestamp_seconds", "When the metrics of a process were last written.")
RESIDENT: Final = _PROCESS.gauge("process_resident_bytes", "Resident memory of the process.")
CPU: Final = _PROCESS.counter("process_cpu_seconds_total", "Time on a CPU, user and system.")

_Key = tuple[str, ...]


class Histogram:
    """Observations by bucket, from one thread only.

    On the hot path of every lookup: without the locks of prometheus_client's histogram it costs half.
    """

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(_LATENCY_BUCKETS) + 1)
        self.total = 0.0

    def take(self, seconds: float) -> None:
        """Count one observation."""
        self.counts[bisect_left(_LATENCY_BUCKETS, seconds)] += 1
        self.total += seconds


class Board:
    """The numbers of one process.

    Parameters
    ----------
    process
        Value of the label `process` of every sample.
    labels
        Further labels of every sample, e.g. the worker.
    """

    def __init__(self, process: str, **labels: str) -> None:
        self._fixed = {PROCESS: process, **labels}
        self._values: dict[str, dict[_Key, float]] = {}
        self._histograms: dict[str, dict[_Key, Histogram]] = {}

    def set(self, metric: Metric, value: float, /, **labels: str) -> None:
        """Set a gauge, or a counter to a total that is counted elsewhere."""
        self._values.setdefault(metric.name, {})[_key(metric, labels)] = float(value)

    def add(self, metric: Metric, amount: float = 1.0, /, **labels: str) -> None:
        """Count; call it from one thread only."""
        known, key = self._values.setdefault(metric.name, {}), _key(metric, labels)
        known[key] = known.get(key, 0.0) + amount

    def forget(self, *metrics: Metric) -> None:
        """Drop every sample of some gauges, before they are set again."""
        for metric in metrics:
            self._values.pop(metric.name, None)

    def histogram(self, metric: Metric, /, **labels: str) -> "Histogram":
        """The histogram with these labels; keep it, finding it costs more than using it."""
        return self._histograms.setdefault(metric.name, {}).setdefault(_key(metric, labels), Histogram())

    def collect(self) -> Iterator[Family]:
        """Families with at least one sample, in the order of their declaration."""
        for metric in METRICS.values():
            family = Family(metric.name.removesuffix("_total"), metric.help, metric.kind)
            for key, value in self._values.get(metric.name, {}).copy().items():
                family.add_sample(metric.name, {**dict(zip(metric.labels, key, strict=True)), **self._fixed}, value)
            for key, histogram in self._histograms.get(metric.name, {}).copy().items():
                _add_histogram(family, {**dict(zip(metric.labels, key, strict=True)), **self._fixed}, histogram)
            if family.samples:
                yield family

    def text(self) -> str:
        """Everything in Prometheus' text format."""
        return generate_latest(self).decode()


def _add_histogram(family: Family, labels: dict[str, str], histogram: Histogram) -> None:
    counts = accumulate(histogram.counts.copy())
    for bound, count in zip((*_LATENCY_BUCKETS, math.inf), counts, strict=True):
        family.add_sample(
            f"{family.name}_bucket", {**labels, "le": "+Inf" if math.isinf(bound) else repr(bound)}, count
        )
    family.add_sample(f"{family.name}_count", labels, count)
    family.add_sample(f"{family.name}_sum", labels, histogram.total)


def _key(metric: Metric, labels: dict[str, str]) -> _Key:
    if len(labels) != len(metric.labels):
        raise ValueError(f"{metric.name} has the labels {', '.join(metric.labels) or 'none'}, got {', '.join(labels)}")
    return tuple(labels[name] for name in metric.labels)


def merged(texts: Iterable[str]) -> str:
    """Several texts as one: every family once, with the samples of all."""
    heads: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for text in texts:
        name = ""
        for line in text.splitlines():
            if line.startswith("# HELP "):
                name = line.split(" ", 3)[2]
                heads.setdefault(name, [line])
                samples.setdefault(name, [])
            elif line.startswith("# TYPE "):
                if len(heads[name]) == 1:
                    heads[name].append(line)
            elif line and not line.startswith("#"):
                samples[name].append(line)
    return "".join(f"{line}\n" for name in heads for line in (*heads[name], *samples[name]))
