"""A search for hyperparameters with scikit-learn, whose fits run on a cluster through joblib's backend of Dask.

Usage: search.py [WORKERS]

It runs the same outside of the cluster and as a driver: ``muster submit --wait -- python3 search.py``.
"""

from __future__ import annotations

import os
import sys

import joblib
from dask.distributed import Client
from muster.dask import MusterCluster
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC

GRID = {"C": [0.1, 1, 10], "gamma": [0.0001, 0.001, 0.01]}


def main(workers: int) -> None:
    images, digits = load_digits(return_X_y=True)
    search = GridSearchCV(SVC(), GRID, cv=3)
    # Where this Python finds its packages, the workers' one does.
    env = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with MusterCluster(n_workers=workers, memory="1G", options={"env": env}) as cluster, Client(cluster):
        with joblib.parallel_config("dask"):
            search.fit(images, digits)
    print(f"best of {len(search.cv_results_['params'])}: {search.best_params_}, right in {search.best_score_:.1%}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
