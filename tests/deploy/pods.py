"""Runs the pods of a StatefulSet on this machine as a kubelet would: the manifest's own commands, users, probes,
hooks, files and read-only root, in namespaces of mounts, processes, network and host name. It needs root.

What differs from a kubelet: no seccomp profile, no limits of memory and CPU; a Service is what is in
/etc/hosts; volumes are folders of this machine."""

import concurrent.futures
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

from manifests import ROOT

NETWORK = "10.77.0."
BRIDGE = "musterbr0"
HOST = NETWORK + "1"


class Failed(Exception):
    pass


def until(what, attempt, limit=120):
    """Waits for a condition, never for a time; the limit only ends a test that would hang."""
    ends = time.monotonic() + limit
    while time.monotonic() < ends:
        found = attempt()
        if found:
            return found
        time.sleep(0.05)
    raise Failed(f"not within {limit} s: {what}")


def run(*words):
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def expand(text, environment):
    """$(NAME), as Kubernetes does in commands and arguments; in hooks and probes it does not."""
    return re.sub(r"\$\((\w+)\)", lambda found: environment.get(found[1], found[0]), text)


class Network:
    """A bridge, with an address for each pod."""

    def __enter__(self):
        # One that a killed test left behind.
        subprocess.run(["ip", "link", "del", BRIDGE], stderr=subprocess.DEVNULL, check=False)
        run("ip", "link", "add", BRIDGE, "type", "bridge")
        run("ip", "addr", "add", HOST + "/24", "dev", BRIDGE)
        run("ip", "link", "set", BRIDGE, "up")
        self.joined = []
        return self

    def join(self, name, address):
        """A network namespace with an address, under a name."""
        namespace, link = "muster-test-" + name, "mt" + address.rsplit(".", 1)[1]
        # What a killed test left behind.
        for words in (["link", "del", link], ["netns", "del", namespace]):
            subprocess.run(["ip", *words], stderr=subprocess.DEVNULL, check=False)
        run("ip", "netns", "add", namespace)
        self.joined.append(namespace)
        run("ip", "link", "add", link, "master", BRIDGE, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        run("ip", "link", "set", link, "up")
        for words in (["link", "set", "lo", "up"], ["addr", "add", address + "/24", "dev", "eth0"],
                      ["link", "set", "eth0", "up"], ["route", "add", "default", "via", HOST]):
            run("ip", "-n", namespace, *words)
        return namespace

    def __exit__(self, *_):
        for namespace in self.joined:
            run("ip", "netns", "del", namespace)
        run("ip", "link", "del", BRIDGE)


class Node:
    """What pods share: their objects, the image's files, volumes, names."""

    def __init__(self, folder, network, objects, images, secrets, extra_mounts):
        self.folder, self.objects, self.images, self.secrets = folder, objects, images, secrets
        self.extra_mounts, self.pods = extra_mounts, {}
        self.hosts = os.path.join(folder, "hosts")
        self.addresses = {}
        for one in objects:
            if one["kind"] == "StatefulSet":
                for number in range(one["spec"]["replicas"]):
                    name = f"{one['metadata']['name']}-{number}"
                    self.addresses[name] = NETWORK + str(10 + len(self.addresses))
        self.namespaces = {name: network.join(name, address) for name, address in self.addresses.items()}
        self.write_names()

    def write_names(self):
        lines = ["127.0.0.1 localhost"]
        for one in self.objects:
            if one["kind"] != "Service":
                continue
            service = one["metadata"]["name"]
            for owner in (other for other in self.objects if other["kind"] == "StatefulSet"):
                labels = owner["spec"]["template"]["metadata"]["labels"]
                if not one["spec"]["selector"].items() <= labels.items():
                    continue
                for number in range(owner["spec"]["replicas"]):
                    pod = f"{owner['metadata']['name']}-{number}"
                    own = f"{pod}.{service}"
                    lines.append(f"{self.addresses[pod]} {service} {service}.muster.svc {own} {own}.muster.svc")
        with open(self.hosts, "w") as out:
            out.write("\n".join(lines) + "\n")

    def start(self, owner, number):
        pod = Pod(self, owner, number)
        self.pods[pod.name] = pod
        pod.start()
        return pod

    def start_all(self, owner):
        """The pods of a set, at the same time."""
        with concurrent.futures.ThreadPoolExecutor() as threads:
            return list(threads.map(lambda number: self.start(owner, number), range(owner["spec"]["replicas"])))


class Pod:
    def __init__(self, node, owner, number):
        self.node, self.owner = node, owner
        self.name = f"{owner['metadata']['name']}-{number}"
        self.spec = owner["spec"]["template"]["spec"]
        self.container = self.spec["containers"][0]
        self.folder = os.path.join(node.folder, self.name)
        self.log = os.path.join(node.folder, self.name + ".log")
        self.unshare = self.pid = None

    # ---- Files ----

    def volumes(self):
        """Volumes as a kubelet makes them: a claim outlives the pod, an emptyDir does not."""
        group = self.spec["securityContext"]["fsGroup"]
        made = {}
        for claim in self.owner["spec"].get("volumeClaimTemplates", []):
            path = os.path.join(self.node.folder, f"claim-{self.name}-{claim['metadata']['name']}")
            if not os.path.exists(path):
                os.mkdir(path)
                os.chown(path, 0, group)
                os.chmod(path, 0o2775)
            made[claim["metadata"]["name"]] = path
        for volume in self.spec.get("volumes", []):
            path = os.path.join(self.folder, "volumes", volume["name"])
            os.makedirs(path)
            if "emptyDir" in volume:
                os.chown(path, 0, group)
                os.chmod(path, 0o2777)
            else:
                secret = volume["secret"]
                mode = secret.get("defaultMode", 0o644)
                # A kubelet writes into a folder beside, and leads there by links, so that all files change at once.
                written = os.path.join(path, "..2026_01_01_00_00_00.1")
                os.mkdir(written)
                os.symlink(os.path.basename(written), os.path.join(path, "..data"))
                for item in secret["items"]:
                    file = os.path.join(written, item["path"])
                    with open(file, "wb") as out:
                        out.write(self.node.secrets[secret["secretName"]][item["key"]])
                    os.symlink(os.path.join("..data", item["path"]), os.path.join(path, item["path"]))
                    # With fsGroup a kubelet lets the group read.
                    os.chown(file, 0, group)
                    os.chmod(file, mode | 0o440)
                for folder in (path, written):
                    os.chown(folder, 0, group)
                    os.chmod(folder, 0o2755)
            made[volume["name"]] = path
        return made

    def environment(self, container):
        known = {"PATH": "/usr/bin:/bin", "HOSTNAME": self.name, "HOME": "/"}
        fields = {"metadata.name": self.name, "metadata.namespace": "muster"}
        for variable in container.get("env", []):
            source = variable.get("valueFrom")
            if source is None:
                value = expand(variable["value"], known)
            elif "fieldRef" in source:
                value = fields[source["fieldRef"]["fieldPath"]]
            else:
                value = container["resources"]["requests"][source["resourceFieldRef"]["resource"].split(".")[1]]
            known[variable["name"]] = value
        return known

    def identity(self, container):
        context = {**self.spec["securityContext"], **container["securityContext"]}
        return {key: context[key] for key in ("runAsUser", "runAsGroup", "fsGroup")}

    # ---- Life ----

    def start(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        volumes = self.volumes()
        for container in self.spec.get("initContainers", []):
            # As a kubelet does: until it succeeds.
            until(f"{self.name}: {container['name']}", lambda c=container: self.launch(c, volumes).wait() == 0)
        self.unshare = self.launch(self.container, volumes)
        children = f"/proc/{self.unshare.pid}/task/{self.unshare.pid}/children"

        def child():
            if self.unshare.poll() is not None:
                raise Failed(f"{self.name} has ended:\n{self.tail()}")
            with open(children) as listed:
                return listed.read().split()

        self.pid = int(until(f"{self.name}: process 1", child)[0])

    def launch(self, container, volumes):
        environment = self.environment(container)
        words = [expand(word, environment) for word in container["command"] + container.get("args", [])]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        mounts = [[volumes[mount["name"]], mount["mountPath"], mount.get("readOnly", False)]
                  for mount in container["volumeMounts"]]
        plan = {
            "name": self.name, "root": os.path.join(self.folder, "root"),
            "image": self.node.images[container["image"].split(":")[0], container["name"]], "hosts": self.node.hosts,
            "mounts": mounts + self.node.extra_mounts.get(container["name"], []), "words": words,
            "environment": environment, **self.identity(container),
        }
        os.makedirs(plan["root"], exist_ok=True)
        enter = os.path.join(ROOT, "tests", "deploy", "enter.py")
        with open(self.log, "ab") as log:
            return subprocess.Popen(
                ["ip", "netns", "exec", self.node.namespaces[self.name], "unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child", sys.executable,
                 enter, json.dumps(plan)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def execute(self, command):
        """A command in the container, as a hook or a probe is run."""
        who = self.identity(self.container)
        environment = self.environment(self.container)
        return subprocess.run(
            ["nsenter", "--target", str(self.pid), "--mount", "--pid", "--net", "--uts", "--ipc", "--root", "--wd=/",
             "--setuid", str(who["runAsUser"]), "--setgid", str(who["runAsGroup"]), *command], env=environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)

    def answers(self, probe):
        probe = self.container[probe]
        ports = {port["name"]: port["containerPort"] for port in self.container["ports"]}
        address = self.node.addresses[self.name]
        if self.unshare.poll() is not None:
            raise Failed(f"{self.name} has ended:\n{self.tail()}")
        try:
            if "httpGet" in probe:
                port = ports[probe["httpGet"]["port"]]
                url = f"http://{address}:{port}{probe['httpGet']['path']}"
                return urllib.request.urlopen(url, timeout=probe.get("timeoutSeconds", 1)).status == 200
            if "tcpSocket" in probe:
                socket.create_connection((address, ports[probe["tcpSocket"]["port"]]), 1).close()
                return True
        except OSError:
            return False
        raise Failed(f"{self.name}: a probe of another kind: {probe}")

    def scrape(self):
        ports = {port["name"]: port["containerPort"] for port in self.container["ports"]}
        url = f"http://{self.node.addresses[self.name]}:{ports['http']}/metrics"
        return urllib.request.urlopen(url, timeout=10).read().decode()

    def wait_until_ready(self):
        until(f"{self.name} has started", lambda: self.answers("startupProbe"))
        until(f"{self.name} is ready", lambda: self.answers("readinessProbe"))
        assert self.answers("livenessProbe"), f"{self.name} is ready and not alive"

    def stop(self):
        """The hook, then TERM to process 1, and KILL only after the pod's grace, which is a failure."""
        began = time.monotonic()
        hook = self.container.get("lifecycle", {}).get("preStop")
        if hook:
            done = self.execute(hook["exec"]["command"])
            if done.returncode != 0:
                raise Failed(f"{self.name}: preStop: {done.returncode}: {done.stdout}")
        os.kill(self.pid, signal.SIGTERM)
        left = self.spec["terminationGracePeriodSeconds"] - (time.monotonic() - began)
        try:
            self.unshare.wait(left)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failed(f"{self.name} outlived its grace:\n{self.tail()}") from None
        return self.unshare.returncode

    def kill(self):
        if self.unshare and self.unshare.poll() is None:
            self.unshare.kill()
            self.unshare.wait()

    def tail(self):
        with open(self.log, errors="replace") as log:
            return "".join(log.readlines()[-15:])
