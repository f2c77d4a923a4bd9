"""Semantic versions as text that sorts: what SQL compares is what SemVer 2.0 says."""

import semver

# '-' sorts below '~': a prerelease comes before its release.
_RELEASE, _PRERELEASE = "~", "-"
# Ends an alphanumeric identifier; sorts below every character one may contain.
_END = "!"


def version_key(text: str) -> str | None:
    """ASCII text whose byte order is SemVer 2.0 precedence; None if `text` is no such version.

    Build metadata takes no part in precedence, so 1.0.0+a and 1.0.0+b have one key.
    """
    try:
        version = semver.Version.parse(text)
    except ValueError:
        return None
    core = ".".join(_number(str(n)) for n in (version.major, version.minor, version.patch))
    if version.prerelease is None:
        return core + _RELEASE
    return core + _PRERELEASE + "".join(_identifier(i) for i in version.prerelease.split("."))


def _identifier(text: str) -> str:
    """Numbers before words; a version with fewer identifiers is a prefix, so it comes first."""
    return "0" + _number(text) if text.isdigit() else "1" + text + _END


def _number(digits: str) -> str:
    """The length of the length, the length, the digits: 7 is 117, 10 is 1210."""
    length = str(len(digits))
    return f"{len(length)}{length}{digits}"
