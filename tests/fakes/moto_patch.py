"""Moto with what it lacks: SSM's patch states."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from moto.ssm.responses import SimpleSystemManagerResponse

# (account, region, instance ids) -> patch states, as SSM spells their fields
PatchStates = Callable[[str, str, Sequence[str]], list[dict[str, Any]]]


def extend_moto(patch_states: PatchStates) -> None:
    """Let moto's SSM answer DescribeInstancePatchStates, in pages of 20, in this process."""

    def describe_instance_patch_states(self: SimpleSystemManagerResponse) -> str:
        asked = self._get_param("InstanceIds")
        found = patch_states(self.current_account, self.region, asked)
        start = int(self._get_param("NextToken", 0) or 0)
        answer: dict[str, Any] = {"InstancePatchStates": found[start : start + 20]}
        if start + 20 < len(found):
            answer["NextToken"] = str(start + 20)
        return json.dumps(answer)

    SimpleSystemManagerResponse.describe_instance_patch_states = describe_instance_patch_states


def patch_state(instance_id: str, **counts: int) -> dict[str, Any]:
    """A patch state as SSM gives it; every count not given is zero."""
    names = (
        "MissingCount",
        "FailedCount",
        "InstalledPendingRebootCount",
        "CriticalNonCompliantCount",
        "SecurityNonCompliantCount",
    )
    return {
        "InstanceId": instance_id,
        "PatchGroup": "",
        "BaselineId": "pb-0123456789abcdef0",
        "OperationStartTime": 1_790_000_000,
        "OperationEndTime": 1_790_000_060,
        "Operation": "Scan",
        **{name: counts.get(name, 0) for name in names},
    }
