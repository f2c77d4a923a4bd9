"""The guide's IAM policy permits what the executor calls, and nothing else."""

import json
import re
from pathlib import Path

from resources.clouds.aws.connection import CHANGING

GUIDE = Path(__file__).parents[3] / "docs/guide/executors.md"
# Listed by inventory's guide too, and asked by the executor as well; PassRole is no call.
SHARED = {"DescribeImages", "DescribeInstances", "DescribeVolumes", "GetCallerIdentity"}


def test_the_policy_of_the_guide_is_exactly_what_is_called() -> None:
    (text,) = re.findall(r"```json\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    actions = [s["Action"] for s in json.loads(text)["Statement"]]
    flat = {a for found in actions for a in ([found] if isinstance(found, str) else found)}
    permitted = {action.partition(":")[2] for action in flat}

    called = {"InvokeFunction" if name == "Invoke" else name for name in CHANGING | SHARED}
    assert permitted == called | {"PassRole"}
