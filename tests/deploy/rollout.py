"""Runs an overlay's pods on this machine by the manifests' own words, and restarts every StatefulSet pod by pod,
from the highest number down, while drivers are submitted. Nothing may be lost: each driver that was
accepted has run exactly once. Usage: rollout.py OVERLAY FOLDER_OF_PROGRAMS"""

import os
import re
import subprocess
import sys
import tempfile
import threading
from collections import Counter

import yaml

from manifests import KUBERNETES, ROOT, find, render
from pods import Failed, Network, Node, until

BUSYBOX = "busybox"
WITNESS = "/witness"
SCRIPT = f"echo start >> {WITNESS}/$MUSTER_DRIVER; sleep 0.3; echo end >> {WITNESS}/$MUSTER_DRIVER"


def output(*words, **options):
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, **options).stdout.strip()


def images(folder, programs):
    """The image as it is, and that of a team, which has put a shell into its own."""
    made = {}
    for name in ("muster", "team", "etcd"):
        made[name] = os.path.join(folder, "image-" + name)
        os.makedirs(made[name])
        subprocess.run([os.path.join(ROOT, "deploy", "container", "rootfs"), programs, made[name]], check=True)
        # A container runtime puts its own there.
        open(os.path.join(made[name], "etc", "hosts"), "w").close()
    shell = output("sh", "-c", "command -v " + BUSYBOX)
    subprocess.run(["cp", "-L", shell, made["team"] + "/usr/bin/busybox"], check=True)
    for tool in ("sh", "sleep"):
        os.symlink("busybox", f"{made['team']}/usr/bin/{tool}")
    os.mkdir(made["team"] + WITNESS)
    etcd = output(os.path.join(ROOT, "deploy", "etcd-install"))
    os.makedirs(made["etcd"] + "/usr/local/bin")
    subprocess.run(["cp", "-L", etcd, made["etcd"] + "/usr/local/bin/etcd"], check=True)
    return {("muster", "master"): made["muster"], ("muster", "join"): made["muster"],
            ("muster", "undrain"): made["muster"], ("muster", "worker"): made["team"], ("quay.io/coreos/etcd", "etcd"): made["etcd"]}


def read(*path):
    with open(os.path.join(*path), "rb") as file:
        return file.read()


def join_token(muster, masters, digest, pki):
    """The token of the secret muster-join, made as docs/kubernetes.md says."""
    token = os.path.join(pki, "admin.token")
    done = muster("login", masters, "--ca-digest", digest, "--token-file", token)
    assert done.returncode == 0, done.stdout
    done = muster("token", "create", "--worker", "--name", "kubernetes", "--ttl", "365d")
    assert done.returncode == 0, done.stdout
    return next(line for line in done.stdout.splitlines() if line.startswith("mstj_")).encode()


def check_refusals(programs, masters, pki):
    """Whoever reaches the port and has no token commands nothing."""
    for words in ((), ("--ca", os.path.join(pki, "ca.crt"))):
        done = subprocess.run([os.path.join(programs, "muster"), "list", "drivers", "--master", masters, *words],
                              env={}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        assert done.returncode == 1, (words, done.stdout)


def check_metrics(node):
    """What the rule of the autoscaler sums is there to be scraped, on the leader's page."""
    pages = "".join(pod.scrape() for pod in node.pods.values() if "master" in pod.name)
    with open(os.path.join(ROOT, "deploy", "monitoring", "prometheus-adapter.yml")) as text:
        rules = yaml.safe_load(text)["externalRules"]
    for rule in rules:
        for series in re.findall(r"muster_\w+", rule["metricsQuery"]):
            assert f"\n{series}{{" in pages, series


class Load:
    """Submits one driver after the other until it is stopped."""

    def __init__(self, muster):
        self.muster, self.accepted, self.failed = muster, [], []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.work)
        self.thread.start()

    def work(self):
        number = 0
        while not self.stopping.is_set():
            number += 1
            name = f"load-{number}"
            done = self.muster("submit", "--id", name, "--cores", "1", "--memory", "16M", "--", "/usr/bin/sh", "-c",
                               SCRIPT)
            (self.accepted if done.returncode == 0 else self.failed).append((name, done.stdout))

    def stop(self):
        self.stopping.set()
        self.thread.join()


def roll(node, owner, load):
    for number in reversed(range(owner["spec"]["replicas"])):
        before = len(load.accepted)
        node.pods[f"{owner['metadata']['name']}-{number}"].stop()
        node.start(owner, number).wait_until_ready()
        # The load goes on under each, so that there is something to lose.
        until("submissions are accepted", lambda: len(load.accepted) > before or load.failed)
        assert not load.failed, load.failed
        print(f"{owner['metadata']['name']}-{number} is replaced; {len(load.accepted)} drivers so far", flush=True)


def main():
    overlay, programs = sys.argv[1], os.path.realpath(sys.argv[2])
    if os.geteuid() != 0:
        sys.exit("error: namespaces of mounts and users of containers need root")
    objects = render(os.path.join(KUBERNETES, "overlays", overlay))
    with tempfile.TemporaryDirectory(prefix="muster-pods-") as folder, Network() as network:
        os.chmod(folder, 0o755)
        pki = os.path.join(folder, "pki")
        made = output(os.path.join(programs, "muster-master"), "init", "--out", pki)
        digest = re.search(r"sha256:\w+", made)[0]
        secrets = {"muster-pki": {name: read(pki, name) for name in ("ca.crt", "ca.key", "access.toml")}}
        witness = os.path.join(folder, "witness")
        os.mkdir(witness)
        os.chmod(witness, 0o777)
        node = Node(folder, network, objects, images(folder, programs), secrets,
                    {"worker": [[witness, WITNESS, False]]})
        order = [name for name in ("muster-etcd", "muster-master", "muster-worker")
                 if any(one["kind"] == "StatefulSet" and one["metadata"]["name"] == name for one in objects)]
        owners = [find(objects, "StatefulSet", name) for name in order]
        masters = ",".join(f"{address}:7077" for name, address in node.addresses.items() if "master" in name)

        # A person's own machine, which knows the cluster by what docs/kubernetes.md has it told.
        environment = {"PATH": os.environ["PATH"], "XDG_CONFIG_HOME": os.path.join(folder, "config")}

        def muster(*words):
            return subprocess.run([os.path.join(programs, "muster"), *words], env=environment, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)

        load = None
        try:
            for owner in owners:
                # All at once, as podManagementPolicy says.
                assert owner["spec"]["podManagementPolicy"] == "Parallel"
                pods = node.start_all(owner)
                for pod in pods:
                    pod.wait_until_ready()
                if owner["metadata"]["name"] == "muster-master":
                    secrets["muster-join"] = {"token": join_token(muster, masters, digest, pki)}
                    check_refusals(programs, masters, pki)
                    check_metrics(node)
            load = Load(muster)
            for owner in owners:
                roll(node, owner, load)
            load.stop()
            check(load, muster, witness)
            for owner in reversed(owners):
                for number in reversed(range(owner["spec"]["replicas"])):
                    code = node.pods[f"{owner['metadata']['name']}-{number}"].stop()
                    assert code == 0 or "etcd" in owner["metadata"]["name"], (owner["metadata"]["name"], code)
        except (Failed, AssertionError):
            for pod in node.pods.values():
                print(f"--- {pod.name}\n{pod.tail()}", file=sys.stderr)
            raise
        finally:
            if load:
                load.stop()
            for pod in node.pods.values():
                pod.kill()


def check(load, muster, witness):
    assert not load.failed, load.failed
    assert load.accepted

    names = [name for name, _ in load.accepted]
    want = {name: "start\nend\n" for name in names}

    def lives():
        found = {}
        for name in os.listdir(witness):
            with open(os.path.join(witness, name)) as life:
                found[name] = life.read()
        return found

    try:
        until("every driver has run", lambda: lives() == want)
    except Failed:
        found = lives()
        wrong = Counter(found.get(name, "nothing") for name in names if found.get(name) != want[name])
        missing = [name for name in names if found.get(name) != want[name]]
        raise Failed(f"{wrong}; {muster('get', 'driver', missing[0]).stdout if missing else set(found) - set(names)}") from None
    print(f"{len(names)} drivers were accepted, and each ran exactly once")


if __name__ == "__main__":
    main()
