"""`qlrf canary`: samples from files, and a live look over HTTP."""

import json
import random
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from click.testing import CliRunner, Result

from qlrf_pipelines.cli.main import cli
from qlrf_pipelines.domain.errors import Rejected
from tests.fakes.clock import NOON
from tests.fakes.metrics import MetricsServer


def qlrf(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["canary", *map(str, arguments)], standalone_mode=False)


def samples(path: Path, mean: float, *, errors: int = 0, seed: int = 1) -> Path:
    rng = random.Random(seed)
    lines = ["metric,value"]
    lines += [f"latency-p99,{rng.gauss(mean, mean / 20)}" for _ in range(40)]
    for _ in range(40):
        lines += [f"error-rate:events,{errors}", "error-rate:total,500"]
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize(
    ("mean", "errors", "code"), [(0.1, 0, 0), (0.14, 0, 3), (0.1, 20, 1), (0.6, 20, 1)]
)
def test_the_exit_code_is_the_verdict(tmp_path: Path, mean, errors, code) -> None:
    baseline = samples(tmp_path / "b.csv", 0.1)
    canary = samples(tmp_path / "c.csv", mean, errors=errors, seed=2)

    found = qlrf("judge", "--baseline", baseline, "--canary", canary, "--template", "standard")

    assert found.return_value == code
    assert "latency-p99" in found.stdout


def test_without_a_template_every_metric_of_the_files_is_critical(tmp_path: Path) -> None:
    baseline, canary = samples(tmp_path / "b.csv", 0.1), samples(tmp_path / "c.csv", 0.2)

    found = qlrf("judge", "--baseline", baseline, "--canary", canary, "--json")

    said = json.loads(found.stdout)
    assert found.return_value == 1
    assert {f["metric"]: f["verdict"] for f in said["findings"]} == {
        "latency-p99": "fail",
        "error-rate": "pass",
    }
    assert said["findings"][0]["shift_percent"] == pytest.approx(100, abs=10)


def test_samples_that_should_be_there_and_are_not_keep_it_from_passing(tmp_path: Path) -> None:
    baseline, canary = samples(tmp_path / "b.csv", 0.1), samples(tmp_path / "c.csv", 0.1, seed=2)

    arguments = ("judge", "--baseline", baseline, "--canary", canary)
    assert qlrf(*arguments).return_value == 0
    assert qlrf(*arguments, "--samples", "60").return_value == 3


def test_times_show_which_samples_are_missing(tmp_path: Path) -> None:
    rows = [f"{name},{i},{1 + i % 7 / 100}" for i in range(40) for name in ("a", "b")]
    whole, part = tmp_path / "whole.csv", tmp_path / "part.csv"
    whole.write_text("metric,time,value\n" + "\n".join(rows))
    part.write_text("metric,time,value\n" + "\n".join(r for r in rows if r < "b,2"))

    assert qlrf("judge", "--baseline", whole, "--canary", whole).return_value == 0
    assert qlrf("judge", "--baseline", whole, "--canary", part).return_value == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,value\na,1", "first line"),
        ("", "first line"),
        ("metric,value\na,fast", "c.csv:2"),
        ("metric,value\na", "2 fields"),
        ("metric,time,value\na,1,1\na,1,2", "two values"),
    ],
)
def test_a_file_that_is_no_samples_is_refused_with_its_line(tmp_path: Path, text, words) -> None:
    baseline = samples(tmp_path / "b.csv", 1)
    odd = tmp_path / "c.csv"
    odd.write_text(text)

    found = qlrf("judge", "--baseline", baseline, "--canary", odd)

    assert isinstance(found.exception, Rejected)
    assert words in str(found.exception)


def write_analysis(path: Path, url: str) -> Path:
    text = Path("policies/canary/basic.yaml").read_text()
    scopes = "{baseline: 'track=\"stable\"', canary: 'track=\"canary\"'}"
    spec = f"spec:\n  provider: {{kind: prometheus, url: '{url}'}}\n  scopes: {scopes}\n"
    path.write_text(text.replace("spec:\n", spec, 1))
    return path


def prometheus_with(canary_errors: int) -> MetricsServer:
    def answer(_path, _headers, body):
        asked = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        start, end, step = (float(asked[name]) for name in ("start", "end", "step"))
        value = 1000
        if "5.." in asked["query"]:
            value = canary_errors if 'track="canary"' in asked["query"] else 0
        moments = range(round((end - start) / step) + 1)
        values = [[start + i * step, str(value)] for i in moments]
        return 200, {"status": "success", "data": {"result": [{"metric": {}, "values": values}]}}

    return MetricsServer(answer)


@pytest.mark.parametrize(("errors", "code", "looks"), [(0, 0, 5), (30, 1, 1)])
def test_a_live_canary_is_watched_until_its_verdict(tmp_path: Path, errors, code, looks) -> None:
    start = (NOON - timedelta(days=900)).isoformat()
    with prometheus_with(errors) as server:
        file = write_analysis(tmp_path / "a.yaml", server.url)
        found = qlrf("watch", "--analysis", file, "--start", start)

    assert found.return_value == code
    assert found.stdout.count(" of 5: ") == looks
    assert f"look {looks} of 5: " in found.stdout


def test_a_metrics_server_that_is_down_holds_and_says_so(tmp_path: Path) -> None:
    file = write_analysis(tmp_path / "a.yaml", "http://127.0.0.1:9")
    start = datetime.fromisoformat("2020-01-01T00:00:00+00:00").isoformat()

    found = qlrf("watch", "--analysis", file, "--start", start)

    assert found.return_value == 3
    assert "refused" in found.stdout + found.stderr


@pytest.mark.parametrize("start", ["yesterday", "2026-11-01T12:00:00"])
def test_a_start_that_is_no_moment_is_refused(tmp_path: Path, start: str) -> None:
    file = write_analysis(tmp_path / "a.yaml", "http://127.0.0.1:9")

    found = qlrf("watch", "--analysis", file, "--start", start)

    assert isinstance(found.exception, Rejected)


def test_a_start_that_has_not_come_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    file = write_analysis(tmp_path / "a.yaml", "http://127.0.0.1:9")

    found = qlrf("watch", "--analysis", file, "--start", "9999-01-01T00:00:00Z")

    assert isinstance(found.exception, Rejected)
    assert "has not come yet" in str(found.exception)


def test_an_analysis_nobody_wrote_is_bad_usage_and_no_failed_canary(tmp_path: Path) -> None:
    file = samples(tmp_path / "b.csv", 1)

    judged = qlrf("judge", "--baseline", file, "--canary", file, "--template", "basik")
    watched = qlrf("watch", "--analysis", tmp_path / "nobody.yaml")

    for found in (judged, watched):
        assert isinstance(found.exception, Rejected)
        assert "There is no canary analysis" in str(found.exception)
