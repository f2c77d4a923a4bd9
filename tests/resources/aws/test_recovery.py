"""What only EC2 and Route 53 can get wrong."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from qlrf_pipelines.domain.errors import Refused, Unavailable
from qlrf_pipelines.domain.operations import Status
from qlrf_pipelines.domain.recovery import MoveKind, ReplicationStatus, Serving, Side
from resources.clouds.aws.recovery import AwsRecovery
from resources.secrets import Secrets
from tests.fakes.aws_sites import AWAY, NAME, AwsSites
from tests.fakes.faulty_http import Fault, FaultyProxy
from tests.fakes.moto_aws import ENV
from tests.fakes.recovery_sites import DRILL, OTHER, a_move, finish

ISOLATE, FAIL_OVER, SWITCH = MoveKind.ISOLATE, MoveKind.FAIL_OVER, MoveKind.SWITCH
FAIL_BACK, CLEAN_UP = MoveKind.FAIL_BACK, MoveKind.CLEAN_UP


def test_replication_is_the_age_of_the_oldest_machines_newest_copy() -> None:
    sites = AwsSites(machines=2, copied=2)
    sites.image(
        sites.instances[0], region=AWAY, client=sites.away, timestamp="2026-11-25T11:59:00+00:00"
    )

    found = sites.session().replication()

    assert (found.status, found.lag_seconds) == (ReplicationStatus.IN_SYNC, 3600)
    assert sites.instances[1] in found.detail


def test_replication_lags_once_the_newest_copy_is_too_old() -> None:
    sites = AwsSites(machines=1)
    sites.clock.advance(hours=30)

    found = sites.session().replication()

    assert found.status is ReplicationStatus.LAGGING
    assert found.lag_seconds == timedelta(hours=31).total_seconds()


def test_a_machine_without_a_copy_over_there_has_failed_replication_and_no_lag() -> None:
    found = AwsSites(machines=2, copied=1).session().replication()

    assert (found.status, found.lag_seconds) == (ReplicationStatus.FAILED, None)


def test_a_copy_from_the_future_proves_nothing() -> None:
    sites = AwsSites(machines=1)
    sites.clock.advance(hours=-2)

    found = sites.session().replication()

    assert (found.status, found.lag_seconds) == (ReplicationStatus.UNKNOWN, None)


def snapshot(sites: AwsSites, instance: str, device: str, taken: str) -> str:
    """A snapshot of one disk of a machine, in the recovery region."""
    zone = f"{AWAY}a"
    volume = sites.away.create_volume(Size=8, AvailabilityZone=zone)["VolumeId"]
    marks = {"instance-id": instance, "device": device, "timestamp": taken}
    made = sites.away.create_snapshot(
        VolumeId=volume,
        TagSpecifications=[
            {
                "ResourceType": "snapshot",
                "Tags": [{"Key": k, "Value": v} for k, v in marks.items()],
            }
        ],
    )
    ref: str = made["SnapshotId"]
    return ref


def test_a_machine_is_as_old_as_its_oldest_disk() -> None:
    sites = AwsSites(machines=1, copied=0)
    machine = sites.instances[0]
    snapshot(sites, machine, "/dev/xvda", "2026-11-25T11:00:00+00:00")
    snapshot(sites, machine, "/dev/xvda", "2026-11-25T11:50:00+00:00")
    snapshot(sites, machine, "/dev/xvdb", "2026-11-25T11:30:00+00:00")

    assert sites.session().replication().lag_seconds == 30 * 60


def test_disks_without_the_root_disk_are_no_machine() -> None:
    sites = AwsSites(machines=1, copied=0)
    snapshot(sites, sites.instances[0], "/dev/xvdb", "2026-11-25T11:30:00+00:00")

    assert sites.session().replication().status is ReplicationStatus.FAILED


def test_a_machine_comes_back_from_its_snapshots_and_they_stay_when_the_drill_goes() -> None:
    sites = AwsSites(machines=1, copied=0)
    kept = snapshot(sites, sites.instances[0], "/dev/xvda", "2026-11-25T11:00:00+00:00")

    assert finish(sites, a_move(FAIL_OVER, test=True)).status is Status.SUCCEEDED
    images = [name for name in sites.session().leftovers(DRILL) if name.startswith("image")]
    assert finish(sites, a_move(CLEAN_UP, test=True)).status is Status.SUCCEEDED

    assert len(images) == 1
    assert sites.session().leftovers(DRILL) == []
    assert sites.away.describe_snapshots(SnapshotIds=[kept])["Snapshots"]


def test_a_machine_with_nothing_to_come_back_from_fails_and_launches_nothing() -> None:
    sites = AwsSites(machines=2, copied=1)
    settings = {**sites.member.settings, "copyFromPrimary": False}
    sites.member = replace(sites.member, settings=settings)

    progress = finish(sites, a_move(FAIL_OVER, test=True))

    assert progress.status is Status.FAILED
    assert f"instance-id={sites.instances[1]}" in progress.detail
    assert sites.made() == 0


@pytest.mark.parametrize(("test", "place"), [(True, "isolated"), (False, "network")])
def test_machines_come_back_in_the_network_that_was_asked_for(test: bool, place: str) -> None:
    sites = AwsSites(machines=1)

    finish(sites, a_move(FAIL_OVER, test=test))

    wanted = sites.member.settings[place]
    assert [i["SubnetId"] for i in sites.launched()] == [wanted["subnet"]]
    groups = [[g["GroupId"] for g in i["SecurityGroups"]] for i in sites.launched()]
    assert groups == [wanted["securityGroups"]]


def test_a_wrong_instance_id_is_no_fenced_instance() -> None:
    sites = AwsSites(machines=1)
    wrong = {"id": "i-0123456789abcdef0", "type": "t3.medium"}
    instances = [*sites.member.settings["instances"], wrong]
    settings = {**sites.member.settings, "instances": instances}
    sites.member = replace(sites.member, settings=settings)

    progress = finish(sites, a_move(ISOLATE))

    assert progress.status is Status.FAILED
    assert wrong["id"] in progress.detail
    assert sites.primary_works()


def test_what_was_stopped_before_the_drill_is_not_started_by_it() -> None:
    sites = AwsSites(machines=2)
    stopped = sites.instances[0]
    sites.home.stop_instances(InstanceIds=[stopped])

    finish(sites, a_move(ISOLATE))
    assert finish(sites, a_move(FAIL_BACK)).status is Status.SUCCEEDED

    found = sites.home.describe_instances(InstanceIds=[stopped])["Reservations"][0]["Instances"]
    assert found[0]["State"]["Name"] == "stopped"


def test_a_fenced_machine_that_was_terminated_is_not_reported_as_back() -> None:
    sites = AwsSites(machines=1)
    finish(sites, a_move(ISOLATE))
    sites.home.terminate_instances(InstanceIds=sites.instances)

    progress = finish(sites, a_move(FAIL_BACK))

    assert progress.status is Status.FAILED
    assert sites.instances[0] in progress.detail


def test_a_machine_that_ended_after_its_launch_is_not_launched_again() -> None:
    sites = AwsSites(machines=1)
    finish(sites, a_move(FAIL_OVER))
    sites.away.terminate_instances(InstanceIds=[i["InstanceId"] for i in sites.launched()])

    progress = finish(sites, a_move(FAIL_OVER))

    assert progress.status is Status.FAILED
    assert sites.made() == 0


def test_half_a_primary_side_is_unknown() -> None:
    sites = AwsSites(machines=2)
    sites.home.stop_instances(InstanceIds=sites.instances[:1])

    assert sites.session().serving()[Side.PRIMARY] is Serving.UNKNOWN


def test_weights_are_turned_and_turned_back() -> None:
    sites = AwsSites(machines=1, weighted=True)
    before = sites.records()
    for kind in (ISOLATE, FAIL_OVER, SWITCH):
        assert finish(sites, a_move(kind)).status is Status.SUCCEEDED

    during = {r["SetIdentifier"]: r["Weight"] for r in sites.records() if r["Name"] == NAME}
    served = sites.served_by()
    assert finish(sites, a_move(FAIL_BACK)).status is Status.SUCCEEDED

    assert during == {"home": 0, "away": 10}
    assert served is Side.RECOVERY
    assert sites.records() == before


def test_declared_values_are_what_the_record_is_switched_to() -> None:
    sites = AwsSites(machines=1)
    record = {**sites.member.settings["record"], "values": ["198.51.100.7"]}
    sites.member = replace(sites.member, settings={**sites.member.settings, "record": record})
    finish(sites, a_move(FAIL_OVER))

    assert finish(sites, a_move(SWITCH)).status is Status.SUCCEEDED

    assert sites.led_to() == ["198.51.100.7"]


def test_a_record_switched_by_another_drill_is_left_alone() -> None:
    sites = AwsSites(machines=1)
    for kind in (FAIL_OVER, SWITCH):
        finish(sites, a_move(kind))
    now = sites.records()

    progress = finish(sites, a_move(SWITCH, drill=OTHER))

    assert progress.status is Status.FAILED
    assert DRILL in progress.detail
    assert sites.records() == now


def test_a_weighted_record_is_not_overwritten_by_a_simple_one() -> None:
    sites = AwsSites(machines=1, weighted=True)
    record = {k: v for k, v in sites.member.settings["record"].items() if k != "weighted"}
    sites.member = replace(sites.member, settings={**sites.member.settings, "record": record})
    finish(sites, a_move(FAIL_OVER))
    before = sites.records()

    progress = finish(sites, a_move(SWITCH))

    assert progress.status is Status.FAILED
    assert "record.weighted" in progress.detail
    assert sites.records() == before


def test_without_an_address_nothing_is_switched() -> None:
    sites = AwsSites(machines=1)
    before = sites.records()

    progress = finish(sites, a_move(SWITCH))

    assert progress.status is Status.FAILED
    assert sites.records() == before


def test_somebody_elses_page_is_no_empty_world() -> None:
    sites = AwsSites(machines=1)
    with FaultyProxy(sites.aws.url) as proxy:
        settings = {**sites.member.settings, "endpointUrl": proxy.url}
        sites.member = replace(sites.member, settings=settings)
        proxy.spoil("DescribeInstances", Fault.PORTAL)
        session = sites.session()

        serving = session.serving()
        with pytest.raises(Unavailable):
            session.leftovers(DRILL)

    assert set(serving.values()) == {Serving.UNKNOWN}


def test_a_role_is_taken_and_its_world_is_the_one_that_is_seen() -> None:
    sites = AwsSites(machines=1)
    settings = {**sites.member.settings, "assumeRole": "arn:aws:iam::999999999999:role/qlrf"}
    sites.member = replace(sites.member, settings=settings)

    # The other account is empty: its instances are absent, not ours.
    assert sites.session().serving()[Side.PRIMARY] is Serving.ABSENT


class RetriedBlindly:
    """An SDK that loses the first answer of a call, sends it again, and is told: there already."""

    def __init__(self, inner: Any, method: str) -> None:
        self._inner = inner
        self._method = method

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def call(self, service: str, method: str, region: str, /, **parameters: Any) -> Any:
        answer = self._inner.call(service, method, region, **parameters)
        if method == self._method:
            self._method = ""
            raise Refused("InvalidRequest: it is there already")
        return answer


@pytest.mark.parametrize("method", ["register_image", "copy_image", "change_resource_record_sets"])
def test_a_call_whose_first_answer_was_lost_is_done_and_not_failed(method: str) -> None:
    sites = AwsSites(machines=2, copied=0)
    snapshot(sites, sites.instances[0], "/dev/xvda", "2026-11-25T11:00:00+00:00")
    plain = sites.adapter()
    adapter = AwsRecovery(
        secrets=Secrets(ENV),
        clock=sites.clock,
        reach=lambda member, keys: RetriedBlindly(plain.calls(member, keys), method),  # type: ignore[return-value,arg-type]
    )
    session = adapter.open(sites.member)

    for kind in (ISOLATE, FAIL_OVER, SWITCH):
        assert finish(sites, a_move(kind), session).status is Status.SUCCEEDED

    assert sites.made() == 2
    assert sites.served_by() is Side.RECOVERY
