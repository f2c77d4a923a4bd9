"""The DNS record that says where a service is, switched in one batch with a note of the old one.

The note is a TXT record beside it, `_qlrf.<name>`, holding the drill and all the record said.
It is made in the same change as the switch: no crash can lose the way back, and a second drill of
the same record is refused by Route 53 itself.
"""

import base64
import binascii
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from qlrf_pipelines.domain.errors import Refused, Truncated
from qlrf_pipelines.domain.operations import Progress, Status
from resources.clouds.aws.recovery_calls import AwsCalls
from resources.clouds.aws.recovery_settings import RecordSettings
from resources.recovery.steps import running, succeeded

Sets = list[dict[str, Any]]
_CHUNK = 200
_MOST = 300


class Note:
    """What the TXT record beside a switched record says."""

    def __init__(self, *, drill: str, before: Sets, raw: dict[str, Any]) -> None:
        self.drill = drill
        self.before = before
        self.raw = raw


class Record:
    """One record of one hosted zone."""

    def __init__(self, calls: AwsCalls, settings: RecordSettings, *, region: str) -> None:
        self._calls = calls
        self._settings = settings
        self._region = region
        self.beside = f"_qlrf.{settings.name}"

    @property
    def public(self) -> bool:
        """Whether the record holds public addresses."""
        return self._settings.public

    def note(self) -> Note | None:
        """The note of a switch that was not taken back.

        Raises:
            Refused: somebody else has put a record there.
        """
        found = self._sets(self.beside, "TXT")
        return _read_note(self.beside, found[0]) if found else None

    def switch(
        self, addresses: Sequence[str], *, drill: str, checkpoint: Mapping[str, Any]
    ) -> Progress:
        """Point the record at the recovery side; done when every name server says so."""
        note, now = self.note(), self._sets(self._settings.name, self._settings.type)
        if note is not None and note.drill != drill:
            raise Refused(f"{self._settings.name} is switched by drill {note.drill}; end that one.")
        if note is None and not now:
            raise Refused(f"{self._settings.name} does not exist; correct record.name or type.")
        wanted = self._wanted(note.before if note else now, addresses)
        if note is not None and _same(now, wanted):
            done = self._settled(checkpoint)
            if done is not None:
                return done
        changes = [("UPSERT", item) for item in wanted]
        if note is None:
            changes.insert(0, ("CREATE", _written_note(self.beside, drill, now)))
        before = note.before if note else now
        return self._submitted(changes, drill, {"before": before}, "points at the recovery side")

    def give_back(self, *, drill: str, checkpoint: Mapping[str, Any]) -> Progress | None:
        """Let the record say what it said before; None when there is nothing to give back."""
        note = self.note()
        if note is None or note.drill != drill:
            return None
        now = self._sets(self._settings.name, self._settings.type)
        kept = {_identity(item) for item in note.before}
        added = [item for item in now if _identity(item) not in kept]
        if _same(now, note.before) and not added:
            settled = self._settled(checkpoint)
            if settled is not None and settled.status is Status.SUCCEEDED:
                self._change([("DELETE", note.raw)], drill)
                return running(f"{self._settings.name} is back; its note is removed.")
            if settled is not None:
                return settled
        changes = [("UPSERT", item) for item in note.before]
        changes += [("DELETE", item) for item in added]
        return self._submitted(changes, drill, {}, "points at the primary side again")

    def _wanted(self, before: Sets, addresses: Sequence[str]) -> Sets:
        settings = self._settings
        values = sorted(settings.values or addresses)
        if not values:
            raise Refused(f"{settings.name}: there is no address to switch to; fail over first.")
        new = {
            "Name": settings.name,
            "Type": settings.type,
            "TTL": settings.ttl,
            "ResourceRecords": [{"Value": value} for value in values],
        }
        if settings.weighted is None:
            if any("SetIdentifier" in item for item in before):
                raise Refused(f"{settings.name} is no simple record; declare record.weighted.")
            return [new]
        primary, recovery = settings.weighted
        own = [item for item in before if item.get("SetIdentifier") == primary]
        if not own or any("Weight" not in item for item in own):
            raise Refused(f"{settings.name} has no weighted record {primary}; correct it.")
        weight = max([int(item["Weight"]) for item in own] + [1])
        return [
            *({**item, "Weight": 0} for item in own),
            {**new, "SetIdentifier": recovery, "Weight": weight},
        ]

    def _settled(self, checkpoint: Mapping[str, Any]) -> Progress | None:
        change = checkpoint.get("change")
        if not change:
            return None
        answer = self._calls.call("route53", "get_change", self._region, Id=change)
        if answer["ChangeInfo"]["Status"] == "INSYNC":
            return succeeded(f"{self._settings.name} is in sync everywhere.", checkpoint)
        return running(f"{self._settings.name}: name servers are catching up.", checkpoint)

    def _submitted(
        self, changes: Sequence[tuple[str, Any]], drill: str, kept: Mapping[str, Any], what: str
    ) -> Progress:
        try:
            change = self._change(changes, drill)
        except Refused:
            # The SDK asks again when an answer is lost; the note is then there, and ours.
            found = self.note()
            if changes[0][0] != "CREATE" or found is None or found.drill != drill:
                raise
            return running(f"{self._settings.name} {what}.", kept)
        return running(f"{self._settings.name} {what}.", {**kept, "change": change})

    def _change(self, changes: Sequence[tuple[str, Any]], drill: str) -> str:
        batch = {
            "Comment": f"qlrf drill {drill}"[:256],
            "Changes": [{"Action": action, "ResourceRecordSet": item} for action, item in changes],
        }
        answer = self._calls.call(
            "route53",
            "change_resource_record_sets",
            self._region,
            HostedZoneId=self._settings.zone,
            ChangeBatch=batch,
        )
        return str(answer["ChangeInfo"]["Id"])

    def _sets(self, name: str, kind: str) -> Sets:
        answer = self._calls.call(
            "route53",
            "list_resource_record_sets",
            self._region,
            HostedZoneId=self._settings.zone,
            StartRecordName=name,
            StartRecordType=kind,
            MaxItems=str(_MOST),
        )
        rows = answer["ResourceRecordSets"]
        found = [dict(row) for row in rows if row["Name"] == name and row["Type"] == kind]
        if answer.get("IsTruncated") and len(found) == len(rows):
            raise Truncated(f"{name} has more than {_MOST} records; nobody switches those.")
        return found


def _identity(item: Mapping[str, Any]) -> tuple[Any, ...]:
    return item["Name"], item["Type"], item.get("SetIdentifier")


def _same(now: Sets, wanted: Sets) -> bool:
    have = {_identity(item): item for item in now}
    return all(have.get(_identity(item)) == item for item in wanted)


def _written_note(name: str, drill: str, before: Sets) -> dict[str, Any]:
    packed = base64.b64encode(zlib.compress(json.dumps([drill, before]).encode())).decode()
    chunks = [f"qlrf drill {drill}"[:_CHUNK].replace('"', "'")]
    chunks += [packed[at : at + _CHUNK] for at in range(0, len(packed), _CHUNK)]
    text = " ".join(f'"{chunk}"' for chunk in chunks)
    return {"Name": name, "Type": "TXT", "TTL": 60, "ResourceRecords": [{"Value": text}]}


def _read_note(name: str, raw: dict[str, Any]) -> Note:
    try:
        chunks = raw["ResourceRecords"][0]["Value"].strip('"').split('" "')
        drill, before = json.loads(zlib.decompress(base64.b64decode("".join(chunks[1:]))))
    except (KeyError, IndexError, ValueError, zlib.error, binascii.Error) as error:
        raise Refused(f"{name} is not a note of ours; remove it, or rename it.") from error
    return Note(drill=drill, before=before, raw=raw)
