"""``python -m ops.dashboards`` writes the Grafana dashboards into ops/grafana; a test holds them to what is written here."""

import sys
from pathlib import Path
from typing import Final

from ok_ml import metrics as m
from ops.panels import Dashboard, Panel, Query, Row, as_json

FOLDER: Final = Path(__file__).parent / "grafana"
_E: Final = 'experiment=~"$experiment"'
_R: Final = "[$__rate_interval]"


def _rate(metric: m.Metric, by: str, where: str = "") -> str:
    return f"sum by ({by}) (rate({metric.name}{{{where}}}{_R}))"


def _age(metric: m.Metric, by: str, where: str = "") -> str:
    return f"time() - max by ({by}) ({metric.name}{{{where}}})"


def _latest(metric: m.Metric, by: str, where: str = "") -> str:
    return f"max by ({by}) ({metric.name}{{{where}}})"


def _quantile(share: float, route: str) -> str:
    rate = f'rate({m.REQUEST_SECONDS.name}_bucket{{route="{route}",{_E}}}{_R})'
    return f"histogram_quantile({share}, sum by (le) ({rate}))"


def _quantiles(route: str) -> list[Query]:
    return [Query(_quantile(share, route), f"p{100 * share:g}") for share in (0.5, 0.95, 0.99)]


def _requests(where: str = "") -> str:
    return f"sum(rate({m.REQUEST_SECONDS.name}_count{{{where}}}{_R}))"


_FAILED: Final = _requests('status=~"5.."')
_ERRORS: Final = f"({_FAILED} or vector(0)) / {_requests()}"
_FALLBACK_SHARE: Final = f"{_rate(m.FALLBACKS, 'experiment', _E)} / {_rate(m.LOOKUPS, 'experiment', _E)}"

_INGESTED: Final = f'label_replace({m.NEWEST_DAY.name}{{table="events"}}, "dataset", "$1", "scope", "(.*)")'
_WAITING: Final = f"({_latest(m.CLOCK_DAY, 'dataset')} - on (dataset) max by (dataset) ({_INGESTED})) / 86400"

_BEHIND: Final = f"{_latest(m.SERVED_BEHIND, 'experiment', _E)} / {_latest(m.SERVED_LIMIT, 'experiment', _E)}"
_NEWEST: Final = (
    f"max by (scope) ({m.NEWEST_DAY.name}) - on (scope) group_right () {_latest(m.NEWEST_DAY, 'scope, table')}"
)


def _alive() -> Panel:
    return Panel(
        "Heartbeat age",
        "Since Dagster's daemon last ticked. Red: nothing runs by itself; see /deadman and daemon.log.",
        [Query(f"time() - max({m.HEARTBEAT.name})", "heartbeat")],
        "s",
        "stat",
        (90, 180),
        4,
    )


SERVICE: Final = Dashboard(
    "service", "ok_ml · service", "What people are served: how fast, how fresh, how often without success.",
    [
        Row("Now", [
            Panel("Requests", "Answers a second, all routes.", [Query(_requests(), "requests")], "reqps", "stat", None, 4),
            Panel("One list, p99", "Slowest hundredth of lookups of one user, inside the service.", [Query(_quantile(0.99, "one"), "p99")], "s", "stat", (0.005, 0.05), 4),
            Panel("Server errors", "Share of answers with a status of 500 or more.", [Query(_ERRORS, "errors")], "percentunit", "stat", (0.001, 0.01), 4),
            Panel("Fallback share", "Users who were served the list for users without history.", [Query(f"max({_FALLBACK_SHARE})", "fallback")], "percentunit", "stat", (0.2, 0.5), 4),
            Panel("Data behind", "From the last day of data served to the newest committed one, against freshness.predictions_hours.",
                  [Query(f"max({_BEHIND})", "of the limit")], "percentunit", "stat", (0.75, 1.0), 4),
            _alive(),
        ]),
        Row("Requests", [
            Panel("Requests by route", "Answers a second.", [Query(f"sum by (route) (rate({m.REQUEST_SECONDS.name}_count{_R}))", "{{route}}")], "reqps", stacked=True),
            Panel("Requests by status", "4xx is the caller's mistake, 503 means that nothing can be served yet, 500 a fault of ours.",
                  [Query(f"sum by (status) (rate({m.REQUEST_SECONDS.name}_count{_R}))", "{{status}}")], "reqps", stacked=True),
            Panel("Users looked up", "A batch counts each of its users.", [Query(_rate(m.LOOKUPS, "experiment", _E), "{{experiment}}")], "cps"),
        ]),
        Row("Latency", [
            Panel("One list", "From the request's arrival at the application to its answer.", _quantiles("one"), "s"),
            Panel("A batch", "Up to a thousand lists in one request.", _quantiles("batch"), "s"),
            Panel("Fallbacks", "Share of users without a list of their own. A jump: ids changed, or a generation came out too small.", [Query(_FALLBACK_SHARE, "{{experiment}}")], "percentunit"),
        ]),
        Row("What is served", [
            Panel("Age of the served generation", "Since it was verified. It grows until the next one is live.", [Query(_age(m.SERVED_GENERATION, "experiment", _E), "{{experiment}}")], "s", width=6),
            Panel("Data behind the newest day", "As a share of freshness.predictions_hours; at 100 % the health page fails and an alert goes out.",
                  [Query(_BEHIND, "{{experiment}}")], "percentunit", limits=(0.75, 1.0), width=6),
            Panel("Age of the served data", "Since the end of its last day, by the wall clock; a simulated network lives in its own time.",
                  [Query(_age(m.SERVED_DATA, "experiment", _E), "{{experiment}}")], "s", width=6),
            Panel("Users with a list", "In the served generation.", [Query(_latest(m.SERVED_PREDICTIONS, "experiment", _E), "{{experiment}}")], "short", width=6),
        ]),
        Row("Processes", [
            Panel("Memory", "Resident memory of each process.", [Query(f"sum by (process) ({m.RESIDENT.name})", "{{process}}")], "bytes", width=6),
            Panel("CPU", "CPUs in use by each process.", [Query(_rate(m.CPU, "process"), "{{process}}")], "short", width=6),
            Panel("Processes at work", "1: it writes its metrics, 0: it crashed or stopped writing.", [Query(f"min by (process) ({m.UP.name})", "{{process}}")], "none", width=6, top=1),
            Panel("Open readers", "Of the storage, all workers together.", [Query(f"sum by (experiment) ({m.OPEN_READERS.name}{{{_E}}})", "{{experiment}}")], "short", width=6),
        ]),
    ],
)  # fmt: skip

DELIVERY: Final = Dashboard(
    "delivery", "ok_ml · delivery", "From the topics into the storage, and from the events' topic into committed days.",
    [
        Row("Now", [
            Panel("Records to come", "Records of the topics that are not in the storage.", [Query(f"sum({m.LAG.name}{{{_E}}})", "lag")], "short", "stat", None, 4),
            Panel("Materialiser silent", "Since its last heartbeat. Red: new generations wait in the topic.", [Query(f"time() - max({m.MATERIALISER_BEAT.name})", "age")], "s", "stat", (15, 60), 4),
            Panel("Refusals, 1 h", "Parts or generations that were not what was published.", [Query(f"round(sum(increase({m.VERIFY_FAILURES.name}[1h])))", "refused")], "short", "stat", (0.5, 1), 4),
            Panel("Switches, 1 h", "Generations that went live.", [Query(f"round(sum(increase({m.SWITCHES.name}[1h])))", "switches")], "short", "stat", None, 4),
            Panel("Events to come", "Messages of the events' topics that are not written down.", [Query(f"sum({m.COLLECTOR_LAG.name})", "lag")], "short", "stat", None, 4),
            _alive(),
        ]),
        Row("Materialiser", [
            Panel("Lag", "Records of the topic that are not in the storage. It rises while a generation is published, then falls to 0.", [Query(_latest(m.LAG, "experiment", _E), "{{experiment}}")]),
            Panel("Records taken", "A second.", [Query(_rate(m.TAKEN, "experiment", _E), "{{experiment}}")], "cps"),
            Panel("Model that is served", "Version of the model behind the served generation: a step is a release or a rollback.", [Query(_latest(m.SERVED_MODEL, "experiment", _E), "{{experiment}}")], "none"),
        ]),
        Row("What was not taken", [
            Panel("Refusals", "Count, checksum or signature was not the published one; the last good generation is still served.",
                  [Query(f"sum by (experiment) (increase({m.VERIFY_FAILURES.name}{{{_E}}}{_R}))", "{{experiment}}")], width=6),
            Panel("Set aside", "Records that could not be used; the first hundred are stored in the storage.",
                  [Query(f"sum by (experiment) (increase({m.SET_ASIDE.name}{{{_E}}}{_R}))", "{{experiment}}")], width=6),
            Panel("Events set aside", "Messages that break the contract, by reason.", [Query(f"sum by (dataset, reason) (increase({m.COLLECTOR_ASIDE.name}{_R}))", "{{dataset}}: {{reason}}")], width=6),
            Panel("Events lost", "Retention took them before they were read: the topic's retention is too short, or the collector was down too long.",
                  [Query(f"sum by (dataset) (increase({m.COLLECTOR_LOST.name}{_R}))", "{{dataset}}")], width=6),
        ]),
        Row("Collectors", [
            Panel("Lag of the collectors", "Messages that are not written down.", [Query(_latest(m.COLLECTOR_LAG, "dataset"), "{{dataset}}")]),
            Panel("Messages written down", "A second.", [Query(_rate(m.COLLECTED, "dataset"), "{{dataset}}")], "cps"),
            Panel("Versions of days", "Committed by this process; a late message makes a further version of its day.", [Query(_latest(m.COLLECTED_DAYS, "dataset"), "{{dataset}}")]),
        ]),
    ],
)  # fmt: skip

PIPELINE: Final = Dashboard(
    "pipeline", "ok_ml · pipeline", "Runs and their steps: how long, how much, with what success.",
    [
        Row("Now", [
            Panel("Time to build", "From the commit of the newest day's log to its predictions being live.", [Query(f"max({m.BUILD_SECONDS.name}{{{_E}}})", "build")], "s", "stat", None, 4),
            Panel("Prediction stage", "The last run of the step predictions.", [Query(f'max({m.STEP_SECONDS.name}{{step="predictions",scope=~"$experiment"}})', "predictions")], "s", "stat", None, 4),
            Panel("Failed runs, 1 h", "Of Dagster, all jobs.", [Query(f'round(sum(increase({m.RUNS.name}{{outcome="failure"}}[1h])))', "failed")], "short", "stat", (0.5, 3), 4),
            Panel("Runs waiting", "Queued runs. It stays above 0: runs take longer than days go by.", [Query(f'max({m.RUNS_OPEN.name}{{state="queued"}})', "queued")], "short", "stat", (3, 10), 4),
            Panel("Peak memory", "Largest of the last run of any step.", [Query(f"max({m.STEP_MEMORY.name})", "memory")], "bytes", "stat", None, 4),
            _alive(),
        ]),
        Row("From a day to what is served", [
            Panel("Time to build the recommendations", "From the commit of the day's log to live.", [Query(_latest(m.BUILD_SECONDS, "experiment", _E), "{{experiment}}")], "s"),
            Panel("Serving steps", "predictions, publication and live_predictions, last run of each.",
                  [Query(f'max by (step) ({m.STEP_SECONDS.name}{{step=~"predictions|publication|live_predictions",scope=~"$experiment"}})', "{{step}}")], "s", stacked=True),
            Panel("Days of the simulated network", "Committed by the clock within the hour before.", [Query(f"sum by (dataset) (increase({m.CLOCK_DAYS.name}[1h]))", "{{dataset}}")], "short", width=4),
            Panel("Days to ingest", "Of the simulated network: between the clock's newest day and the newest events.", [Query(_WAITING, "{{dataset}}")], "short", width=4),
        ]),
        Row("Steps", [
            Panel("Seconds", "Last run of each step.", [Query(f"topk(12, {_latest(m.STEP_SECONDS, 'scope, step')})", "{{scope}}/{{step}}")], "s", "bars"),
            Panel("Peak memory", "Last run of each step, all of its processes together.", [Query(f"topk(12, {_latest(m.STEP_MEMORY, 'scope, step')})", "{{scope}}/{{step}}")], "bytes", "bars"),
            Panel("Rows", "That the last run of each step committed.", [Query(f"topk(12, {_latest(m.STEP_ROWS, 'scope, step')})", "{{scope}}/{{step}}")], "short", "bars"),
            Panel("Steps by outcome", "Within the hour before.", [Query(f"sum by (outcome) (increase({m.STEPS.name}[1h]))", "{{outcome}}")], "short"),
            Panel("Since the last run of a step", "The longest waiting first.", [Query(f"topk(8, {_age(m.STEP_FINISHED, 'scope, step')})", "{{scope}}/{{step}}")], "s"),
            Panel("`ok-ml run`", "Time of the last headless run.", [Query(_latest(m.HEADLESS_SECONDS, "experiment", _E), "{{experiment}}")], "s", width=4),
            Panel("`ok-ml run`, memory", "Most resident memory.", [Query(_latest(m.HEADLESS_MEMORY, "experiment", _E), "{{experiment}}")], "bytes", width=4),
        ]),
        Row("Dagster", [
            Panel("Runs by outcome", "Within the hour before.", [Query(f"sum by (outcome) (increase({m.RUNS.name}[1h]))", "{{outcome}}")], "short", width=6),
            Panel("Time of the last run", "By job, those that ended well.", [Query(f'max by (dagster_job) ({m.RUN_SECONDS.name}{{outcome="success"}})', "{{dagster_job}}")], "s", width=6),
            Panel("Since the last failure", "By job; no line: it never failed.", [Query(f'time() - max by (dagster_job) ({m.RUN_FINISHED.name}{{outcome="failure"}})', "{{dagster_job}}")], "s", width=6),
            Panel("Runs in progress", "Queued and started.", [Query(_latest(m.RUNS_OPEN, "state"), "{{state}}")], "short", width=3),
            Panel("Calls outside", "Of the address that waits for the heartbeat, an hour.", [Query(f"sum by (outcome) (increase({m.PINGS.name}[1h]))", "{{outcome}}")], "short", width=3),
        ]),
    ],
)  # fmt: skip

_LISTS: Final = 'metric=~"(hit_rate|recall|ndcg)@10(/3d)?",group="",' + _E

QUALITY: Final = Dashboard(
    "quality", "ok_ml · data and models", "Whether data are there and like themselves, and what people do with what they are served.",
    [
        Row("Now", [
            Panel("Open errors", "Incidents of severity error; `ok-ml incidents` lists them.", [Query(f'max({m.INCIDENTS.name}{{severity="error"}})', "errors")], "short", "stat", (1, 1), 4),
            Panel("Open warnings", "Incidents of severity warn.", [Query(f'max({m.INCIDENTS.name}{{severity="warn"}})', "warnings")], "short", "stat", (1, 5), 4),
            Panel("Features blocked", "1: the newest day's features may not be served; the last good generation is.", [Query(f"max({m.BLOCKED.name}{{{_E}}})", "blocked")], "none", "stat", (1, 1), 4),
            Panel("Largest PSI", "Of the newest day's features against the champion's reference.", [Query(f"max({m.DRIFT_PSI.name}{{{_E}}})", "psi")], "none", "stat", (0.1, 0.25), 4),
            Panel("Newest events", "Since the newest day of events was committed.", [Query(f'time() - max({m.NEWEST_COMMIT.name}{{table="events"}})', "events")], "s", "stat", None, 4),
            _alive(),
        ]),
        Row("Data", [
            Panel("Since the newest commit", "Of each dataset's events and each experiment's features and predictions.",
                  [Query(f'time() - max by (scope, table) ({m.NEWEST_COMMIT.name}{{table=~"events|user_features|predictions"}})', "{{scope}}/{{table}}")], "s"),
            Panel("Behind the newest table", "Newest day of each table against the newest of the same dataset or experiment, in days.",
                  [Query(f"topk(8, ({_NEWEST}) / 86400)", "{{scope}}/{{table}}")], "short"),
            Panel("Rows of the newest day", "Events and users.", [Query(f'max by (scope, table) ({m.NEWEST_ROWS.name}{{table=~"events|users"}})', "{{scope}}/{{table}}")], "short"),
        ]),
        Row("Drift", [
            Panel("Largest PSI of any feature", "Newest day against the champion's reference; a retraining brings a new reference.", [Query(_latest(m.DRIFT_PSI, "experiment", _E), "{{experiment}}")], "none", limits=(0.1, 0.25), width=12),
            Panel("Blocked and open", "Whether features are blocked, and how many incidents are open.",
                  [Query(_latest(m.BLOCKED, "experiment", _E), "{{experiment}} blocked"), Query(_latest(m.INCIDENTS, "severity"), "incidents: {{severity}}")], "short", width=12),
        ]),
        Row("What people do with it", [
            Panel("Lists that hit", "Reactions of the day to the lists that were served on it.", [Query(_latest(m.ONLINE, "metric", _LISTS), "{{metric}}")], "none"),
            Panel("Reaction rate by channel", "Posts that earned a reaction / posts shown, by how they came to the user.",
                  [Query(_latest(m.ONLINE, "metric", f'metric=~"reaction_rate_.*",group="",{_E}'), "{{metric}}")], "percentunit"),
            Panel("ndcg by model", "A better model raises it.", [Query(_latest(m.ONLINE, "group, metric", f'metric=~"ndcg@[0-9]+",group=~"model.*",{_E}'), "{{group}} {{metric}}")], "none"),
            Panel("What people did", "Numbers of the newest day, for each active user.", [Query(_latest(m.PRODUCT, "dataset, metric", 'metric=~".*_per_active_user",group=""'), "{{dataset}}: {{metric}}")], "short", width=12),
            Panel("Active users", "On the newest day.", [Query(_latest(m.PRODUCT, "dataset", 'metric="active_users",group=""'), "{{dataset}}")], "short", width=6),
            Panel("Since data were looked at", "The heartbeat and each run look; metrics of data are as old as this.", [Query(_age(m.WRITTEN, "process", 'process="data"'), "{{process}}")], "s", width=6),
        ]),
    ],
)  # fmt: skip

DASHBOARDS: Final = (SERVICE, DELIVERY, PIPELINE, QUALITY)
# On no panel: it is a setting, told so that Prometheus' rules can compare with it.
NOT_SHOWN: Final = frozenset({m.HEARTBEAT_LIMIT.name})


def main() -> int:
    """Write every dashboard; returns the exit code."""
    FOLDER.mkdir(exist_ok=True)
    for dashboard in DASHBOARDS:
        path = FOLDER / f"{dashboard.name}.json"
        path.write_text(as_json(dashboard), encoding="utf-8")
        sys.stderr.write(f"{path.name}  {path.stat().st_size / 1000:.0f} KB\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
