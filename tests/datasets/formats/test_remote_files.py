"""Raw files behind a URI. `file://` goes the way that every URI goes; S3 is spoken to a small server of this test."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest

from ok_ml.datasets.canonical.dataset_calendar import partitions_of
from ok_ml.datasets.canonical.ingest import ingest_events
from ok_ml.datasets.formats.locations import content_version, dates_of, files_of
from ok_ml.datasets.formats.remote_files import fault_of, remote_files
from ok_ml.errors import ConfigError, DataError, EnvironmentFault, ServiceUnavailable
from ok_ml.lake import Lake
from tests.datasets.raw_log import HEADER, dataset, write_log

DAY_1, DAY_2 = "2024-03-01", "2024-03-02"
KEY = "tiny.events.path"


def logs(root: Path) -> None:
    for day in (DAY_1, DAY_2):
        for name in ("a", "b"):
            write_log(root, f"1,2,{ord(name)},liked,{day}", name=f"logs/dt={day}/{name}.csv")
    (root / "logs" / "readme").write_text("no log")


def test_a_file_uri_is_read_like_the_path(tmp_path: Path, lake: Lake) -> None:
    logs(tmp_path)
    plain = dataset({"path": "logs/dt={dt}/*.csv"})
    named = dataset({"path": f"file://{tmp_path}/logs/dt={{dt}}/[ab].csv"})
    assert partitions_of(named, lake, root=Path("/nowhere")) == [DAY_1, DAY_2]
    found = ingest_events(named, lake, [DAY_1, DAY_2], root=Path("/nowhere"))
    wanted = ingest_events(plain, Lake(tmp_path / "other"), [DAY_1, DAY_2], root=tmp_path)
    assert [r.manifest.data_version for r in found] == [r.manifest.data_version for r in wanted]
    assert [r.manifest.inputs["raw"] for r in found] == [r.manifest.inputs["raw"] for r in wanted]  # bytes, not times
    assert found[0].manifest.rows == 2


def test_globs_of_a_uri_match_as_those_of_a_path(tmp_path: Path) -> None:
    logs(tmp_path)
    for pattern in ("*/a.csv", "**/*.csv", "dt=2024-03-0?/b.csv", "dt=*/[!a].csv", "dt=2024-03-01/a.csv", "*"):
        named = [file.path for file in remote_files(f"file://{tmp_path}/logs/{pattern}", KEY)]
        assert named == [str(path) for path in files_of(f"logs/{pattern}", tmp_path, KEY)], pattern
    [file] = remote_files(f"file://{tmp_path}/logs/**/a.csv", KEY)[:1]
    assert str(file) == f"file://{tmp_path}/logs/dt={DAY_1}/a.csv"
    assert dates_of(f"file://{tmp_path}/logs/dt={{dt}}/*.csv", tmp_path, KEY) == [DAY_1, DAY_2]


def test_a_uri_without_files_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"(?s){KEY}: no file matches file:///no/such/\*\.csv.*put the file there"):
        files_of("file:///no/such/*.csv", tmp_path, KEY)


def test_uris_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"(?s)carries credentials.*take them out of the path") as refused:
        remote_files("s3://someone:hidden@bucket/a.csv", KEY)
    assert "hidden" not in str(refused.value)
    with pytest.raises(ConfigError, match=r"nosuch://bucket/a\.csv is no URI that can be read.*(?s:.)*write file:///"):
        remote_files("nosuch://bucket/a.csv", KEY)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (
            "When listing objects: AWS Error NETWORK_CONNECTION during ListObjectsV2: curlCode: 7, Couldn't connect",
            ServiceUnavailable,
        ),
        ("AWS Error NETWORK_CONNECTION: Failed to connect to 127.0.0.1 port 34041 after 0 ms", ServiceUnavailable),
        ("AWS Error UNKNOWN (HTTP status 404) during HeadObject operation: No response body.", DataError),
        ("AWS Error SLOW_DOWN during GetObject operation: Please reduce your request rate.", ServiceUnavailable),
        ("Bucket 'x' not found", DataError),
        ("AWS Error NO_SUCH_BUCKET during ListObjectsV2 operation: The specified bucket does not exist", DataError),
        ("AWS Error ACCESS_DENIED during HeadObject operation: No response body.", EnvironmentFault),
        ("Unable to load libhdfs: libhdfs.so: cannot open shared object file", EnvironmentFault),
    ],
)
def test_what_an_error_of_a_file_system_means(said: str, kind: type[Exception]) -> None:
    fault = fault_of(OSError(said), "s3://x/a.csv?scheme=http", KEY)
    assert type(fault) is kind
    assert "tiny.events.path" in str(fault)
    assert "why it matters" in str(fault)
    assert "what to do" in str(fault)


# -- S3 ------------------------------------------------------------------------------------------------------------


class S3(ThreadingHTTPServer):
    """The part of the S3 protocol that readers use, over objects in memory. Signatures are not checked."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.refuses = False
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: S3

    def do_HEAD(self) -> None:
        self._object(body=False)

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = parse_qs(url.query, keep_blank_values=True)
        if "list-type" not in query:
            self._object(body=True)
            return
        bucket, prefix = url.path.strip("/"), query.get("prefix", [""])[0]
        names = [
            n.removeprefix(f"{bucket}/") for n in sorted(self.server.objects) if n.startswith(f"{bucket}/{prefix}")
        ]
        if self.server.refuses or bucket != "bucket":
            code = "AccessDenied" if self.server.refuses else "NoSuchBucket"
            self._answer(
                403 if self.server.refuses else 404, f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
            )
            return
        listed = "".join(
            f"<Contents><Key>{escape(n)}</Key><Size>{len(self.server.objects[f'{bucket}/{n}'])}</Size>"
            "<LastModified>2024-03-03T00:00:00.000Z</LastModified></Contents>"
            for n in names
        )
        self._answer(
            200,
            f"<ListBucketResult><IsTruncated>false</IsTruncated><KeyCount>{len(names)}</KeyCount>{listed}</ListBucketResult>".encode(),
        )

    def _object(self, *, body: bool) -> None:
        if self.path.strip("/") == "bucket":
            self._answer(200, b"")
            return
        content = self.server.objects.get(unquote(urlsplit(self.path).path).strip("/"))
        if content is None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>" if body else b"")
            return
        asked = self.headers.get("Range")
        first, last = (int(end) for end in asked.removeprefix("bytes=").split("-")) if asked else (0, len(content) - 1)
        self._answer(206 if asked else 200, content[first : last + 1], body=body)

    def _answer(self, status: int, content: bytes, *, body: bool = True) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Last-Modified", "Sun, 03 Mar 2024 00:00:00 GMT")
        self.send_header("ETag", '"x"')
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    for name, value in (
        ("ACCESS_KEY_ID", "test"),
        ("SECRET_ACCESS_KEY", "test"),
        ("EC2_METADATA_DISABLED", "true"),
        ("REGION", "us-east-1"),
    ):
        monkeypatch.setenv(f"AWS_{name}", value)
    server = S3()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def uri_of(server: S3, path: str) -> str:
    return f"s3://{path}?scheme=http&region=us-east-1&endpoint_override=127.0.0.1:{server.server_port}"


def test_a_log_in_s3(tmp_path: Path, lake: Lake, s3: S3) -> None:
    for day in (DAY_1, DAY_2):
        for name in ("a", "b"):
            s3.objects[f"bucket/logs/{day}/{name}.csv"] = (HEADER + f"1,2,{ord(name)},liked,{day}\n").encode()
    config = dataset({"path": uri_of(s3, "bucket/logs/{dt}/*.csv")})
    assert partitions_of(config, lake, root=tmp_path) == [DAY_1, DAY_2]
    reports = ingest_events(config, lake, [DAY_1, DAY_2], root=tmp_path)
    assert [report.manifest.rows for report in reports] == [2, 2]
    files = files_of(uri_of(s3, "bucket/logs/2024-03-01/a.csv"), tmp_path, KEY)
    before = content_version(files)
    s3.objects["bucket/logs/2024-03-01/a.csv"] += b"5,6,7,liked,2024-03-01\n"
    assert content_version(files_of(uri_of(s3, "bucket/logs/2024-03-01/a.csv"), tmp_path, KEY)) != before
    again = ingest_events(config, lake, [DAY_1, DAY_2], root=tmp_path)
    assert [(report.written, report.manifest.rows) for report in again] == [(True, 3), (False, 2)]


def test_what_s3_says_becomes_a_clear_error(tmp_path: Path, s3: S3) -> None:
    with pytest.raises(DataError, match=r"there is no s3://elsewhere/logs/\*\.csv"):
        files_of(uri_of(s3, "elsewhere/logs/*.csv"), tmp_path, KEY)
    with pytest.raises(DataError, match=r"no file matches s3://bucket/logs/\*\.csv\n"):
        files_of(uri_of(s3, "bucket/logs/*.csv"), tmp_path, KEY)
    s3.refuses = True
    with pytest.raises(EnvironmentFault, match=r"refuses the credentials of the environment"):
        files_of(uri_of(s3, "bucket/logs/*.csv"), tmp_path, KEY)
    s3.shutdown()
    s3.server_close()
    with pytest.raises(
        ServiceUnavailable, match=r"(?s)s3://bucket/logs/\*\.csv does not answer: .*same command continues"
    ):
        files_of(uri_of(s3, "bucket/logs/*.csv"), tmp_path, KEY)
