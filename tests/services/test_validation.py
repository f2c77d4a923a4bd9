"""A valid estate may still hold what nobody meant: validation says so."""

from datetime import timedelta

from qlrf_pipelines.domain.estate import (
    Connector,
    Estate,
    Exemption,
    GoldenImage,
    ImageVersion,
    Selector,
    Tenant,
    TenantId,
)
from qlrf_pipelines.domain.patching import PatchSelector
from qlrf_pipelines.domain.vocabulary import DriftVerdict, ImageStatus, Platform
from qlrf_pipelines.services.validation import Validation, validate
from tests.fakes.clock import NOON, FakeClock
from tests.fakes.drifted import policy
from tests.fakes.estate import FakeEstate

ACME = TenantId("acme")
CONNECTOR = Connector(tenant=ACME, name="aws", platform=Platform.AWS)
TENANT = Tenant(name=ACME, display_name="Acme", connectors=(CONNECTOR,))


def image(*, promoted_in_days: int = -1, family: str = "linux") -> GoldenImage:
    version = ImageVersion(
        version="1.0.0",
        status=ImageStatus.PRODUCTION,
        promoted_at=NOON + timedelta(days=promoted_in_days),
        environments=(),
        coordinates=(),
    )
    return GoldenImage(
        family=family,
        tenant=None,
        os_name="ubuntu",
        os_version="22.04",
        arch="arm64",
        cis_level=None,
        versions=(version,),
    )


def exemption(*, expires_in_days: int = 1, family: str = "linux") -> Exemption:
    return Exemption(
        name="legacy",
        tenant=ACME,
        selector=Selector(families=(family,)),
        verdicts=(DriftVerdict.BEHIND,),
        reason="because",
        approver="ciso",
        expires_at=NOON + timedelta(days=expires_in_days),
    )


def check(**parts: object) -> Validation:
    whole = {"tenants": (TENANT,), "images": (image(),), "exemptions": (exemption(),)}
    return validate(FakeEstate(Estate(**(whole | parts))), FakeClock())  # type: ignore[arg-type]


def test_a_good_estate_is_counted_and_gives_no_warning() -> None:
    assert check() == Validation(
        tenants=1,
        connectors=1,
        images=1,
        versions=1,
        exemptions=1,
        expired=0,
        patches=0,
        sites=0,
        recovery_plans=0,
        warnings=(),
    )


def test_an_expired_exemption_is_valid_and_warned_of() -> None:
    found = check(exemptions=(exemption(expires_in_days=0),))

    assert found.expired == 1
    assert found.warnings == (
        "Exemption legacy of tenant acme expired at 2026-11-01T12:00:00Z and is not applied;"
        " renew or remove it.",
    )


def test_a_tenant_without_connectors_is_warned_of() -> None:
    (warning,) = check(tenants=(Tenant(name=ACME, display_name="Acme"),)).warnings

    assert "no connector" in warning


def test_a_tenant_without_images_is_warned_of() -> None:
    warnings = check(images=(), exemptions=()).warnings

    assert any("every asset is unmanaged" in warning for warning in warnings)


def test_a_promotion_in_the_future_is_warned_of() -> None:
    (warning,) = check(images=(image(promoted_in_days=1),)).warnings

    assert "in the future (2026-11-02T12:00:00Z)" in warning


def test_an_exemption_of_a_family_that_does_not_exist_is_warned_of() -> None:
    (warning,) = check(exemptions=(exemption(family="linucks"),)).warnings

    assert "the family linucks" in warning


def test_a_patch_policy_for_a_family_nobody_declared_is_warned_of() -> None:
    selector = PatchSelector(families=("ql-bass-linux",))

    found = check(patches=(policy(selector=selector),))

    assert found.patches == 1
    assert found.warnings == (
        "Patch policy maintenance names the family ql-bass-linux, which no golden image is;"
        " check its name.",
    )
