"""Evidence packs: one zip file whose every byte has a reason.

Members are sorted, dated 1980 and listed with their SHA-256 in MANIFEST.json, which comes last.
Lines and documents are canonical JSON (RFC 8785), so that the same evidence is the same bytes.
"""

import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qlrf_pipelines.domain.canonical import canonical
from qlrf_pipelines.domain.errors import NotFound, Refused, Tampered, Unavailable

FORMAT = "qlrf-evidence/1"
MANIFEST = "MANIFEST.json"
README = "README.txt"
LEDGER = "ledger.jsonl"
FACTS = "facts.jsonl"
RESULTS = "results.jsonl"
SCOPES = "scope_certificates.json"
_DATE = (1980, 1, 1, 0, 0, 0)
# What Python's zipfile says of a file somebody bent: each was seen when single bytes were flipped.
_UNSOUND = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    ValueError,
    NotImplementedError,  # a compression nobody knows
    RuntimeError,  # a file that claims to be encrypted
    OSError,
)

README_TEXT = f"""\
QL-RF evidence pack ({FORMAT})

What is in it
  {LEDGER}             every entry of the tenant's evidence ledger, from the first one on
  {FACTS}              what was known of every live asset when it was judged last
  {RESULTS}            what every control said of every asset then
  controls/<id>.json       every control that was applied; controls/<id>.sql is its check alone
  {SCOPES}  which listings the facts came from, and which of them failed
  {MANIFEST}            SHA-256 of every file above

Verifying with QL-RF (offline: no database, no lake, no network)
  qlrf evidence verify --pack THIS_FILE
It checks the manifest, the ledger's chain from its first entry, the digests the ledger keeps of
controls, facts, results and scope certificates, and judges the facts by the controls again.

Verifying without QL-RF
  1. Files: sha256 of each file is its value in {MANIFEST}.
  2. Chain: for each line of {LEDGER}, take its fields without "hash", write them as canonical
     JSON (RFC 8785); the SHA-256 of that text is "hash". "previous_hash" is the hash of the line
     before, 64 zeros in the first. "seq" counts 1, 2, 3, ... without a gap.
  3. Controls: the SHA-256 of controls/<id>.json is "control_digest" in the newest entry of kind
     control_assessment with that subject.
  4. Scope certificates: the SHA-256 of {SCOPES} is "scopes_digest" there.
  5. Results: sort the control's lines of {RESULTS} by asset_key (bytes of UTF-8), cut them
     into pages of 1000. The text of a row is the length in bytes of asset_key, a comma, that of
     verdict, a comma, that of detail, a comma, then the three. A page's digest is the SHA-256 of
     its texts, joined, in lower-case hex. "results_digest" is the SHA-256 of the pages' digests,
     joined. "facts_digest" is made alike of {FACTS}; the fields' order and texts are
     described in qlrf_pipelines/domain/facts.py.
  6. Verdicts: load {FACTS} as a table named assets into DuckDB and run controls/<id>.sql.
     Where the column stale is true, pass and not_applicable count as never_proven.

What a pack cannot show by itself
  That no newer entries were left out, and that the whole chain was not written anew. Compare
  "head_hash" of {MANIFEST} with one obtained another way: an older pack of the same tenant
  must be the beginning of this one, and the operator's `qlrf evidence verify` prints the head.

Verdicts
  pass, fail, not_applicable (nothing to judge, and that is proven), manual (a person must judge),
  never_proven (a fact is missing; this is not a pass).
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """A pack whose container and manifest are sound; what it says is still to be judged."""

    manifest: Mapping[str, Any]
    files: Mapping[str, bytes]


def document(value: object) -> bytes:
    """A JSON value as canonical JSON, as a document or a line of a pack."""
    return canonical(value)


def lines(values: Iterable[object]) -> Iterator[bytes]:
    """JSON values as lines."""
    return (document(value) + b"\n" for value in values)


def read_document(name: str, data: bytes) -> Any:  # noqa: ANN401  any JSON value
    """The JSON value of a document or line.

    Raises:
        Tampered: it is not JSON, or not in its canonical form.
    """
    try:
        value = json.loads(data)
        sound = document(value) == data
    except (ValueError, RecursionError) as error:
        raise Tampered(f"{name}: not JSON ({error}).") from error
    if not sound:
        raise Tampered(f"{name}: not in canonical form.")
    return value


def read_lines(pack: Pack, name: str) -> Iterator[Any]:
    """The JSON values of a file of lines.

    Raises:
        Tampered: a line is not canonical JSON, or the last one does not end.
    """
    *full, rest = pack.files[name].split(b"\n")
    if rest:
        raise Tampered(f"{name}: its last line does not end.")
    for number, line in enumerate(full, 1):
        yield read_document(f"{name} line {number}", line)


def write_pack(
    path: Path, *, head: Mapping[str, Any], members: Mapping[str, Iterable[bytes]]
) -> None:
    """Write a pack; the same members make the same bytes on the same zlib.

    Raises:
        Unavailable: the file cannot be written.
    """
    hashes: dict[str, str] = {}
    try:
        with zipfile.ZipFile(path, "w") as archive:
            for name in sorted(members):
                hashes[name] = _member(archive, name, members[name])
            manifest = {"format": FORMAT, **head, "files": hashes}
            _member(archive, MANIFEST, [document(manifest)])
    except OSError as error:
        raise Unavailable(f"{path} cannot be written: {error}; check space and rights.") from error


def replace_file(temporary: Path, path: Path, *, force: bool) -> None:
    """Give a finished file its name, at once; an existing one stays unless forced.

    Raises:
        Refused: there is a file of that name.
        Unavailable: the folder cannot be written to.
    """
    try:
        if force:
            temporary.replace(path)
            return
        os.link(temporary, path)  # fails if the name is taken, unlike a rename
    except FileExistsError as error:
        raise Refused(f"{path} exists; choose another name or give --force.") from error
    except OSError as error:
        raise Unavailable(f"{path} cannot be written: {error}; check space and rights.") from error


def read_pack(path: Path) -> Pack:
    """Open a pack and check its container, its manifest and every file's hash.

    Raises:
        NotFound: there is no such file.
        Tampered: anything about it is not as a pack is written.
    """
    files = _opened(path)
    manifest = read_document(MANIFEST, files.pop(MANIFEST))
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise Tampered(f"{MANIFEST}: not of format {FORMAT}.")
    listed = manifest.get("files")
    if not isinstance(listed, dict) or sorted(listed) != sorted(files):
        raise Tampered(f"{MANIFEST}: does not list the files that are in the pack.")
    for name, data in files.items():
        if listed[name] != hashlib.sha256(data).hexdigest():
            raise Tampered(f"{name}: its SHA-256 is not the one in {MANIFEST}.")
    return Pack(manifest=manifest, files=files)


def _opened(path: Path) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in _names(archive)}
    except FileNotFoundError as error:
        raise NotFound(f"There is no file {path}.") from error
    except _UNSOUND as error:
        raise Tampered(f"{path}: not a sound zip file ({error}).") from error


def _names(archive: zipfile.ZipFile) -> list[str]:
    names = archive.namelist()
    if names != [*sorted(set(names) - {MANIFEST}), MANIFEST]:
        raise Tampered("The pack's files are not in their order, or one is there twice.")
    odd = [i.filename for i in archive.infolist() if i.date_time != _DATE or i.extra or i.comment]
    if odd or archive.comment:
        raise Tampered(f"The pack was written by something else: {', '.join(odd) or 'comment'}.")
    return names


def _member(archive: zipfile.ZipFile, name: str, parts: Iterable[bytes]) -> str:
    info = zipfile.ZipInfo(name, _DATE)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    info.create_system = 3
    whole = hashlib.sha256()
    with archive.open(info, "w", force_zip64=True) as file:
        for part in parts:
            whole.update(part)
            file.write(part)
    return whole.hexdigest()
