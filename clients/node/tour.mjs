// A tour of Muster from Node: submit, wait, read a log, kill, list, run executors.
//
// Usage: tour.mjs [PROGRAM [ARGUMENT...]]
//
// MUSTER_MASTER names the masters (HOST:PORT, several with commas between), MUSTER_CA_FILE the CA
// of masters that serve over TLS, and MUSTER_TOKEN a token to authenticate with.

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { BlockList, isIP } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

// A call that takes longer is asked again, at another master.
const TRY_MS = 10_000;
// How long no master may answer before the program gives up.
const PATIENCE_MS = 60_000;
const BATCH = 20;
const PAGE_SIZE = 8;
const EXECUTORS = 2;

const above = (path) => fileURLToPath(new URL(path, import.meta.url));
const SERVICE_CONFIG = readFileSync(above("../service-config.json"), "utf8");
const { muster } = grpc.loadPackageDefinition(
  loadSync(["muster/v1/master_service.proto", "muster/v1/application_service.proto"], {
    includeDirs: [above("../../proto")],
    enums: String,
    // Numbers of 64 bits, such as offsets in logs, do not fit in a double.
    longs: String,
    defaults: true,
    oneofs: true,
  }),
);

// The same call may succeed later. UNKNOWN means that a mutation may have been applied: asked again
// under the same request id, it is applied once.
const RETRYABLE = new Set([grpc.status.UNAVAILABLE, grpc.status.UNKNOWN, grpc.status.DEADLINE_EXCEEDED]);
const TERMINAL = new Set(["STATE_FINISHED", "STATE_FAILED", "STATE_KILLED", "STATE_LOST", "STATE_CRASH_LOOP"]);

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("::1", "ipv6");

function isLoopback(address) {
  const host = address.slice(0, address.lastIndexOf(":")).replace(/^\[|\]$/g, "");
  const family = { 4: "ipv4", 6: "ipv6" }[isIP(host)];
  return host === "localhost" || (family !== undefined && loopback.check(host, family));
}

/** An interceptor that sends a token with every call. */
function bearerToken(token) {
  return (options, nextCall) =>
    new grpc.InterceptingCall(nextCall(options), {
      start(metadata, listener, next) {
        metadata.set("authorization", `Bearer ${token}`);
        next(metadata, listener);
      },
    });
}

/** What a stream brings. Its call is cancelled when the loop over it is left. */
async function* responses(call) {
  // The loop throws errors; the one of the cancellation comes when nobody listens any more.
  call.on("error", () => {});
  try {
    yield* call;
  } finally {
    call.cancel();
  }
}

/** One master: its unary calls as promises, its streams as async iterators. */
class Master {
  #service;
  #applications;

  constructor(address, { ca, token }) {
    const credentials = ca ? grpc.credentials.createSsl(ca) : grpc.credentials.createInsecure();
    const options = {
      // Calls that change nothing are repeated by gRPC itself.
      "grpc.service_config": SERVICE_CONFIG,
      // A machine that is gone without a word is noticed.
      "grpc.keepalive_time_ms": 10_000,
      "grpc.keepalive_timeout_ms": 5_000,
      interceptors: token && (ca || isLoopback(address)) ? [bearerToken(token)] : [],
    };
    this.#service = new muster.v1.MasterService(address, credentials, options);
    this.#applications = new muster.v1.ApplicationService(address, credentials, options);
  }

  #unary(client, method, request) {
    return promisify(client[method].bind(client))(request, { deadline: Date.now() + TRY_MS });
  }

  submitDriver = (request) => this.#unary(this.#service, "submitDriver", request);
  getDriver = (request) => this.#unary(this.#service, "getDriver", request);
  listDrivers = (request) => this.#unary(this.#service, "listDrivers", request);
  killDriver = (request) => this.#unary(this.#service, "killDriver", request);
  registerApplication = (request) => this.#unary(this.#applications, "registerApplication", request);
  requestExecutors = (request) => this.#unary(this.#applications, "requestExecutors", request);
  unregisterApplication = (request) => this.#unary(this.#applications, "unregisterApplication", request);
  watchEvents = (request) => responses(this.#service.watchEvents(request));
  readLog = (request) => responses(this.#service.readLog(request));
  watchApplication = (request) => responses(this.#applications.watchApplication(request));

  close() {
    this.#service.close();
    this.#applications.close();
  }
}

/** The masters of a cluster. Any of them may be asked; when one does not answer, the next is. */
class Cluster {
  #masters;
  #silentSince;

  constructor(addresses, options = {}) {
    this.#masters = addresses.map((address) => new Master(address, options));
  }

  static fromEnvironment({ MUSTER_MASTER = "localhost:7077", MUSTER_CA_FILE, MUSTER_TOKEN } = process.env) {
    const ca = MUSTER_CA_FILE ? readFileSync(MUSTER_CA_FILE) : undefined;
    return new Cluster(MUSTER_MASTER.split(","), { ca, token: MUSTER_TOKEN });
  }

  get master() {
    return this.#masters[0];
  }

  /** Notes that a master answered. */
  answered() {
    this.#silentSince = undefined;
  }

  /** Turns to the next master after a pause, or throws the error if that is of no use. */
  async failed(error) {
    this.#silentSince ??= Date.now();
    if (!RETRYABLE.has(error.code) || Date.now() - this.#silentSince > PATIENCE_MS) throw error;
    console.error(`# ${grpc.status[error.code]}: ${error.details}`);
    this.#masters.push(this.#masters.shift());
    await sleep(200);
  }

  /**
   * Calls a method of a master until one answers. A mutation must carry a request id, made before:
   * then it is applied once, however often it is asked for.
   */
  async call(method) {
    for (;;) {
      try {
        const answer = await method(this.master);
        this.answered();
        return answer;
      } catch (error) {
        await this.failed(error);
      }
    }
  }

  close() {
    for (const master of this.#masters) master.close();
  }
}

async function submit(cluster, [program, ...args]) {
  const request = {
    driver: {
      command: { program, args },
      resources: { cores: 1, memoryBytes: 64 << 20 },
      labels: { client: "node" },
    },
    requestId: randomUUID(),
  };
  const { driver } = await cluster.call((master) => master.submitDriver(request));
  console.log(`submitted ${driver.driverId}`);
  return driver.driverId;
}

/** Follows a driver until it has ended, and gives it as it is then. */
async function wait(cluster, driverId) {
  const get = () => cluster.call((master) => master.getDriver({ driverId }));
  let { driver, resumeToken } = await get();
  console.log(`${driverId}: ${driver.state}`);
  while (!TERMINAL.has(driver.state)) {
    try {
      for await (const response of cluster.master.watchEvents({ resumeToken, driverIds: [driverId] })) {
        cluster.answered();
        resumeToken = response.resumeToken;
        for (const event of response.events) console.log(`${driverId}: ${event.driver.state}`);
        if (response.events.some((event) => TERMINAL.has(event.driver.state))) break;
      }
    } catch (error) {
      // The events after the token may be forgotten; then its present state tells all.
      if (error.code !== grpc.status.OUT_OF_RANGE) {
        await cluster.failed(error);
        continue;
      }
    }
    ({ driver, resumeToken } = await get());
  }
  return driver;
}

/** Yields the output of a driver until it has ended, each byte once. */
async function* readLog(cluster, driverId) {
  let offset;
  for (;;) {
    try {
      for await (const { chunk } of cluster.master.readLog({ driverId, offset, follow: true })) {
        cluster.answered();
        yield chunk.data;
        const byte = BigInt(chunk.offset.byte) + BigInt(chunk.data.length);
        offset = { truncations: chunk.offset.truncations, byte: byte.toString() };
        if (chunk.end) return;
      }
    } catch (error) {
      await cluster.failed(error);
    }
  }
}

async function kill(cluster, driverId) {
  const request = { driverId, requestId: randomUUID() };
  await cluster.call((master) => master.killDriver(request));
}

/** Yields all drivers that the filter selects, page by page. */
async function* listDrivers(cluster, filter) {
  let pageToken = "";
  do {
    const request = { pageSize: PAGE_SIZE, pageToken, filter };
    const page = await cluster.call((master) => master.listDrivers(request));
    yield* page.drivers;
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
}

/** Registers an application with one executor, asks for more, and ends it once they run. */
async function runExecutors(cluster) {
  const register = {
    application: {
      name: "tour",
      template: { command: { program: "/bin/sleep", args: ["3600"] } },
      profiles: [{ profileId: 0, resources: { cores: 1, memoryBytes: 64 << 20 }, target: 1 }],
    },
    requestId: randomUUID(),
  };
  const { application } = await cluster.call((master) => master.registerApplication(register));
  const { applicationId } = application;
  const targets = [{ profileId: 0, target: EXECUTORS }];
  const more = { applicationId, sequence: 1, targets, requestId: randomUUID() };
  await cluster.call((master) => master.requestExecutors(more));
  // The stream is the application's session: while it is away for too long, the application ends.
  const running = new Set();
  let resumeRevision = 0;
  while (running.size < EXECUTORS) {
    try {
      for await (const response of cluster.master.watchApplication({ applicationId, resumeRevision })) {
        cluster.answered();
        if (response.isSnapshot) running.clear();
        const changed = response.events.map((event) => event.executor).filter(Boolean);
        for (const { executorId, state } of [...response.snapshot, ...changed]) {
          if (state === "STATE_RUNNING") running.add(executorId);
          else running.delete(executorId);
        }
        resumeRevision = response.revision;
        if (running.size >= EXECUTORS) break;
      }
    } catch (error) {
      await cluster.failed(error);
    }
  }
  console.log(`${applicationId}: ${running.size} executors run`);
  const end = { applicationId, success: true, requestId: randomUUID() };
  await cluster.call((master) => master.unregisterApplication(end));
  console.log(`${applicationId}: ended`);
}

async function main(command) {
  const cluster = Cluster.fromEnvironment();
  try {
    for (let number = 0; number < BATCH; number += 1) await submit(cluster, ["/bin/true"]);
    const drivers = [];
    for await (const driver of listDrivers(cluster, "labels.client=node")) drivers.push(driver);
    console.log(`listed ${drivers.length}`);

    const driver = await wait(cluster, await submit(cluster, command));
    const chunks = [];
    for await (const chunk of readLog(cluster, driver.driverId)) chunks.push(chunk);
    const output = JSON.stringify(Buffer.concat(chunks).toString());
    console.log(`exit code ${driver.outcome.exitCode}, output ${output}`);

    const endless = await submit(cluster, ["/bin/sleep", "3600"]);
    await kill(cluster, endless);
    await wait(cluster, endless);

    await runExecutors(cluster);
  } finally {
    cluster.close();
  }
}

const command = process.argv.slice(2);
await main(command.length > 0 ? command : ["/bin/sh", "-c", "echo hello; sleep 3; echo goodbye; exit 3"]);
