"""Reads what `kubectl kustomize` makes of deploy/kubernetes, for the tests beside it."""

import os
import subprocess

import yaml

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
KUBERNETES = os.path.join(ROOT, "deploy", "kubernetes")
OVERLAYS = ("single", "ha")
COMPONENTS = ("service-monitor", "cert-manager", "autoscaling", "contained-workers")


def kubectl():
    return subprocess.run([os.path.join(ROOT, "deploy", "kubectl-install")], check=True, stdout=subprocess.PIPE,
                          text=True).stdout.strip()


def render(folder):
    """The objects of a kustomization."""
    text = subprocess.run([kubectl(), "kustomize", folder], check=True, stdout=subprocess.PIPE, text=True).stdout
    return [one for one in yaml.safe_load_all(text) if one]


def find(objects, kind, name):
    return next(one for one in objects if one["kind"] == kind and one["metadata"]["name"] == name)
