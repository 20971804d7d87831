package tour;

import com.google.gson.Gson;
import io.grpc.Channel;
import io.grpc.ClientInterceptor;
import io.grpc.ClientInterceptors;
import io.grpc.Context;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.MetadataUtils;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.URI;
import java.net.UnknownHostException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import muster.v1.ApplicationServiceGrpc;
import muster.v1.ApplicationServiceGrpc.ApplicationServiceBlockingStub;
import muster.v1.MasterServiceGrpc;
import muster.v1.MasterServiceGrpc.MasterServiceBlockingStub;

/**
 * The masters of a cluster. Any of them may be asked; when one does not answer, the next is. It is
 * used by one thread at a time.
 */
final class Cluster implements AutoCloseable {
    /** A call that takes longer is asked again, at another master. */
    private static final Duration TRY = Duration.ofSeconds(10);
    /** How long no master may answer before the program gives up. */
    private static final Duration PATIENCE = Duration.ofMinutes(1);

    /**
     * The same call may succeed later. UNKNOWN means that a mutation may have been applied: asked
     * again under the same request id, it is applied once.
     */
    private static final Set<Status.Code> RETRYABLE =
            Set.of(Status.Code.UNAVAILABLE, Status.Code.UNKNOWN, Status.Code.DEADLINE_EXCEEDED);

    /** One master. */
    static final class Master {
        private final ManagedChannel connection;
        private final Channel channel;

        private Master(ManagedChannel connection, Channel channel) {
            this.connection = connection;
            this.channel = channel;
        }

        /** The service for calls that are answered once. */
        MasterServiceBlockingStub service() {
            return streams().withDeadlineAfter(TRY.toMillis(), TimeUnit.MILLISECONDS);
        }

        /** The service of applications, for calls that are answered once. */
        ApplicationServiceBlockingStub applications() {
            return sessions().withDeadlineAfter(TRY.toMillis(), TimeUnit.MILLISECONDS);
        }

        /** The service for streams, which last as long as they are read. */
        MasterServiceBlockingStub streams() {
            return MasterServiceGrpc.newBlockingStub(channel);
        }

        /** The service of applications for their sessions. */
        ApplicationServiceBlockingStub sessions() {
            return ApplicationServiceGrpc.newBlockingStub(channel);
        }
    }

    private final Deque<Master> masters = new ArrayDeque<>();
    private Instant silentSince;

    /** Makes a client of these masters. They serve in plaintext if there is no file of a CA. */
    Cluster(List<String> addresses, File ca, String token) throws IOException {
        for (String address : addresses) {
            NettyChannelBuilder builder = NettyChannelBuilder.forTarget(address)
                    // Calls that change nothing are repeated by gRPC itself.
                    .defaultServiceConfig(serviceConfig())
                    .enableRetry()
                    // A machine that is gone without a word is noticed.
                    .keepAliveTime(10, TimeUnit.SECONDS)
                    .keepAliveTimeout(5, TimeUnit.SECONDS);
            if (ca == null) {
                builder.usePlaintext();
            } else {
                // Masters speak TLS 1.3 alone, which older Nettys do not offer by themselves.
                builder.sslContext(GrpcSslContexts.forClient()
                        .trustManager(ca)
                        .protocols("TLSv1.3")
                        .build());
            }
            ManagedChannel connection = builder.build();
            Channel channel = connection;
            if (token != null && (ca != null || isLoopback(address))) {
                channel = ClientInterceptors.intercept(connection, bearerToken(token));
            }
            masters.add(new Master(connection, channel));
        }
    }

    /** The cluster that MUSTER_MASTER, MUSTER_CA_FILE and MUSTER_TOKEN name. */
    static Cluster fromEnvironment() throws IOException {
        Map<String, String> environment = System.getenv();
        String addresses = environment.getOrDefault("MUSTER_MASTER", "localhost:7077");
        String ca = environment.get("MUSTER_CA_FILE");
        return new Cluster(
                List.of(addresses.split(",")), ca == null ? null : new File(ca), environment.get("MUSTER_TOKEN"));
    }

    /** An interceptor that sends a token with every call. */
    private static ClientInterceptor bearerToken(String token) {
        Metadata metadata = new Metadata();
        metadata.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + token);
        return MetadataUtils.newAttachHeadersInterceptor(metadata);
    }

    private static boolean isLoopback(String address) throws UnknownHostException {
        String host = URI.create("muster://" + address).getHost();
        // A name may stand for another machine tomorrow.
        boolean isNumber = host != null && host.matches("[0-9.]+|\\[.*\\]");
        return "localhost".equals(host) || (isNumber && InetAddress.getByName(host).isLoopbackAddress());
    }

    @SuppressWarnings("unchecked")
    private static Map<String, ?> serviceConfig() throws IOException {
        try (InputStream config = Cluster.class.getResourceAsStream("/service-config.json")) {
            return new Gson().fromJson(new InputStreamReader(config, StandardCharsets.UTF_8), Map.class);
        }
    }

    /** Notes that a master answered. */
    private void answered() {
        silentSince = null;
    }

    /** Turns to the next master after a pause, or throws the error if that is of no use. */
    private void failed(StatusRuntimeException error) throws InterruptedException {
        Instant now = Instant.now();
        silentSince = silentSince == null ? now : silentSince;
        Status status = error.getStatus();
        if (!RETRYABLE.contains(status.getCode()) || silentSince.plus(PATIENCE).isBefore(now)) {
            throw error;
        }
        System.err.println("# " + status.getCode() + ": " + status.getDescription());
        masters.addLast(masters.removeFirst());
        Thread.sleep(200);
    }

    /**
     * Calls a method of a master until one answers. A mutation must carry a request id, made before:
     * then it is applied once, however often it is asked for.
     */
    <T> T call(Function<Master, T> method) throws InterruptedException {
        while (true) {
            try {
                T answer = method.apply(masters.getFirst());
                answered();
                return answer;
            } catch (StatusRuntimeException error) {
                failed(error);
            }
        }
    }

    /** What reads a stream: it says whether it has read enough. */
    interface Reader<T> {
        boolean isDone(T response);
    }

    /**
     * Opens a stream and reads it until the reader has enough. A stream that breaks is opened again:
     * {@code open} asks for it from where the reader is by then.
     */
    <T> void read(Function<Master, Iterator<T>> open, Reader<T> reader) throws InterruptedException {
        while (true) {
            // The stream is cancelled with its context, wherever the loop is left.
            try (Context.CancellableContext context = Context.current().withCancellation()) {
                Context before = context.attach();
                try {
                    Iterator<T> responses = open.apply(masters.getFirst());
                    while (responses.hasNext()) {
                        T response = responses.next();
                        answered();
                        if (reader.isDone(response)) {
                            return;
                        }
                    }
                } finally {
                    context.detach(before);
                }
            } catch (StatusRuntimeException error) {
                failed(error);
            }
        }
    }

    @Override
    public void close() {
        for (Master master : masters) {
            master.connection.shutdownNow();
        }
    }
}
