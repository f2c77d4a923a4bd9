"""Discovery as a whole process, stored in a Delta lake, beside serial boto3 that stores nothing.

Both ask the same replay server (its own process) for the same things: 6 000 instances in 4
regions with their volumes, security groups, images and patch states. Cloud Custodian reads
instances, volumes, groups and images of it. Bytecode is cached for all of them alike.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

CACHE = Path.home() / ".cache" / "qlrf" / "bench"
CUSTODIAN = CACHE / "c7n-venv"
REGIONS = ("us-east-1", "eu-west-1", "ap-south-1", "us-west-2")
INSTANCES, REPETITIONS = 6_000, 5
MEMORY_SIZES = (20_000, 100_000)
MOST_MIB, MOST_GROWTH = 400, 1.25
KEYS = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "example"}
POLICIES = {"policies": [
    {"name": f"all-{kind.removeprefix('aws.')}", "resource": kind}
    for kind in ("aws.ec2", "aws.ebs", "aws.security-group", "aws.ami")
]}  # fmt: skip

Row = dict[str, object]


def measure() -> list[Row]:
    """Time against serial boto3 and Cloud Custodian, with and without slow replies; memory."""
    custodian = _custodian()
    rows: list[Row] = []
    with _replay(INSTANCES) as url:
        for runner in (_ours, _floor):
            runner(url)  # fills the bytecode cache
        contestants = {"ours": _ours, "floor": _floor}
        if custodian is None:
            contestants["custodian"] = _custodian_run
        medians = _interleaved(url, contestants)
        rows.append(_against_boto3("discovery, 6 000 instances in 4 regions, stored", medians))
        rows.append(_against_custodian(medians, custodian))
    with _replay(INSTANCES, delay=0.5) as url:
        medians = _interleaved(url, {"ours": _ours, "floor": _floor})
        rows.append(_against_boto3("the same, every reply after 500 ms", medians))
    return rows + _memory()


def _interleaved(url: str, contestants: dict[str, Callable[[str], float]]) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(REPETITIONS):
        for name, run in contestants.items():
            times[name].append(run(url))
    return {name: statistics.median(found) for name, found in times.items()}


def _against_boto3(what: str, medians: dict[str, float]) -> Row:
    ratio = medians["ours"] / medians["floor"]
    return {
        "what": what,
        "ours": medians["ours"],
        "floor": medians["floor"],
        "ratio": ratio,
        "must": "<= 0.5 x serial boto3",
        "unit": "s",
        "ok": ratio <= 0.5,
        "detail": f"medians of {REPETITIONS} interleaved whole processes",
    }


def _against_custodian(medians: dict[str, float], problem: str | None) -> Row:
    theirs = medians.get("custodian")
    faster = theirs / medians["ours"] if theirs else None
    return {
        "what": "the same, beside Cloud Custodian",
        "ours": medians["ours"],
        "floor": theirs,
        "ratio": faster,
        "must": ">= 2.5 x faster, aim 4 x",
        "unit": "s",
        "ok": None if faster is None else faster >= 2.5,
        "detail": problem or "it reads instances, volumes, groups and images, no patch states",
    }


def _memory() -> list[Row]:
    peaks = {}
    for size in MEMORY_SIZES:
        with _replay(size) as url:
            peaks[size] = _peak_mib(url)
    small, large = (peaks[size] for size in MEMORY_SIZES)
    return [
        {
            "what": f"discovery peak memory, {MEMORY_SIZES[1]} instances",
            "ours": large,
            "floor": small,
            "ratio": large / small,
            "must": f"<= {MOST_MIB} MiB, within 25 % of {MEMORY_SIZES[0]} instances",
            "unit": "MiB",
            "ok": large <= MOST_MIB and large <= MOST_GROWTH * small,
            "detail": "VmHWM of the one process there is",
        }
    ]


def _environment() -> dict[str, str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "QLRF_"))}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    return env | {"PYTHONPYCACHEPREFIX": str(CACHE / "bytecode"), "PYTHONPATH": os.getcwd()} | KEYS


@contextmanager
def _replay(instances: int, *, delay: float = 0) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.fakes.aws_replay", "--instances", str(instances),
               "--regions", ",".join(REGIONS), "--delay", str(delay)]  # fmt: skip
    with subprocess.Popen(command, env=_environment(), stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
        finally:
            server.kill()


def _timed(command: list[str], **options: object) -> float:
    started = time.perf_counter()
    subprocess.run(
        command, check=True, stdout=subprocess.DEVNULL, **({"env": _environment()} | options)
    )
    return time.perf_counter() - started


def _ours(url: str) -> float:
    with tempfile.TemporaryDirectory(prefix="qlrf-discovery-") as home:
        return _timed([sys.executable, "-m", "bench.discovery", "ours", url, home])


def _floor(url: str) -> float:
    return _timed([sys.executable, "-m", "bench.discovery", "floor", url])


def _custodian_run(url: str) -> float:
    with tempfile.TemporaryDirectory(prefix="c7n-") as folder:
        policy = Path(folder) / "policies.json"
        policy.write_text(json.dumps(POLICIES))
        regions = [word for region in REGIONS for word in ("-r", region)]
        command = [str(CUSTODIAN / "bin" / "custodian"), "run", "-s", f"{folder}/out",
                   "--cache-period", "0", *regions, str(policy)]  # fmt: skip
        env = _environment() | {"AWS_ENDPOINT_URL": url}
        return _timed(command, env=env, stderr=subprocess.DEVNULL)


def _custodian() -> str | None:
    """Why Cloud Custodian cannot be compared with; None when it can."""
    if (CUSTODIAN / "bin" / "custodian").exists():
        return None
    commands = [
        [sys.executable, "-m", "venv", str(CUSTODIAN)],
        [str(CUSTODIAN / "bin" / "pip"), "install", "--quiet", "c7n"],
    ]
    try:
        for command in commands:
            subprocess.run(command, check=True, capture_output=True, timeout=600)
    except (OSError, subprocess.SubprocessError):
        return "skipped; install it by: " + " && ".join(" ".join(command) for command in commands)
    return None


def _peak_mib(url: str) -> float:
    with tempfile.TemporaryDirectory(prefix="qlrf-discovery-") as home:
        told = subprocess.run(
            [sys.executable, "-m", "bench.discovery", "ours", url, home],
            env=_environment(),
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
    return float(json.loads(told.stdout)["peak_mib"])


def discover(url: str, home: str) -> None:
    """Discover everything and store it: the service, the real adapter, the real lake."""
    from qlrf_pipelines.domain.estate import Connector, Tenant, TenantId
    from qlrf_pipelines.domain.vocabulary import Platform
    from qlrf_pipelines.services.inventory import refresh_inventory
    from qlrf_pipelines.settings import Settings
    from resources.clock import SystemClock
    from resources.clouds.aws.inventory import AwsCloud
    from resources.clouds.patience import Patience
    from resources.engine import DuckDbEngine
    from resources.lake import DeltaLake
    from resources.secrets import Secrets
    from tests.fakes.world import fake_world

    settings = Settings.from_env({"QLRF_HOME": home})
    name = TenantId("acme")
    references = {"accessKeyId": "env:KEY", "secretAccessKey": "env:SECRET"}
    connector = Connector(
        tenant=name,
        name="aws-main",
        platform=Platform.AWS,
        regions=REGIONS,
        endpoint_url=url,
        credentials=references,
    )
    cloud = AwsCloud(
        secrets=Secrets({"KEY": "AKIAEXAMPLE", "SECRET": "example"}),
        patience=Patience(max_attempts=6, pool_size=settings.workers),
    )
    world = fake_world(
        clock=SystemClock(),
        clouds={Platform.AWS: cloud},
        lake=DeltaLake(settings.lake_uri),
        engine=DuckDbEngine(settings),
    )
    tenant = Tenant(name=name, display_name="Acme", connectors=(connector,))
    report = refresh_inventory(world, [tenant], workers=settings.workers, lock_wait=1)
    # Not ru_maxrss: the kernel hands a child its parent's peak on the way through exec.
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    print(json.dumps({"report": str(report)[:2000], "peak_mib": round(peak)}))


def list_serially(url: str) -> None:
    """The floor: the same calls by boto3 in one thread, results dropped."""
    import boto3

    session = boto3.Session()
    session.client("sts", region_name=REGIONS[0], endpoint_url=url).get_caller_identity()
    count = 0
    for region in REGIONS:
        ec2 = session.client("ec2", region_name=region, endpoint_url=url)
        ssm = session.client("ssm", region_name=region, endpoint_url=url)
        ids, images = [], set()
        for page in ec2.get_paginator("describe_instances").paginate(
            PaginationConfig={"PageSize": 1000}
        ):
            for reservation in page["Reservations"]:
                ids += [item["InstanceId"] for item in reservation["Instances"]]
                images |= {item["ImageId"] for item in reservation["Instances"]}
        for method, size in (("describe_volumes", 500), ("describe_security_groups", 1000)):
            for page in ec2.get_paginator(method).paginate(PaginationConfig={"PageSize": size}):
                count += len(page)
        ec2.describe_images(Filters=[{"Name": "image-id", "Values": sorted(images)}])
        for at in range(0, len(ids), 50):
            ssm.describe_instance_patch_states(InstanceIds=ids[at : at + 50])
        count += len(ids)
    print(count)


if __name__ == "__main__":
    if sys.argv[1] == "ours":
        discover(*sys.argv[2:])
    elif sys.argv[1] == "floor":
        list_serially(*sys.argv[2:])
    else:
        for measured in measure():
            print(json.dumps(measured))
