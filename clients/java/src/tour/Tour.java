package tour;

import com.google.protobuf.ByteString;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.UUID;
import java.util.stream.Stream;
import muster.v1.ApplicationSessionEvent;
import muster.v1.ApplicationSpec;
import muster.v1.Command;
import muster.v1.Driver;
import muster.v1.DriverSpec;
import muster.v1.Event;
import muster.v1.Executor;
import muster.v1.ExecutorProfile;
import muster.v1.ExecutorTemplate;
import muster.v1.GetDriverRequest;
import muster.v1.GetDriverResponse;
import muster.v1.KillDriverRequest;
import muster.v1.ListDriversRequest;
import muster.v1.ListDriversResponse;
import muster.v1.LogChunk;
import muster.v1.ProfileTarget;
import muster.v1.ReadLogRequest;
import muster.v1.RegisterApplicationRequest;
import muster.v1.RequestExecutorsRequest;
import muster.v1.Resources;
import muster.v1.SubmitDriverRequest;
import muster.v1.UnregisterApplicationRequest;
import muster.v1.WatchApplicationRequest;
import muster.v1.WatchEventsRequest;

/**
 * A tour of Muster from Java: submit, wait, read a log, kill, list, run executors.
 *
 * <p>Usage: tour [PROGRAM [ARGUMENT...]]
 *
 * <p>MUSTER_MASTER names the masters (HOST:PORT, several with commas between), MUSTER_CA_FILE the CA
 * of masters that serve over TLS, and MUSTER_TOKEN a token to authenticate with.
 */
public final class Tour {
    private static final int BATCH = 20;
    private static final int PAGE_SIZE = 8;
    private static final int EXECUTORS = 2;
    private static final Resources ONE_CORE =
            Resources.newBuilder().setCores(1).setMemoryBytes(64 << 20).build();
    private static final Set<Driver.State> TERMINAL = EnumSet.of(
            Driver.State.STATE_FINISHED,
            Driver.State.STATE_FAILED,
            Driver.State.STATE_KILLED,
            Driver.State.STATE_LOST,
            Driver.State.STATE_CRASH_LOOP);

    private final Cluster cluster;

    private Tour(Cluster cluster) {
        this.cluster = cluster;
    }

    public static void main(String[] arguments) throws Exception {
        List<String> command = arguments.length > 0
                ? List.of(arguments)
                : List.of("/bin/sh", "-c", "echo hello; sleep 3; echo goodbye; exit 3");
        try (Cluster cluster = Cluster.fromEnvironment()) {
            new Tour(cluster).run(command);
        }
    }

    private void run(List<String> command) throws InterruptedException {
        for (int i = 0; i < BATCH; i++) {
            submit(List.of("/bin/true"));
        }
        System.out.println("listed " + list("labels.client=java").size());

        Driver driver = await(submit(command));
        String output = readLog(driver.getDriverId()).toStringUtf8();
        System.out.println("exit code " + driver.getOutcome().getExitCode() + ", output " + output);

        String endless = submit(List.of("/bin/sleep", "3600"));
        kill(endless);
        await(endless);

        runExecutors();
    }

    private static String newRequestId() {
        return UUID.randomUUID().toString();
    }

    private static Command command(List<String> words) {
        return Command.newBuilder()
                .setProgram(words.get(0))
                .addAllArgs(words.subList(1, words.size()))
                .build();
    }

    private String submit(List<String> words) throws InterruptedException {
        SubmitDriverRequest request = SubmitDriverRequest.newBuilder()
                .setDriver(DriverSpec.newBuilder()
                        .setCommand(command(words))
                        .setResources(ONE_CORE)
                        .putLabels("client", "java"))
                .setRequestId(newRequestId())
                .build();
        Driver driver =
                cluster.call(master -> master.service().submitDriver(request)).getDriver();
        System.out.println("submitted " + driver.getDriverId());
        return driver.getDriverId();
    }

    private GetDriverResponse get(String driverId) throws InterruptedException {
        GetDriverRequest request =
                GetDriverRequest.newBuilder().setDriverId(driverId).build();
        return cluster.call(master -> master.service().getDriver(request));
    }

    /** Follows a driver until it has ended, and gives it as it is then. */
    private Driver await(String driverId) throws InterruptedException {
        GetDriverResponse found = get(driverId);
        System.out.println(driverId + ": " + found.getDriver().getState());
        while (!TERMINAL.contains(found.getDriver().getState())) {
            WatchEventsRequest.Builder request = WatchEventsRequest.newBuilder()
                    .setResumeToken(found.getResumeToken())
                    .addDriverIds(driverId);
            try {
                cluster.read(master -> master.streams().watchEvents(request.build()), response -> {
                    request.setResumeToken(response.getResumeToken());
                    for (Event event : response.getEventsList()) {
                        System.out.println(driverId + ": " + event.getDriver().getState());
                    }
                    return response.getEventsList().stream()
                            .anyMatch(event -> TERMINAL.contains(event.getDriver().getState()));
                });
            } catch (StatusRuntimeException error) {
                // The events after the token may be forgotten; then its present state tells all.
                if (error.getStatus().getCode() != Status.Code.OUT_OF_RANGE) {
                    throw error;
                }
            }
            found = get(driverId);
        }
        return found.getDriver();
    }

    /** The output of a driver, once it has ended, each byte once. */
    private ByteString readLog(String driverId) throws InterruptedException {
        ReadLogRequest.Builder request =
                ReadLogRequest.newBuilder().setDriverId(driverId).setFollow(true);
        List<ByteString> output = new ArrayList<>();
        cluster.read(master -> master.streams().readLog(request.build()), response -> {
            LogChunk chunk = response.getChunk();
            output.add(chunk.getData());
            request.setOffset(chunk.getOffset().toBuilder()
                    .setByte(chunk.getOffset().getByte() + chunk.getData().size()));
            return chunk.getEnd();
        });
        return ByteString.copyFrom(output);
    }

    private void kill(String driverId) throws InterruptedException {
        KillDriverRequest request = KillDriverRequest.newBuilder()
                .setDriverId(driverId)
                .setRequestId(newRequestId())
                .build();
        cluster.call(master -> master.service().killDriver(request));
    }

    /** All drivers that the filter selects, asked for page by page. */
    private List<Driver> list(String filter) throws InterruptedException {
        List<Driver> drivers = new ArrayList<>();
        String pageToken = "";
        do {
            ListDriversRequest request = ListDriversRequest.newBuilder()
                    .setPageSize(PAGE_SIZE)
                    .setPageToken(pageToken)
                    .setFilter(filter)
                    .build();
            ListDriversResponse page =
                    cluster.call(master -> master.service().listDrivers(request));
            drivers.addAll(page.getDriversList());
            pageToken = page.getNextPageToken();
        } while (!pageToken.isEmpty());
        return drivers;
    }

    /** Registers an application with one executor, asks for more, and ends it once they run. */
    private void runExecutors() throws InterruptedException {
        RegisterApplicationRequest register = RegisterApplicationRequest.newBuilder()
                .setApplication(ApplicationSpec.newBuilder()
                        .setName("tour")
                        .setTemplate(ExecutorTemplate.newBuilder().setCommand(command(List.of("/bin/sleep", "3600"))))
                        .addProfiles(ExecutorProfile.newBuilder()
                                .setProfileId(0)
                                .setResources(ONE_CORE)
                                .setTarget(1)))
                .setRequestId(newRequestId())
                .build();
        String id = cluster.call(master -> master.applications().registerApplication(register))
                .getApplication()
                .getApplicationId();
        RequestExecutorsRequest more = RequestExecutorsRequest.newBuilder()
                .setApplicationId(id)
                .setSequence(1)
                .addTargets(ProfileTarget.newBuilder().setProfileId(0).setTarget(EXECUTORS))
                .setRequestId(newRequestId())
                .build();
        cluster.call(master -> master.applications().requestExecutors(more));
        // The stream is the application's session: while it is away for too long, the application
        // ends.
        WatchApplicationRequest.Builder watch =
                WatchApplicationRequest.newBuilder().setApplicationId(id);
        Set<Integer> running = new HashSet<>();
        cluster.read(master -> master.sessions().watchApplication(watch.build()), response -> {
            if (response.getIsSnapshot()) {
                running.clear();
            }
            Stream<Executor> changed = response.getEventsList().stream()
                    .filter(ApplicationSessionEvent::hasExecutor)
                    .map(ApplicationSessionEvent::getExecutor);
            Stream.concat(response.getSnapshotList().stream(), changed).forEach(executor -> {
                if (executor.getState() == Executor.State.STATE_RUNNING) {
                    running.add(executor.getExecutorId());
                } else {
                    running.remove(executor.getExecutorId());
                }
            });
            watch.setResumeRevision(response.getRevision());
            return running.size() >= EXECUTORS;
        });
        System.out.println(id + ": " + running.size() + " executors run");
        UnregisterApplicationRequest end = UnregisterApplicationRequest.newBuilder()
                .setApplicationId(id)
                .setSuccess(true)
                .setRequestId(newRequestId())
                .build();
        cluster.call(master -> master.applications().unregisterApplication(end));
        System.out.println(id + ": ended");
    }
}
