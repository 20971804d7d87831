"""Submits a driver as part of a trace, with a client of another family (grpcio).

Usage: traced.py ADDRESS TRACEPARENT DRIVER: the driver is a SubmitDriverRequest in JSON. Prints the
uid of the driver.
"""

import sys

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)


def main():
    address, traceparent, driver = sys.argv[1:]
    channel = grpc.insecure_channel(address)
    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    method = pool.FindServiceByName("muster.v1.MasterService").FindMethodByName("SubmitDriver")
    request = json_format.Parse(driver, message_factory.GetMessageClass(method.input_type)())
    submit = channel.unary_unary(
        "/muster.v1.MasterService/SubmitDriver",
        lambda message: message.SerializeToString(),
        message_factory.GetMessageClass(method.output_type).FromString,
    )
    print(submit(request, timeout=20, metadata=[("traceparent", traceparent)]).driver.uid)


main()
