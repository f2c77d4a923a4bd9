"""Who may do what: four roles, each holding everything the one before it holds."""

import unicodedata
from collections.abc import Mapping
from enum import StrEnum


class Permission(StrEnum):
    """One thing a person may do."""

    READ_DASHBOARD = "read:dashboard"
    READ_DRIFT = "read:drift"
    READ_ASSETS = "read:assets"
    READ_IMAGES = "read:images"
    EXPORT_REPORTS = "export:reports"
    TRIGGER_DRILL = "trigger:drill"
    ACKNOWLEDGE_ALERTS = "acknowledge:alerts"
    EXECUTE_TASKS = "execute:ai-tasks"
    EXECUTE_ROLLOUT = "execute:rollout"
    MANAGE_IMAGES = "manage:images"
    APPLY_PATCHES = "apply:patches"
    APPROVE_TASKS = "approve:ai-tasks"
    MANAGE_RBAC = "manage:rbac"
    CONFIGURE_INTEGRATIONS = "configure:integrations"
    APPROVE_EXCEPTIONS = "approve:exceptions"
    TRIGGER_FAILOVER = "trigger:failover"


class Role(StrEnum):
    """What a person is trusted with, least to most."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ENGINEER = "engineer"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        """Its place among the roles, from 0."""
        return list(Role).index(self)


_ADDED: Mapping[Role, frozenset[Permission]] = {
    Role.VIEWER: frozenset(
        {
            Permission.READ_DASHBOARD,
            Permission.READ_DRIFT,
            Permission.READ_ASSETS,
            Permission.READ_IMAGES,
            Permission.EXPORT_REPORTS,
        }
    ),
    Role.OPERATOR: frozenset(
        {Permission.TRIGGER_DRILL, Permission.ACKNOWLEDGE_ALERTS, Permission.EXECUTE_TASKS}
    ),
    Role.ENGINEER: frozenset(
        {
            Permission.EXECUTE_ROLLOUT,
            Permission.MANAGE_IMAGES,
            Permission.APPLY_PATCHES,
            Permission.APPROVE_TASKS,
        }
    ),
    Role.ADMIN: frozenset(
        {
            Permission.MANAGE_RBAC,
            Permission.CONFIGURE_INTEGRATIONS,
            Permission.APPROVE_EXCEPTIONS,
            Permission.TRIGGER_FAILOVER,
        }
    ),
}


def permissions(role: Role) -> frozenset[Permission]:
    """Everything a role may do."""
    return frozenset().union(*(_ADDED[lower] for lower in Role if lower.rank <= role.rank))


def may(role: Role, permission: Permission) -> bool:
    """Whether a role holds a permission."""
    return permission in permissions(role)


def person(name: str) -> str:
    """A name as one human's: `Ann@Example.com ` and `ann@example.com` are the same one."""
    return unicodedata.normalize("NFKC", name).strip().casefold()


# What the platform itself is called where it asks or approves: a policy, a mode of autonomy.
_PLATFORM = ("autonomy:", "policy:")


def is_platform(name: str) -> bool:
    """Whether a name is one that no person has."""
    return person(name).startswith(_PLATFORM)
