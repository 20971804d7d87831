"""A tour of Muster from Python: submit, wait, read a log, kill, list, run executors.

Usage: tour.py [PROGRAM [ARGUMENT...]]

MUSTER_MASTER names the masters (HOST:PORT, several with commas between), MUSTER_CA_FILE the CA of
masters that serve over TLS, and MUSTER_TOKEN a token to authenticate with.
"""

import contextlib
import dataclasses
import ipaddress
import os
import pathlib
import sys
import time
import uuid

import grpc
from muster.v1 import application_pb2, application_service_pb2, application_service_pb2_grpc
from muster.v1 import driver_pb2, master_service_pb2, master_service_pb2_grpc
from muster.v1 import process_pb2, resources_pb2

Driver, Application, Executor = driver_pb2.Driver, application_pb2.Application, application_pb2.Executor

# A call that takes longer is asked again, at another master.
TRY_SECONDS = 10
# How long no master may answer before the program gives up.
PATIENCE_SECONDS = 60
BATCH, PAGE_SIZE, EXECUTORS = 20, 8, 2

SERVICE_CONFIG = pathlib.Path(__file__).parent.parent / "service-config.json"
# The same call may succeed later. UNKNOWN means that a mutation may have been applied: asked again
# under the same request id, it is applied once.
RETRYABLE = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DEADLINE_EXCEEDED}
TERMINAL = {
    Driver.STATE_FINISHED,
    Driver.STATE_FAILED,
    Driver.STATE_KILLED,
    Driver.STATE_LOST,
    Driver.STATE_CRASH_LOOP,
}


def is_loopback(address):
    host = address.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class BearerToken(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Sends a token with every call."""

    def __init__(self, token):
        self._metadata = ("authorization", f"Bearer {token}")

    def _intercept(self, continuation, details, request):
        metadata = [*(details.metadata or ()), self._metadata]
        return continuation(details._replace(metadata=metadata), request)

    intercept_unary_unary = intercept_unary_stream = _intercept


@dataclasses.dataclass
class Master:
    """The stubs of one master."""

    service: master_service_pb2_grpc.MasterServiceStub
    applications: application_service_pb2_grpc.ApplicationServiceStub


class Cluster:
    """The masters of a cluster. Any of them may be asked; when one does not answer, the next is."""

    def __init__(self, addresses, ca=None, token=None):
        options = [
            # Calls that change nothing are repeated by gRPC itself.
            ("grpc.service_config", SERVICE_CONFIG.read_text()),
            # A machine that is gone without a word is noticed.
            ("grpc.keepalive_time_ms", 10_000),
            ("grpc.keepalive_timeout_ms", 5_000),
        ]
        self._channels = contextlib.ExitStack()
        self._masters = []
        for address in addresses:
            if ca:
                channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(ca), options)
            else:
                channel = grpc.insecure_channel(address, options)
            self._channels.enter_context(channel)
            if token and (ca or is_loopback(address)):
                channel = grpc.intercept_channel(channel, BearerToken(token))
            self._masters.append(
                Master(
                    master_service_pb2_grpc.MasterServiceStub(channel),
                    application_service_pb2_grpc.ApplicationServiceStub(channel),
                )
            )
        self._silent_since = None

    @classmethod
    def from_environment(cls):
        ca_file = os.environ.get("MUSTER_CA_FILE")
        return cls(
            os.environ.get("MUSTER_MASTER", "localhost:7077").split(","),
            ca=pathlib.Path(ca_file).read_bytes() if ca_file else None,
            token=os.environ.get("MUSTER_TOKEN"),
        )

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._channels.close()

    @property
    def master(self):
        return self._masters[0]

    def answered(self):
        """Notes that a master answered."""
        self._silent_since = None

    def failed(self, error):
        """Turns to the next master after a pause, or raises the error if that is of no use."""
        now = time.monotonic()
        self._silent_since = self._silent_since or now
        if error.code() not in RETRYABLE or now - self._silent_since > PATIENCE_SECONDS:
            raise error
        print(f"# {error.code().name}: {error.details()}", file=sys.stderr)
        self._masters.append(self._masters.pop(0))
        time.sleep(0.2)

    def call(self, method):
        """Calls `method` with a master until one answers.

        A mutation must carry a request id, made before: then it is applied once, however often it
        is asked for.
        """
        while True:
            try:
                answer = method(self.master)
            except grpc.RpcError as error:
                self.failed(error)
            else:
                self.answered()
                return answer


def submit(cluster, command):
    request = master_service_pb2.SubmitDriverRequest(
        driver=driver_pb2.DriverSpec(
            command=process_pb2.Command(program=command[0], args=command[1:]),
            resources=resources_pb2.Resources(cores=1, memory_bytes=64 << 20),
            labels={"client": "python"},
        ),
        request_id=str(uuid.uuid4()),
    )
    driver = cluster.call(lambda master: master.service.SubmitDriver(request, timeout=TRY_SECONDS)).driver
    print(f"submitted {driver.driver_id}", flush=True)
    return driver.driver_id


def get(cluster, driver_id):
    request = master_service_pb2.GetDriverRequest(driver_id=driver_id)
    return cluster.call(lambda master: master.service.GetDriver(request, timeout=TRY_SECONDS))


def wait(cluster, driver_id):
    """Follows a driver until it has ended, and gives it as it is then."""
    found = get(cluster, driver_id)
    print(f"{driver_id}: {Driver.State.Name(found.driver.state)}", flush=True)
    token = found.resume_token
    while found.driver.state not in TERMINAL:
        request = master_service_pb2.WatchEventsRequest(resume_token=token, driver_ids=[driver_id])
        try:
            for response in cluster.master.service.WatchEvents(request):
                cluster.answered()
                token = response.resume_token
                for event in response.events:
                    print(f"{driver_id}: {Driver.State.Name(event.driver.state)}", flush=True)
                if any(event.driver.state in TERMINAL for event in response.events):
                    break
        except grpc.RpcError as error:
            # The events after the token may be forgotten; then its present state tells all.
            if error.code() != grpc.StatusCode.OUT_OF_RANGE:
                cluster.failed(error)
                continue
        found = get(cluster, driver_id)
        token = found.resume_token
    return found.driver


def read_log(cluster, driver_id):
    """Yields the output of a driver until it has ended, each byte once."""
    request = master_service_pb2.ReadLogRequest(driver_id=driver_id, follow=True)
    while True:
        try:
            for response in cluster.master.service.ReadLog(request):
                cluster.answered()
                chunk = response.chunk
                yield chunk.data
                request.offset.truncations = chunk.offset.truncations
                request.offset.byte = chunk.offset.byte + len(chunk.data)
                if chunk.end:
                    return
        except grpc.RpcError as error:
            cluster.failed(error)


def kill(cluster, driver_id):
    request = master_service_pb2.KillDriverRequest(driver_id=driver_id, request_id=str(uuid.uuid4()))
    cluster.call(lambda master: master.service.KillDriver(request, timeout=TRY_SECONDS))


def list_drivers(cluster, filter):
    """Yields all drivers that the filter selects, page by page."""
    request = master_service_pb2.ListDriversRequest(page_size=PAGE_SIZE, filter=filter)
    while True:
        page = cluster.call(lambda master: master.service.ListDrivers(request, timeout=TRY_SECONDS))
        yield from page.drivers
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def run_executors(cluster):
    """Registers an application with one executor, asks for more, and ends it once they run."""
    sleep = process_pb2.Command(program="/bin/sleep", args=["3600"])
    one_core = resources_pb2.Resources(cores=1, memory_bytes=64 << 20)
    register = application_service_pb2.RegisterApplicationRequest(
        application=application_pb2.ApplicationSpec(
            name="tour",
            template=application_pb2.ExecutorTemplate(command=sleep),
            profiles=[application_pb2.ExecutorProfile(profile_id=0, resources=one_core, target=1)],
        ),
        request_id=str(uuid.uuid4()),
    )
    application_id = cluster.call(
        lambda master: master.applications.RegisterApplication(register, timeout=TRY_SECONDS)
    ).application.application_id
    more = application_service_pb2.RequestExecutorsRequest(
        application_id=application_id,
        sequence=1,
        targets=[application_service_pb2.ProfileTarget(profile_id=0, target=EXECUTORS)],
        request_id=str(uuid.uuid4()),
    )
    cluster.call(lambda master: master.applications.RequestExecutors(more, timeout=TRY_SECONDS))
    # The stream is the application's session: while it is away for too long, the application ends.
    watch = application_service_pb2.WatchApplicationRequest(application_id=application_id)
    running = set()
    while len(running) < EXECUTORS:
        session = cluster.master.applications.WatchApplication(watch)
        try:
            for response in session:
                cluster.answered()
                if response.is_snapshot:
                    running.clear()
                changed = [event.executor for event in response.events if event.HasField("executor")]
                for executor in [*response.snapshot, *changed]:
                    if executor.state == Executor.STATE_RUNNING:
                        running.add(executor.executor_id)
                    else:
                        running.discard(executor.executor_id)
                watch.resume_revision = response.revision
                if len(running) >= EXECUTORS:
                    break
        except grpc.RpcError as error:
            cluster.failed(error)
    print(f"{application_id}: {len(running)} executors run", flush=True)
    end = application_service_pb2.UnregisterApplicationRequest(
        application_id=application_id, success=True, request_id=str(uuid.uuid4())
    )
    cluster.call(lambda master: master.applications.UnregisterApplication(end, timeout=TRY_SECONDS))
    print(f"{application_id}: ended", flush=True)


def main(command):
    with Cluster.from_environment() as cluster:
        for _ in range(BATCH):
            submit(cluster, ["/bin/true"])
        print(f"listed {len(list(list_drivers(cluster, 'labels.client=python')))}", flush=True)

        driver = wait(cluster, submit(cluster, command))
        output = b"".join(read_log(cluster, driver.driver_id)).decode()
        print(f"exit code {driver.outcome.exit_code}, output {output!r}", flush=True)

        endless = submit(cluster, ["/bin/sleep", "3600"])
        kill(cluster, endless)
        wait(cluster, endless)

        run_executors(cluster)


if __name__ == "__main__":
    main(sys.argv[1:] or ["/bin/sh", "-c", "echo hello; sleep 3; echo goodbye; exit 3"])
