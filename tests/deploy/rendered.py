"""Renders every overlay, alone and with every option, checks it strictly against the schemas of
Kubernetes, and then what no schema knows: that names, ports, selectors and times fit together."""

import os
import re
import sys
import tempfile

import kubernetes_validate
import yaml

from manifests import COMPONENTS, KUBERNETES, OVERLAYS, ROOT, find, render

# The oldest that serves all kinds that are used, and a new one.
VERSIONS = ("1.27", "1.34")
# Kinds of others, which Kubernetes' own schemas do not have.
FOREIGN = {"ServiceMonitor", "Certificate", "Issuer"}


def seconds(text):
    assert re.fullmatch(r"\d+s", text), text
    return int(text[:-1])


def flag(words, name):
    return next(word.split("=", 1)[1] for word in words if word.startswith(name + "="))


def pods(objects):
    return [(one, one["spec"]["template"]["spec"]) for one in objects if one["kind"] == "StatefulSet"]


def check_schemas(objects):
    for one in objects:
        if one["kind"] in FOREIGN:
            continue
        for version in VERSIONS:
            kubernetes_validate.validate(one, version, strict=True)


def check_references(objects):
    """What one object says of another is true."""
    names = {(one["kind"], one["metadata"]["name"]) for one in objects}
    labels = [one["spec"]["template"]["metadata"]["labels"] for one, _ in pods(objects)]
    for one in objects:
        namespace = "muster" if one["kind"] != "Namespace" else None
        assert one["metadata"].get("namespace") == namespace, one["metadata"]
    for one, pod in pods(objects):
        assert ("Service", one["spec"]["serviceName"]) in names
        assert ("ServiceAccount", pod["serviceAccountName"]) in names
        volumes = {volume["name"] for volume in pod["volumes"]} if "volumes" in pod else set()
        volumes |= {claim["metadata"]["name"] for claim in one["spec"].get("volumeClaimTemplates", [])}
        for container in pod["containers"] + pod.get("initContainers", []):
            for mount in container.get("volumeMounts", []):
                assert mount["name"] in volumes, (one["metadata"]["name"], mount)
            assert not container["image"].endswith(":latest") and ":" in container["image"], container["image"]
            known = {variable["name"] for variable in container.get("env", [])}
            for word in container.get("args", []):
                assert set(re.findall(r"\$\((\w+)\)", word)) <= known, word
    for one in objects:
        if one["kind"] == "Service":
            selected = [(owner, pod) for (owner, pod), have in zip(pods(objects), labels)
                        if one["spec"]["selector"].items() <= have.items()]
            assert len(selected) == 1, one["metadata"]["name"]
            ports = {port["name"] for container in selected[0][1]["containers"] for port in container["ports"]}
            assert {port["targetPort"] for port in one["spec"]["ports"]} <= ports
        if one["kind"] in ("PodDisruptionBudget", "NetworkPolicy"):
            selector = one["spec"].get("selector") or one["spec"]["podSelector"]
            wanted = selector.get("matchLabels", {}).items()
            assert any(wanted <= have.items() for have in labels), one["metadata"]["name"]


def check_security(objects, contained):
    """The restricted profile, and no rights in Kubernetes."""
    assert not any(one["kind"] in ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding") for one in objects)
    for one, pod in pods(objects):
        assert pod["automountServiceAccountToken"] is False and pod["enableServiceLinks"] is False
        loosened = contained and one["metadata"]["name"] == "muster-worker"
        assert pod["securityContext"]["runAsNonRoot"] is not loosened
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"] + pod.get("initContainers", []):
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True, container["name"]
            assert container["resources"]["requests"] and container["resources"]["limits"]["memory"]
            if not (loosened and container["name"] == "worker"):
                assert context["allowPrivilegeEscalation"] is False and context["capabilities"] == {"drop": ["ALL"]}
    worker = find(objects, "StatefulSet", "muster-worker")["spec"]["template"]["spec"]
    secret = next(volume["secret"] for volume in worker["volumes"] if volume["name"] == "ca")
    assert [item["key"] for item in secret["items"]] == ["ca.crt"], "a worker holds no key of the CA"
    for container in worker["containers"] + worker["initContainers"]:
        has_token = any(mount["name"] == "join" for mount in container["volumeMounts"])
        assert has_token is (container["name"] == "join"), "no program reads the token by which workers join"
    check_credentials(objects)


def check_credentials(objects):
    """Nothing listens without credentials, and masters have all that these need, closed to others."""
    for one, pod in pods(objects):
        for container in pod["containers"] + pod.get("initContainers", []):
            words = container["command"] + container.get("args", [])
            assert not any("insecure" in word for word in words), (one["metadata"]["name"], words)
    for name in ("muster-master", "muster-worker"):
        pod = find(objects, "StatefulSet", name)["spec"]["template"]["spec"]
        for volume in pod["volumes"]:
            source = volume.get("secret") or volume.get("projected")
            if source and volume["name"] != "ca":
                assert source["defaultMode"] == 0o400, volume
    master = find(objects, "StatefulSet", "muster-master")["spec"]["template"]["spec"]
    source = next(volume for volume in master["volumes"] if volume["name"] == "pki")
    assert ("secret" in source) is not ("projected" in source), source
    secrets = [source["secret"]] if "secret" in source else [part["secret"] for part in source["projected"]["sources"]]
    paths = {item["path"] for secret in secrets for item in secret["items"]}
    assert paths == {"ca.crt", "ca.key", "access.toml"}, paths


def check_probes(objects):
    """Kubelets ask the port that asks for no credentials, and liveness says nothing of etcd or a leader."""
    for name in ("muster-master", "muster-worker"):
        container = find(objects, "StatefulSet", name)["spec"]["template"]["spec"]["containers"][0]
        port = next(port["containerPort"] for port in container["ports"] if port["name"] == "http")
        assert flag(container["args"], "--http") == f"0.0.0.0:{port}"
        for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
            assert container[probe]["httpGet"] == {"path": path, "port": "http"}, (name, probe)


def check_autoscaler(objects):
    """Its metric is the one that the adapter's rule makes."""
    autoscaler = find(objects, "HorizontalPodAutoscaler", "muster-worker")
    with open(os.path.join(ROOT, "deploy", "monitoring", "prometheus-adapter.yml")) as text:
        names = {rule["name"]["as"] for rule in yaml.safe_load(text)["externalRules"]}
    for metric in autoscaler["spec"]["metrics"]:
        assert metric["external"]["metric"]["name"] in names, metric


def check_times(objects):
    """A hook, the grace of programs, and what Kubernetes gives a pod fit together."""
    pod = find(objects, "StatefulSet", "muster-worker")["spec"]["template"]["spec"]
    worker = pod["containers"][0]
    hook = worker["lifecycle"]["preStop"]["exec"]["command"]
    deadline, waits = seconds(flag(hook, "--deadline")), seconds(flag(hook, "--timeout"))
    grace = seconds(flag(worker["args"], "--stop-grace"))
    # A kill gives a program ten seconds of its own.
    assert deadline + 10 < waits, "what the deadline ends has ended when the hook does"
    assert waits + grace < pod["terminationGracePeriodSeconds"], "the pod is killed while it ends in order"


def check(folder, components=()):
    objects = render(folder)
    check_schemas(objects)
    check_references(objects)
    check_security(objects, "contained-workers" in components)
    check_times(objects)
    check_probes(objects)
    if "autoscaling" in components:
        check_autoscaler(objects)
    kinds = {one["kind"] for one in objects}
    assert ("HorizontalPodAutoscaler" in kinds) == ("autoscaling" in components)
    print(f"{os.path.basename(folder)}: {len(objects)} objects, options: {', '.join(components) or 'none'}")
    return objects


def with_components(overlay, components):
    """An overlay of somebody's own, as docs/kubernetes.md says to write one."""
    # It lies in the tree, because kustomize loads nothing from above an absolute path.
    with tempfile.TemporaryDirectory(dir=os.path.join(KUBERNETES, "overlays")) as folder:
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": ["../" + overlay],
            "components": ["../../components/" + name for name in components],
        }
        with open(os.path.join(folder, "kustomization.yaml"), "w") as out:
            yaml.safe_dump(kustomization, out)
        return check(folder, components)


def main():
    for overlay in OVERLAYS:
        objects = check(os.path.join(KUBERNETES, "overlays", overlay))
        masters = find(objects, "StatefulSet", "muster-master")["spec"]
        assert masters["replicas"] == (1 if overlay == "single" else 3)
        for component in COMPONENTS:
            with_components(overlay, (component,))
        with_components(overlay, COMPONENTS)
    # The check itself: a field that Kubernetes does not know is refused.
    wrong = find(objects, "StatefulSet", "muster-worker")
    wrong["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    try:
        check_schemas([wrong])
    except kubernetes_validate.ValidationError:
        return
    sys.exit("error: a misspelt field was taken")


if __name__ == "__main__":
    main()
