"""Holds masters to the contract of the wire with a client of another family (grpcio).

Usage: contract.py ADDRESS [ADDRESS...]. Every address is asked the same, and must answer the same:
the first is the leader, the others stand by. Nothing of Muster's is needed: the messages are made
from reflection (v1alpha, the one that grpcio speaks). Prints what it asked; exits 1 at the first
difference.
"""

import os
import sys
import time

import grpc
from google.protobuf import descriptor_pool, message_factory
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

DEADLINE = 20


def channel(address, options, compression):
    """A channel over TLS where MUSTER_CA_FILE names the cluster's CA, else in the clear."""
    if path := os.environ.get("MUSTER_CA_FILE"):
        with open(path, "rb") as ca:
            credentials = grpc.ssl_channel_credentials(ca.read())
        return grpc.secure_channel(address, credentials, options, compression=compression)
    return grpc.insecure_channel(address, options, compression=compression)


class Master:
    """One master, through one channel."""

    def __init__(self, address, compression=None):
        options = [("grpc.enable_retries", 0)]
        self.channel = channel(address, options, compression)
        database = ProtoReflectionDescriptorDatabase(self.channel)
        self.services = set(database.get_services())
        self.pool = descriptor_pool.DescriptorPool(database)

    def message(self, name, **fields):
        kind = message_factory.GetMessageClass(self.pool.FindMessageTypeByName(f"muster.v1.{name}"))
        return kind(**fields)

    def method(self, name, service="MasterService"):
        found = self.pool.FindServiceByName(f"muster.v1.{service}").FindMethodByName(name)
        answer = message_factory.GetMessageClass(found.output_type)
        path = f"/muster.v1.{service}/{name}"
        kind = self.channel.unary_stream if found.server_streaming else self.channel.unary_unary
        return kind(path, lambda message: message.SerializeToString(), answer.FromString)

    def ask(self, name, request, **options):
        return self.method(name)(request, timeout=options.pop("timeout", DEADLINE), **options)

    def refusal(self, name, request, **options):
        """The code, the text and the details of an error."""
        try:
            answer = self.ask(name, request, **options)
            list(answer) if hasattr(answer, "__next__") else None
        except grpc.RpcError as error:
            trailers = dict(error.trailing_metadata())
            status = status_pb2.Status.FromString(trailers.get("grpc-status-details-bin", b""))
            info = error_details_pb2.ErrorInfo()
            details = [detail.type_url.rsplit(".", 1)[-1] for detail in status.details]
            for detail in status.details:
                detail.Unpack(info)
            return error.code().name, error.details(), info.reason, sorted(details)
        raise AssertionError(f"{name} was not refused")

    def submit(self, driver_id, program="/bin/true", **options):
        command = self.message("Command", program=program)
        spec = self.message("DriverSpec", command=command)
        request = self.message("SubmitDriverRequest", driver=spec, driver_id=driver_id)
        return self.ask("SubmitDriver", request, **options)


def refusals(master):
    get = master.message("GetDriverRequest", driver_id="nobody")
    bad = master.message("SubmitDriverRequest", driver_id="Not A Name")
    taken = master.message(
        "SubmitDriverRequest",
        driver_id="taken",
        driver=master.message("DriverSpec", command=master.message("Command", program="/bin/false")),
    )
    watch = master.message("WatchEventsRequest", resume_token="nonsense")
    large = master.message("GetDriverRequest", driver_id="x" * (2 << 20))
    many = master.message("WatchEventsRequest", driver_ids=["x" * (5 << 20)])
    filled = [("x-fill", "x" * (20 << 10))]
    return {
        "unknown id": master.refusal("GetDriver", get),
        "bad fields": master.refusal("SubmitDriver", bad),
        "taken name": master.refusal("SubmitDriver", taken),
        "bad token of a stream": master.refusal("WatchEvents", watch),
        "too large": master.refusal("GetDriver", large),
        "too large for a stream": master.refusal("WatchEvents", many),
        "large headers": master.refusal("GetDriver", get, metadata=filled),
        "headers that fit": master.refusal("GetDriver", get, metadata=[("x-fill", "x" * (15 << 10))]),
    }


def unknown_method(master):
    call = master.channel.unary_unary("/muster.v1.MasterService/Nothing")
    try:
        call(b"", timeout=DEADLINE)
    except grpc.RpcError as error:
        return error.code().name
    raise AssertionError("it is not there")


def streams(master):
    """An event comes, a cancelled stream ends, and the channel goes on."""
    request = master.message("WatchEventsRequest", from_oldest=True)
    events = master.ask("WatchEvents", request)
    seen = next(response for response in events if response.events)
    assert seen.resume_token, "an event has a place to resume from"
    events.cancel()
    started = time.monotonic()
    try:
        for _ in master.ask("WatchEvents", request, timeout=0.5):
            pass
        raise AssertionError("a stream of events has no end of its own")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
    assert time.monotonic() - started < DEADLINE / 2
    leader = next(iter(master.ask("WatchLeader", master.message("WatchLeaderRequest"))))
    return leader.leader


def health(master):
    stub = health_pb2_grpc.HealthStub(master.channel)
    names = ["", "liveness", "readiness", *sorted(master.services)]
    return {name: stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=DEADLINE).status for name in names}


def contract(address, compression):
    master = Master(address, compression)
    found = master.ask("GetDriver", master.message("GetDriverRequest", driver_id="taken"))
    listed = master.ask("ListDrivers", master.message("ListDriversRequest", page_size=10))
    return {
        "services": sorted(master.services),
        "driver": found.driver.uid,
        "list": [driver.driver_id for driver in listed.drivers],
        "refusals": refusals(master),
        "unknown method": unknown_method(master),
        "leader": streams(master),
        "health": health(master),
    }


def main(addresses):
    Master(addresses[-1]).submit("taken")
    expected = None
    for compression in (grpc.Compression.Gzip, None):
        for address in addresses:
            answers = contract(address, compression)
            expected = expected or answers
            for name, answer in answers.items():
                assert answer == expected[name], f"{address}: {name}: {answer} but {expected[name]}"
    refused = expected["refusals"]
    for name, (code, reason) in {
        "unknown id": ("NOT_FOUND", "NOT_FOUND"),
        "bad fields": ("INVALID_ARGUMENT", "BAD_REQUEST"),
        "taken name": ("ALREADY_EXISTS", "ALREADY_EXISTS"),
        "too large": ("RESOURCE_EXHAUSTED", "TOO_LARGE"),
        "too large for a stream": ("RESOURCE_EXHAUSTED", "TOO_LARGE"),
        "large headers": ("RESOURCE_EXHAUSTED", "TOO_LARGE"),
        "headers that fit": ("NOT_FOUND", "NOT_FOUND"),
    }.items():
        assert (refused[name][0], refused[name][2]) == (code, reason), f"{name}: {refused[name]}"
    assert expected["unknown method"] == "UNIMPLEMENTED", expected["unknown method"]
    assert set(expected["health"].values()) == {1}, expected["health"]
    for name, answer in expected.items():
        print(f"{name}: {answer}")


if __name__ == "__main__":
    main(sys.argv[1:])
