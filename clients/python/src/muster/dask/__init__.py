"""Dask on a Muster cluster: needs the extra ``muster[dask]``.

>>> from dask.distributed import Client
>>> from muster.dask import MusterCluster
>>> with MusterCluster(n_workers=4, cores=1, memory="2G") as cluster, Client(cluster) as client:
...     client.submit(sum, range(10)).result()
45
"""

from ._adaptive import MusterAdaptive
from ._cluster import MusterCluster

__all__ = ["MusterAdaptive", "MusterCluster"]
