"""The rules of the inventory once more, asset by asset in plain Python, to compare with."""

import math
from dataclasses import dataclass, field
from datetime import datetime


@dataclass
class Asset:
    """One asset as the inventory should hold it."""

    type: str
    state: str
    fresh: bool = True
    missed: int = 0
    missed_since: datetime | None = None
    reason: str | None = None


@dataclass
class Reference:
    """One tenant, scope by scope: what each refresh should make of what it was shown."""

    share: float
    least: int
    assets: dict[str, dict[str, Asset]] = field(default_factory=dict)
    changes: list[tuple[str, str]] = field(default_factory=list)
    status: dict[str, str] = field(default_factory=dict)

    def refresh(
        self,
        scope: str,
        listed: dict[str, tuple[str, str]] | None,
        *,
        now: datetime,
        accepted_at: datetime | None,
    ) -> None:
        """Take one scope's complete listing (id -> state, type), or None if it was not complete."""
        mine = self.assets.setdefault(scope, {})
        if listed is None:
            self.status[scope] = "incomplete"
            for asset in mine.values():
                if asset.reason is None:
                    asset.fresh = False
            return
        live = {key: asset for key, asset in mine.items() if asset.reason is None}
        absent = {key: asset for key, asset in live.items() if key not in listed}
        accepted = {
            key
            for key, asset in absent.items()
            if accepted_at and asset.missed_since and asset.missed_since <= accepted_at
        }
        vanished = len(absent) - len(accepted)
        base = len(live) - len(accepted)
        limit = max(self.least, math.ceil(self.share * base - 1e-9))
        held = vanished > 0 and vanished >= limit
        self.status[scope] = "held" if held else "complete"
        for key, (state, kind) in listed.items():
            self._seen(mine, key, state, kind, now)
        for key, asset in absent.items():
            self._absent(key, asset, now, held=held, accepted=key in accepted)

    def _seen(self, mine: dict[str, Asset], key: str, state: str, kind: str, now: datetime) -> None:
        asset = mine.get(key)
        if state == "terminated":
            if asset is not None and asset.reason is None:
                asset.reason, asset.fresh = "terminated", True
                self.changes.append((key, "tombstoned"))
            return
        if asset is None:
            change = "discovered"
        elif asset.reason is not None or asset.missed:
            change = "returned"
        elif (asset.type, asset.state) != (kind, state):
            change = "updated"
        else:
            change = ""
        mine[key] = Asset(type=kind, state=state)
        if change:
            self.changes.append((key, change))

    def _absent(self, key: str, asset: Asset, now: datetime, *, held: bool, accepted: bool) -> None:
        asset.fresh = False
        asset.missed_since = asset.missed_since or now
        if accepted:
            asset.reason = "accepted"
            self.changes.append((key, "tombstoned"))
        elif held:
            return
        elif asset.missed:
            asset.missed += 1
            asset.reason = "missed_twice"
            self.changes.append((key, "tombstoned"))
        else:
            asset.missed = 1
            self.changes.append((key, "missed"))
