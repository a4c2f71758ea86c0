"""Features of each day's texts, and the numbers of its texts by day."""

from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa

from ok_ml import columns as c
from ok_ml.lake import Manifest
from ok_ml.pipelines.text_classification.plan import LabelPlan
from ok_ml.quality.statistics.number_series import GROUP, METRIC, Name, Number, series_table
from ok_ml.texts.text_features import TEXT_FEATURES, feature_matrix

_MOST_LABELS = 30  # whose shares are watched: the most frequent ones


def build_text_features(pipeline: LabelPlan, dts: list[str], *, progress: Callable[[str], None]) -> list[Manifest]:
    """Commit the features of some days' texts, one row a text."""
    built = []
    for dt in dts:
        inputs = pipeline.inputs_of(c.TEXT_FEATURES, dt)
        rows = pipeline.lake.read(pipeline.dataset_scope, c.TEXTS, [dt])
        values = feature_matrix(rows[c.TEXT].to_pylist())
        columns = {feature.name: pa.array(values[:, at]) for at, feature in enumerate(TEXT_FEATURES)}
        table = pa.table({c.TEXT_ID: rows[c.TEXT_ID], c.PART: rows[c.PART], **columns})
        built.append(
            pipeline.lake.write(
                pipeline.name, c.TEXT_FEATURES, dt, table, sort_by=[c.TEXT_ID], inputs=inputs, by_part=True
            )
        )
        progress(f"features of {table.num_rows:,} texts of {dt}")
    return built


def build_text_statistics(pipeline: LabelPlan, dts: list[str]) -> list[Manifest]:
    """Commit the numbers of some days' texts."""
    built = []
    for dt in dts:
        inputs = pipeline.inputs_of(c.TEXT_STATISTICS, dt)
        numbers = list(_numbers(pipeline, dt))
        built.append(
            pipeline.lake.write(
                pipeline.name,
                c.TEXT_STATISTICS,
                dt,
                series_table(numbers),
                sort_by=[METRIC, GROUP],
                inputs=inputs,
            )
        )
    return built


def _numbers(pipeline: LabelPlan, dt: str) -> Iterator[Number]:
    manifest = pipeline.lake.manifest(pipeline.dataset_scope, c.TEXTS, dt)
    rows = pipeline.lake.read(pipeline.dataset_scope, c.TEXTS, [dt], columns=[c.TEXT, c.LABEL])
    counted = Counter(rows[c.LABEL].to_pylist())
    unlabelled, texts = counted.pop(None, 0), rows.num_rows
    labelled, rejected = texts - unlabelled, sum(manifest.details["rejected"].values())
    lengths = np.array([len(text) for text in rows[c.TEXT].to_pylist()], np.float64)
    yield Number(Name("texts"), float(texts), texts)
    yield Number(Name("labelled_share"), labelled / texts if texts else None, texts)
    yield Number(Name("rejected_share"), rejected / (texts + rejected) if texts + rejected else None, texts + rejected)
    yield Number(Name("characters_mean"), float(lengths.mean()) if texts else None, texts)
    yield Number(Name("characters_q50"), float(np.median(lengths)) if texts else None, texts)
    for label, count in sorted(counted.most_common(_MOST_LABELS)):
        yield Number(Name("label_share", str(label)), count / labelled if labelled else None, labelled)
