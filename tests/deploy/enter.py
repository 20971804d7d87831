"""The first process of a container, in its new namespaces: it makes the root file system,
gives up every right, and becomes the program. Started by pods.py."""

import ctypes
import json
import os
import subprocess
import sys

PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
LAST_CAPABILITY = 40


def run(*words):
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def main():
    plan = json.loads(sys.argv[1])
    root = plan["root"]
    run("mount", "--make-rprivate", "/")
    run("mount", "--bind", plan["image"], root)
    run("mount", "-o", "remount,bind,ro,nosuid", root)
    run("mount", "-t", "proc", "proc", root + "/proc")
    run("mount", "--rbind", "/dev", root + "/dev")
    run("mount", "-t", "sysfs", "-o", "ro", "sysfs", root + "/sys")
    # What everybody may write lies in tmpfs of their own above the image's empty folders.
    run("mount", "-t", "tmpfs", "-o", "size=1m,mode=755", "etc", root + "/etc/muster")
    run("mount", "-t", "tmpfs", "-o", "size=1m,mode=755", "var", root + "/var/lib")
    for source, target, read_only in plan["mounts"]:
        os.makedirs(root + target, exist_ok=True)
        run("mount", "--bind", source, root + target)
        run("mount", "-o", "remount,bind,nosuid,nodev" + (",ro" if read_only else ""), root + target)
    run("mount", "-o", "remount,ro", root + "/etc/muster")
    run("mount", "-o", "remount,ro", root + "/var/lib")
    run("mount", "--bind", plan["hosts"], root + "/etc/hosts")

    run("hostname", plan["name"])

    os.chroot(root)
    os.chdir("/")
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(LAST_CAPABILITY + 1):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    os.setgroups([plan["fsGroup"]])
    os.setresgid(*[plan["runAsGroup"]] * 3)
    os.setresuid(*[plan["runAsUser"]] * 3)
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    os.execve(plan["words"][0], plan["words"], plan["environment"])


if __name__ == "__main__":
    main()
