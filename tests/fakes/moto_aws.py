"""Moto as an AWS on loopback, filled by plain calls; one server for the whole test run."""

import functools
import logging
import urllib.request
from collections.abc import Sequence
from typing import Any

import boto3
from moto import backends
from moto.core import responses
from moto.ec2.models.amis import AMIS, Ami, AmiBackend
from moto.server import ThreadedMotoServer

from qlrf_pipelines.domain.estate import Connector, TenantId
from qlrf_pipelines.domain.vocabulary import Platform
from resources.clouds.aws.executor import AwsExecutor
from resources.clouds.aws.inventory import AwsCloud
from resources.clouds.patience import Patience
from resources.secrets import Secrets
from tests.fakes.moto_execution import extend_moto_for_execution
from tests.fakes.moto_patch import extend_moto, patch_state

OWN = "123456789012"  # whose account moto gives to whoever did not assume a role
ENV = {"KEY": "AKIAEXAMPLE", "SECRET": "example"}
REFERENCES = {"accessKeyId": "env:KEY", "secretAccessKey": "env:SECRET"}
KEYS = {"aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": "example"}
IMAGE = "ami-12c6146b"  # what machines are made of where nobody says otherwise


class MotoAws:
    """The server, and the worlds one can put into it."""

    def __init__(self) -> None:
        logging.getLogger("werkzeug").disabled = True
        _quicken_moto()
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.url = f"http://{host}:{port}"
        self._clients: dict[tuple[str, str], Any] = {}
        self.patches: dict[str, dict[str, Any]] = {}
        extend_moto(self._patch_states)
        self.execution = extend_moto_for_execution()

    def reset(self) -> None:
        """An empty world."""
        self.patches.clear()
        self.execution.clear()
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/moto-api/reset", method="POST"))

    def client(self, service: str, region: str = "us-east-1", *, account: str = OWN) -> Any:
        """A plain boto3 client in one of the accounts; in our own always the same one."""
        if account == OWN:
            if (service, region) not in self._clients:
                self._clients[service, region] = self._made(service, region, **KEYS)
            return self._clients[service, region]
        given = self.client("sts").assume_role(RoleArn=role(account), RoleSessionName="test")
        return self._made(
            service,
            region,
            aws_access_key_id=given["Credentials"]["AccessKeyId"],
            aws_secret_access_key=given["Credentials"]["SecretAccessKey"],
            aws_session_token=given["Credentials"]["SessionToken"],
        )

    def _made(self, service: str, region: str, **keys: str) -> Any:
        return _session().client(service, region_name=region, endpoint_url=self.url, **keys)

    def image(self, region: str = "us-east-1", *, account: str = OWN, **tags: str) -> str:
        """Register an image."""
        ec2 = self.client("ec2", region, account=account)
        ref: str = ec2.register_image(Name=f"image-{len(tags)}")["ImageId"]
        if tags:
            ec2.create_tags(Resources=[ref], Tags=[{"Key": k, "Value": v} for k, v in tags.items()])
        return ref

    def run(
        self, count: int = 1, *, region: str = "us-east-1", account: str = OWN, **options: Any
    ) -> list[str]:
        """Start instances, one reservation each, as moto pages by reservation."""
        ec2 = self.client("ec2", region, account=account)
        options.setdefault("ImageId", IMAGE)
        started = [
            ec2.run_instances(MinCount=1, MaxCount=1, **options)["Instances"][0]
            for _ in range(count)
        ]
        return [item["InstanceId"] for item in started]

    def _patch_states(
        self, account: str, region: str, asked: Sequence[str]
    ) -> list[dict[str, Any]]:
        known = [instance_id for instance_id in asked if instance_id in self.patches]
        return [patch_state(i) | self.patches[i] for i in known]


def _quicken_moto() -> None:
    """What moto looks up anew for every request stays the same: its services and their calls."""
    AmiBackend._load_amis = _published
    services = tuple(backends.list_of_moto_modules())
    backends.list_of_moto_modules = lambda: services
    responses.method_names_from_class = functools.cache(responses.method_names_from_class)


def _published(backend: AmiBackend) -> None:
    """Only one of the images of Amazon's: with all, a region begins with a thousand snapshots."""
    [image] = [one for one in AMIS if one["ami_id"] == IMAGE]
    backend.amis[IMAGE] = Ami(backend, **image)


@functools.cache
def moto_aws() -> MotoAws:
    """The one server of this test run."""
    return MotoAws()


@functools.cache
def _session() -> boto3.Session:
    return boto3.Session()


def role(account: str) -> str:
    """A role that leads into an account."""
    return f"arn:aws:iam::{account}:role/qlrf"


def aws_cloud(**options: Any) -> AwsCloud:
    """The adapter, impatient: one attempt, and half a second for each answer."""
    patience = {"max_attempts": 1, "read_timeout": 5} | options
    return AwsCloud(secrets=Secrets(ENV), patience=Patience(**patience))


def aws_executor(**options: Any) -> AwsExecutor:
    """The executor, impatient in the same way."""
    return AwsExecutor(secrets=Secrets(ENV), **({"max_attempts": 1, "read_timeout": 5} | options))


def aws_connector(endpoint_url: str, **fields: Any) -> Connector:
    """A connector of tenant acme to an endpoint."""
    chosen = {"tenant": TenantId("acme"), "name": "aws-main", "credentials": REFERENCES} | fields
    return Connector(platform=Platform.AWS, endpoint_url=endpoint_url, **chosen)
