"""What the simulated accounts hold, as data: images, groups of machines, and how they move."""

from collections.abc import Mapping
from dataclasses import dataclass, field

ACME = "111122223333"
GLOBEX = "444455556666"
REGIONS = ("us-east-1", "eu-west-1", "ap-southeast-2")

# Image ids: the last digits say family and version, so that a reader of the contracts can follow.
LINUX = {
    version: {region: f"ami-0{number}{code}00000000000" for code, region in enumerate(REGIONS, 1)}
    for number, version in ((1704, "1.7.0"), (1640, "1.6.4"), (1630, "1.6.3"), (1500, "1.5.0"))
}
WEB = {
    version: {region: f"ami-0{number}{code}0000000000" for code, region in enumerate(REGIONS, 1)}
    for number, version in ((22100, "2.1.0"), (22000, "2.0.0"))
}
TAGGED_BEHIND = "ami-0a16200000000000a"  # carries qlrf:version 1.6.2, in no contract
TAGGED_AHEAD = "ami-0a18000000000000a"  # carries Family/Version 1.8.0, newer than approved
MARKETPLACE = "ami-0b000000000000000"  # carries no tag at all
DEREGISTERED = "ami-0dead000000000000"  # no longer exists; its machines still run


@dataclass(frozen=True, slots=True, kw_only=True)
class Machines:
    """`count` machines alike."""

    account: str
    region: str
    image: str
    name: str
    count: int
    environment: str
    tags: Mapping[str, str] = field(default_factory=dict)
    encrypted: bool = True
    imds_v2: bool = True
    public: bool = False
    open_to_world: tuple[tuple[int, int], ...] = ()
    monitoring: bool = True
    stopped: bool = False
    patches: Mapping[str, int] | None = field(default_factory=dict)  # None: not under SSM
    age_days: int = 30


IMAGE_TAGS: Mapping[str, Mapping[str, str]] = {
    **{image: {"Name": f"ql-base-linux-{v}"} for v, at in LINUX.items() for image in at.values()},
    **{image: {"Name": f"acme-web-{v}"} for v, at in WEB.items() for image in at.values()},
    TAGGED_BEHIND: {"qlrf:family": "ql-base-linux", "qlrf:version": "1.6.2"},
    TAGGED_AHEAD: {"Family": "ql-base-linux", "Version": "1.8.0"},
    MARKETPLACE: {},
}

_NEEDS_PATCHES = {"MissingCount": 4, "CriticalNonCompliantCount": 1, "SecurityNonCompliantCount": 3}
_NEEDS_REBOOT = {"InstalledPendingRebootCount": 2}
_OWNED = {"Owner": "platform@example.com"}

FLEET: tuple[Machines, ...] = (
    # acme, us-east-1: production on the current base image, some a release behind
    Machines(
        account=ACME,
        region="us-east-1",
        image=LINUX["1.6.4"]["us-east-1"],
        name="api",
        count=10,
        environment="prod",
        tags=_OWNED,
    ),
    Machines(
        account=ACME,
        region="us-east-1",
        image=LINUX["1.6.3"]["us-east-1"],
        name="worker",
        count=6,
        environment="prod",
        tags=_OWNED,
        patches=_NEEDS_PATCHES,
    ),
    Machines(
        account=ACME,
        region="us-east-1",
        image=WEB["2.0.0"]["us-east-1"],
        name="web",
        count=6,
        environment="production",
        tags=_OWNED,
        public=True,
        open_to_world=((443, 443),),
    ),
    Machines(
        account=ACME,
        region="us-east-1",
        image=WEB["2.1.0"]["us-east-1"],
        name="web",
        count=4,
        environment="production",
        tags=_OWNED,
        public=True,
        open_to_world=((443, 443),),
    ),
    Machines(
        account=ACME,
        region="us-east-1",
        image=LINUX["1.5.0"]["us-east-1"],
        name="legacy",
        count=2,
        environment="prod",
        tags={"exempt": "yes"},
        encrypted=False,
        imds_v2=False,
        patches=None,
        age_days=420,
    ),
    Machines(
        account=ACME,
        region="us-east-1",
        image=LINUX["1.5.0"]["us-east-1"],
        name="ledger",
        count=2,
        environment="prod",
        tags={"exempt": "expired"},
        encrypted=False,
        age_days=420,
    ),
    # acme, eu-west-1: staging and development, tagged images, a bastion open to the world
    Machines(
        account=ACME,
        region="eu-west-1",
        image=LINUX["1.6.4"]["eu-west-1"],
        name="api",
        count=8,
        environment="stage",
        tags=_OWNED,
        patches=_NEEDS_REBOOT,
    ),
    Machines(
        account=ACME,
        region="eu-west-1",
        image=TAGGED_BEHIND,
        name="batch",
        count=4,
        environment="dev",
    ),
    Machines(
        account=ACME,
        region="eu-west-1",
        image=TAGGED_AHEAD,
        name="next",
        count=2,
        environment="dev",
    ),
    Machines(
        account=ACME,
        region="eu-west-1",
        image=MARKETPLACE,
        name="bastion",
        count=1,
        environment="prod",
        public=True,
        open_to_world=((22, 22),),
        encrypted=False,
        imds_v2=False,
        monitoring=False,
        patches=None,
    ),
    Machines(
        account=ACME,
        region="eu-west-1",
        image=LINUX["1.6.4"]["eu-west-1"],
        name="spare",
        count=2,
        environment="dr",
        stopped=True,
    ),
    # globex, us-east-1 and ap-southeast-2: two regions of one account, one of which will fail
    Machines(
        account=GLOBEX,
        region="us-east-1",
        image=LINUX["1.6.4"]["us-east-1"],
        name="app",
        count=9,
        environment="production",
        tags=_OWNED,
    ),
    Machines(
        account=GLOBEX,
        region="us-east-1",
        image=DEREGISTERED,
        name="orphan",
        count=2,
        environment="production",
    ),
    Machines(
        account=GLOBEX,
        region="us-east-1",
        image=MARKETPLACE,
        name="vendor",
        count=3,
        environment="sandbox",
        patches=None,
        monitoring=False,
        open_to_world=((3000, 4000),),
        public=True,
    ),
    Machines(
        account=GLOBEX,
        region="us-east-1",
        image=LINUX["1.5.0"]["us-east-1"],
        name="cron",
        count=3,
        environment="staging",
        age_days=400,
    ),
    Machines(
        account=GLOBEX,
        region="ap-southeast-2",
        image=LINUX["1.6.4"]["ap-southeast-2"],
        name="app",
        count=8,
        environment="production",
        tags=_OWNED,
    ),
    Machines(
        account=GLOBEX,
        region="ap-southeast-2",
        image=LINUX["1.6.3"]["ap-southeast-2"],
        name="app",
        count=6,
        environment="production",
        tags=_OWNED,
        patches=_NEEDS_PATCHES,
    ),
    Machines(
        account=GLOBEX,
        region="ap-southeast-2",
        image=LINUX["1.6.4"]["ap-southeast-2"],
        name="edge",
        count=3,
        environment="dr",
        public=True,
        open_to_world=((443, 443), (22, 22)),
    ),
)

# The second day: what replaces what, and which machine is simply no longer there.
REPLACED: tuple[tuple[str, Machines], ...] = (
    (
        "worker",
        Machines(
            account=ACME,
            region="us-east-1",
            image=LINUX["1.7.0"]["us-east-1"],
            name="worker",
            count=4,
            environment="prod",
            tags=_OWNED,
            age_days=0,
        ),
    ),
)
VANISHED = (ACME, "us-east-1", "ledger")
FAILING_REGION = "ap-southeast-2"
