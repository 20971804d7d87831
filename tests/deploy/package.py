"""Installs a Debian package, upgrades, removes and purges it in a copy of this machine's files, of which nothing reaches the machine, and
looks at what is there. Usage: package.py PACKAGE"""

import os
import stat
import subprocess
import sys
import tempfile

STATE = "/var/lib/muster/worker/identity"
GRANTS = ("/etc/subuid", "/etc/subgid")
PROGRAMS = ("muster", "muster-master", "muster-worker", "muster-runner")
MODES = {"/usr/bin/" + name: 0o755 for name in PROGRAMS} | {
    "/etc/muster": 0o755, "/etc/muster/master.toml": 0o644, "/etc/muster/worker.toml": 0o644,
    "/usr/lib/systemd/system/muster-master.service": 0o644, "/usr/lib/systemd/system/muster-worker.service": 0o644,
    "/usr/share/bash-completion/completions/muster": 0o644, "/usr/share/man/man1/muster.1.gz": 0o644,
    "/usr/share/man/man8/muster-master.8.gz": 0o644, "/usr/share/doc/muster/copyright": 0o644,
}


def run(*words):
    return subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)


def must(*words):
    done = run(*words)
    assert done.returncode == 0, (words, done.stdout)
    return done.stdout


def inside(package, folder):
    """In a namespace of mounts of its own: the machine's files, and above them what is written."""
    must("mount", "--make-rprivate", "/")
    must("mount", "-t", "tmpfs", "tmpfs", folder)
    for name in ("upper", "work", "root"):
        os.mkdir(os.path.join(folder, name))
    root = os.path.join(folder, "root")
    must("mount", "-t", "overlay", "overlay", "-o", f"lowerdir=/,upperdir={folder}/upper,workdir={folder}/work", root)
    must("cp", package, root + "/package.deb")
    must("mount", "-t", "proc", "proc", root + "/proc")
    must("mount", "-t", "tmpfs", "dev", root + "/dev")
    # Nothing here may speak with the machine's own systemd.
    must("mount", "-t", "tmpfs", "run", root + "/run")
    os.chroot(root)
    os.chdir("/")
    os.mknod("/dev/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.chmod("/dev/null", 0o666)
    check()


def check():
    before = set(listed())
    accounts_before = accounts()
    assert not any(name.startswith("muster") for name in accounts_before), "this machine has accounts of Muster's"
    must("dpkg", "--install", "/package.deb")
    for path, mode in MODES.items():
        found = os.stat(path)
        assert (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (mode, 0, 0), (path, oct(found.st_mode))
    for account in ("muster", "muster-run"):
        fields = must("getent", "passwd", account).split(":")
        assert 0 < int(fields[2]) < 1000 and fields[6].strip() == "/usr/sbin/nologin", fields
    for path in GRANTS:
        assert grants(path) == ["muster-run:2010000000:65536"], path
    for name in PROGRAMS[:3]:
        assert must(name, "--version").startswith(name + " "), name
    must("muster-runner", "--help")
    for name in ("master", "worker"):
        said = must("systemd-analyze", "verify", f"/usr/lib/systemd/system/muster-{name}.service")
        assert f"muster-{name}" not in said, said
    must("bash", "-n", "/usr/share/bash-completion/completions/muster")
    # The files of /etc/muster are what the programs read: a wrong key is noticed there.
    for name in ("master", "worker"):
        with open(f"/etc/muster/{name}.toml", "a") as out:
            out.write("lissten = 7\n")
        said = run(f"muster-{name}", "--config", f"/etc/muster/{name}.toml")
        assert said.returncode == 2 and "unknown field `lissten`; is `listen` meant?" in said.stdout, said.stdout

    # Again, as an upgrade: what an administrator wrote stays.
    for path in GRANTS:
        with open(path, "a") as out:
            out.write("muster-run:2100000000:9\n")
    must("dpkg", "--install", "--force-confold", "/package.deb")
    with open("/etc/muster/master.toml") as kept:
        assert "lissten" in kept.read()
    for path in GRANTS:
        assert grants(path) == ["muster-run:2010000000:65536", "muster-run:2100000000:9"], path

    # State and the accounts that it belongs to outlive even a purge, and nothing else does.
    os.makedirs(os.path.dirname(STATE))
    open(STATE, "w").close()
    must("dpkg", "--remove", "muster")
    assert not any(os.path.exists("/usr/bin/" + name) for name in PROGRAMS) and os.path.exists("/etc/muster/master.toml")
    must("dpkg", "--purge", "muster")
    left = {path for path in set(listed()) - before if "muster" in path}
    assert STATE in left and all(path.startswith("/var/lib/muster") for path in left), left
    assert accounts() - accounts_before == {"muster", "muster-run"}
    # Without state the accounts go, too.
    must("dpkg", "--install", "/package.deb")
    must("rm", "-r", "/var/lib/muster")
    must("dpkg", "--purge", "muster")
    assert accounts() == accounts_before
    assert not any(grants(path) for path in GRANTS)
    print("the package is installed, upgraded, removed and purged")


def listed():
    for top in ("/etc", "/usr", "/var/lib"):
        for folder, folders, files in os.walk(top):
            if folder == "/var/lib":
                folders.remove("dpkg")
            for name in folders + files:
                yield os.path.join(folder, name)


def grants(path):
    with open(path) as text:
        return [line.strip() for line in text if line.startswith("muster-run:")]


def accounts():
    with open("/etc/passwd") as text:
        return {line.split(":")[0] for line in text}


def main():
    if len(sys.argv) == 3:
        return inside(*sys.argv[1:])
    if os.geteuid() != 0:
        sys.exit("error: a copy of the machine's files needs root")
    with tempfile.TemporaryDirectory(prefix="muster-package-") as folder:
        sys.exit(subprocess.run(["unshare", "--mount", "--pid", "--fork", "--kill-child", sys.executable,
                                 os.path.realpath(__file__), os.path.realpath(sys.argv[1]), folder], check=False).returncode)


if __name__ == "__main__":
    main()
