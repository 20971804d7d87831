"""Holds a server's reflection to its contract with a client of another family (grpcio).

Usage: reflection.py ADDRESS SERVICE [SERVICE...]. The services are those of Muster's own that the
server must list, beside health and reflection, and no others. Both versions of the protocol are
asked the same and must answer the same, and health knows each service that is listed. Exits 1 at the first difference.
"""

import sys

import grpc
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2 as pb

DEADLINE = 20
VERSIONS = ("v1", "v1alpha")
COMMON = [
    "grpc.health.v1.Health",
    *(f"grpc.reflection.{version}.ServerReflection" for version in VERSIONS),
]
KNOWN = [
    "google.rpc.Status",
    "google.rpc.ErrorInfo",
    "google.rpc.BadRequest",
    "google.rpc.RetryInfo",
    "google.protobuf.Any",
    "grpc.health.v1.Health",
]
# The names by which every other proto imports these files.
FILES = [
    "google/rpc/status.proto",
    "google/rpc/error_details.proto",
    "grpc/health/v1/health.proto",
    "grpc/reflection/v1/reflection.proto",
    "grpc/reflection/v1alpha/reflection.proto",
    "google/protobuf/any.proto",
]
UNKNOWN = ["muster.v1.Nothing", "muster.v1", "google.rpc.Nothing"]


def ask(channel, version, requests):
    """All answers of one stream. The messages of both versions are the same on the wire."""
    call = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        lambda message: message.SerializeToString(deterministic=True),
        pb.ServerReflectionResponse.FromString,
    )
    answers = list(call(iter(requests), timeout=DEADLINE))
    assert len(answers) == len(requests), f"{version}: {len(answers)} answers to {len(requests)} requests"
    return answers


def file_of(answer):
    (encoded,) = answer.file_descriptor_response.file_descriptor_proto
    return descriptor_pb2.FileDescriptorProto.FromString(encoded)


def closure(channel, version, files):
    """Every file that these need, asked by name until nothing is missing."""
    known, wanted = {file.name for file in files}, [name for file in files for name in file.dependency]
    while missing := sorted(set(wanted) - known):
        answers = ask(channel, version, [pb.ServerReflectionRequest(file_by_filename=name) for name in missing])
        found = [file_of(answer) for answer in answers]
        assert [file.name for file in found] == missing, (missing, answers)
        known.update(missing)
        wanted = [name for file in found for name in file.dependency]
    return sorted(known)


def contract(channel, version, services, others):
    (listed,) = ask(channel, version, [pb.ServerReflectionRequest(list_services="")])
    names = [service.name for service in listed.list_services_response.service]
    assert sorted(names) == sorted([*services, *COMMON]), f"{version} lists {names}"
    health = health_pb2_grpc.HealthStub(channel)
    for name in names:
        health.Check(health_pb2.HealthCheckRequest(service=name), timeout=DEADLINE)

    symbols = [*KNOWN, *services]
    answers = ask(channel, version, [pb.ServerReflectionRequest(file_containing_symbol=name) for name in symbols])
    files = [file_of(answer) for answer in answers]
    named = ask(channel, version, [pb.ServerReflectionRequest(file_by_filename=name) for name in FILES])
    assert [file_of(answer).name for answer in named] == FILES, f"{version}: {named}"

    # An error is an answer of its own: what is asked after it on the same stream is answered.
    unknown = [pb.ServerReflectionRequest(file_containing_symbol=name) for name in [*UNKNOWN, *others]]
    unknown.append(pb.ServerReflectionRequest(file_by_filename="nothing.proto"))
    unknown.append(pb.ServerReflectionRequest(all_extension_numbers_of_type="muster.v1.Nothing"))
    refused = ask(channel, version, [*unknown, pb.ServerReflectionRequest(list_services="")])
    for answer in refused[:-1]:
        assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0], f"{version}: {answer}"
    assert refused[-1].HasField("list_services_response"), f"{version}: {refused[-1]}"
    closed = closure(channel, version, files)
    return [message.SerializeToString(deterministic=True) for message in [listed, *answers, *named, *refused]], closed


def main(address, services):
    ours = {f"muster.v1.{name}" for name in ("AccessService", "MasterService", "ApplicationService", "WorkerLinkService", "WorkerService")}
    others = sorted(ours - set(services))
    with grpc.insecure_channel(address) as channel:
        answers = [contract(channel, version, services, others) for version in VERSIONS]
    assert answers[0] == answers[1], "the versions answer differently"
    print("\n".join(answers[0][1]))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
