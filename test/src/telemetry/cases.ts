import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { delay } from "@uvm-shim/lifecycle";
import { OtlpReceiver, type ReceivedSpan } from "@uvm-shim/test-support/otlp-receiver";
import { SandboxerProcess, sandboxerSocket } from "../e2e/sandboxer.ts";
import { readProcesses } from "../leaks/holdings.ts";
import { EventSink } from "../shim-client/events.ts";
import { type Phase, Pod, readOnlyRoot } from "../shim-client/pod.ts";
import { SandboxerClient } from "../shim-client/sandboxer-client.ts";
import { Task } from "../shim-client/shim.ts";
import { HOST_ENVIRONMENT, SHIM } from "../support/programs.ts";
import { poll } from "../support/wait.ts";

export interface Stage {
  readonly directory: string;
  readonly rootfs: string;
  readonly signal: AbortSignal;
}

export interface Case {
  readonly name: string;
  /** Returns what was received, if that is worth showing. */
  readonly run: (stage: Stage) => Promise<OtlpReceiver | undefined>;
}

type Variables = { readonly [name: string]: string };

const remoteTrace = "0af7651916cd43dd8448eb211c80319c";
const remoteSpan = "b7ad6b7169203331";
const remote = { traceparent: `00-${remoteTrace}-${remoteSpan}-01`, tracestate: "vendor=1" };
/** In what the container runs and gets; it must not leave the machine. */
const secret = "correct-horse-battery-staple";
/** How long the end of a shim may wait for its collector, and what a busy machine may add. */
const mostDelay = 500 + 1000;

interface Life {
  /** By phase, in milliseconds; of several, the last. */
  readonly phases: ReadonlyMap<Phase, number>;
  /** What shim and guest have logged. */
  readonly log: string;
  /** The process that served the pod. */
  readonly shimPid: number;
}

/** A pod with one container, which is asked for its state within a trace of the caller's, until it is gone. */
async function live({ directory, rootfs, signal }: Stage, variables: Variables): Promise<Life> {
  const phases = new Map<Phase, number>();
  const bundle = join(directory, "pod");
  mkdirSync(bundle);
  writeFileSync(join(bundle, "log"), "");
  const pod = await Pod.run({
    ...{ executable: SHIM, directory, id: "pod", signal },
    environment: { ...HOST_ENVIRONMENT, ...variables },
    observer: { begins: () => undefined, ended: (phase, milliseconds) => void phases.set(phase, milliseconds) },
  });
  let log = "";
  let shimPid = 0;
  try {
    const container = await pod.createContainer({
      ...{ id: "one", rootfs: readOnlyRoot(rootfs) },
      args: ["sh", "-c", `: ${secret}; sleep 0.1`],
      environment: [`PASSWORD=${secret}`],
      change: (specification) => ({ ...specification, annotations: { note: secret } }),
    });
    await container.start();
    ({ shimPid } = await pod.shim.call(Task, "Connect", { id: "one" }));
    await pod.shim.call(Task, "Pids", { id: "one" }, { metadata: remote });
    await pod.shim.call(Task, "State", { id: "unknown" }).catch(() => undefined);
    assert.equal(await container.wait(), 0);
    await container.delete();
    // Lines of the guest, about the requests above, come over a connection of their own.
    log = await logWith(bundle, remoteTrace, signal);
  } finally {
    await pod.remove();
  }
  return { phases, log, shimPid };
}

/** The log in a bundle, once a text is in it; as it is after a while, if that never comes. */
async function logWith(bundle: string, text: string, signal: AbortSignal): Promise<string> {
  for (let tries = 0; ; tries += 1) {
    const log = readFileSync(join(bundle, "log"), "utf8");
    if (log.includes(text) || tries === 50) return log;
    await delay(100, signal);
  }
}

function named(receiver: OtlpReceiver, name: string): readonly ReceivedSpan[] {
  return receiver.spans.filter((span) => span.name === name);
}

function only(receiver: OtlpReceiver, name: string): ReceivedSpan {
  const [span, ...more] = named(receiver, name);
  assert.ok(span !== undefined && more.length === 0, `${more.length + (span ? 1 : 0)} spans are called ${name}`);
  return span;
}

/** The spans below one, however deep. */
function below(receiver: OtlpReceiver, { spanId }: ReceivedSpan): readonly ReceivedSpan[] {
  const children = receiver.spans.filter(({ parentSpanId }) => parentSpanId === spanId);
  return [...children, ...children.flatMap((child) => below(receiver, child))];
}

const task = (method: string): string => `containerd.task.v3.Task/${method}`;
const sandbox = (method: string): string => `containerd.runtime.sandbox.v1.Sandbox/${method}`;

async function checkLife(stage: Stage, protocol: string): Promise<OtlpReceiver> {
  await using receiver = await OtlpReceiver.listen();
  const { log, shimPid } = await live(stage, {
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint,
    OTEL_EXPORTER_OTLP_PROTOCOL: protocol,
  });
  // Nobody waits for its last words: the pod is gone before they are said.
  const hasEnded = (): true | undefined => (readProcesses().some(({ pid }) => pid === shimPid) ? undefined : true);
  await poll("the shim to end", hasEnded, { timeoutMs: 10_000, signal: stage.signal });
  assert.deepEqual(receiver.problems, []);
  checkTraces(receiver);
  checkRemoteParent(receiver, log);
  checkMetrics(receiver);
  const received = JSON.stringify([receiver.spans, receiver.metrics]);
  assert.ok(!received.includes(secret), "what the container runs has been exported");
  return receiver;
}

function checkTraces(receiver: OtlpReceiver): void {
  const requests = receiver.spans.filter(({ kind }) => kind === 2);
  const names = requests.map(({ name }) => name);
  for (const method of ["CreateSandbox", "StartSandbox", "StopSandbox", "ShutdownSandbox"]) {
    assert.ok(names.includes(sandbox(method)), `no span of ${method}: ${names.join(", ")}`);
  }
  assert.equal(new Set(requests.map(({ traceId }) => traceId)).size, requests.length, "two requests share a trace");
  const ids = new Set(receiver.spans.map(({ spanId }) => spanId));
  assert.equal(ids.size, receiver.spans.length);
  const lost = receiver.spans.filter(({ parentSpanId }) => ![...ids, remoteSpan, ""].includes(parentSpanId));
  assert.deepEqual(lost, [], "the parent of a span is missing");
  const create = below(receiver, only(receiver, task("Create")));
  assert.ok(
    create.some(({ name, kind }) => name === "guest create" && kind === 3),
    "Create asks the guest",
  );
  assert.ok(
    create.some(({ name }) => name.startsWith("host ")),
    "Create asks the host",
  );
  const boot = below(receiver, only(receiver, sandbox("StartSandbox"))).map(({ name }) => name);
  for (const name of ["start VM", "host start", "guest negotiateProtocol"]) {
    assert.ok(boot.includes(name), `StartSandbox has no ${name}: ${boot.join(", ")}`);
  }
  const failed = named(receiver, task("State")).find(({ attributes }) => attributes["rpc.grpc.status_code"] === 5);
  assert.equal(failed?.status.code, 0, "a task that does not exist is the caller's mistake");
  for (const { name, began, ended } of receiver.spans) assert.ok(ended >= began, `${name} ends before it begins`);
}

function checkRemoteParent(receiver: OtlpReceiver, log: string): void {
  const pids = only(receiver, task("Pids"));
  assert.equal(pids.traceId, remoteTrace);
  assert.equal(pids.parentSpanId, remoteSpan);
  assert.equal(pids.traceState, "vendor=1");
  const asked = below(receiver, pids).find(({ name }) => name.startsWith("guest "));
  assert.ok(asked, "Pids asks the guest");
  const line = log.split("\n").find((text) => text.includes(remoteTrace) && text.includes("guest="));
  assert.ok(line?.includes(asked.spanId), `the guest has not logged the span ${asked.spanId} that it answers: ${line}`);
  const guid = remoteTrace.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  assert.ok(line?.includes(guid), "the guest's activity is not the trace");
}

function checkMetrics(receiver: OtlpReceiver): void {
  const value = (name: string): number => {
    const points = receiver.last(name)?.points ?? [];
    assert.ok(points.length > 0, `no metric ${name}`);
    return points.reduce((sum, point) => sum + point.value, 0);
  };
  for (const name of ["pods", "vms", "containers", "processes", "requests.pending", "events.queued", "queued"]) {
    assert.equal(value(`uvm_shim.${name}`), 0, `${name} after the pod`);
  }
  const memory = value("process.memory.usage") / 2 ** 20;
  assert.ok(memory > 20 && memory < 500, `the shim has ${memory} MiB`);
  assert.ok(value("nodejs.eventloop.delay.max") < 10);
  const counts = receiver.last("rpc.server.duration")?.points ?? [];
  const creates = counts.find(({ attributes }) => attributes["rpc.method"] === "Create");
  assert.equal(creates?.count, 1);
  const span = only(receiver, task("Create"));
  assert.ok(Math.abs(creates.value - (span.ended - span.began)) < 5, "span and metric of Create differ");
  assert.ok(counts.some(({ attributes }) => attributes["rpc.grpc.status_code"] === 5));
  const guest = receiver.last("uvm_shim.guest_request.duration")?.points ?? [];
  assert.ok(guest.some(({ attributes }) => attributes.name === "create"));
}

async function checkFailure(stage: Stage, manner: OtlpReceiver["manner"] | "absent"): Promise<undefined> {
  const directories = ["plain", "failing"].map((name) => join(stage.directory, name));
  const [plain, failing] = directories.map((directory) => ({ ...stage, directory })) as [Stage, Stage];
  for (const directory of directories) mkdirSync(directory);
  const before = await live(plain, {});
  await using receiver = await OtlpReceiver.listen();
  if (manner !== "absent") receiver.manner = manner;
  const endpoint = manner === "absent" ? "http://127.0.0.1:9" : receiver.endpoint;
  const { phases } = await live(failing, { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint });
  for (const [phase, milliseconds] of phases) {
    const usual = before.phases.get(phase) ?? 0;
    assert.ok(milliseconds < usual + mostDelay, `${phase} took ${milliseconds} ms, without telemetry ${usual} ms`);
  }
  return undefined;
}

/** While a pod runs, its gauges say so. */
async function checkGauges({ directory, rootfs, signal }: Stage): Promise<undefined> {
  await using receiver = await OtlpReceiver.listen();
  const file = join(directory, "telemetry.env");
  const variables = {
    OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: `${receiver.endpoint}/v1/metrics`,
    OTEL_METRIC_EXPORT_INTERVAL: "200",
  };
  const lines = Object.entries(variables).map(([name, value]) => `${name}="${value}"`);
  writeFileSync(file, ["# how telemetry is switched on by a file", ...lines, ""].join("\n"));
  const environment = { ...HOST_ENVIRONMENT, UVM_SHIM_TELEMETRY_FILE: file };
  const pod = await Pod.run({ ...{ executable: SHIM, directory, id: "pod", signal }, environment });
  try {
    const container = await pod.createContainer({ id: "one", rootfs: readOnlyRoot(rootfs), args: ["sleep", "1000"] });
    await container.start();
    const expected = { pods: 1, vms: 1, containers: 1, processes: 1 };
    const seen = (): object =>
      Object.fromEntries(
        Object.keys(expected).map((name) => [name, receiver.last(`uvm_shim.${name}`)?.points[0]?.value]),
      );
    for (let tries = 0; tries < 50 && JSON.stringify(seen()) !== JSON.stringify(expected); tries += 1) {
      await delay(100, signal);
    }
    assert.deepEqual(seen(), expected);
    await container.kill(9);
    await container.wait();
    await container.delete();
  } finally {
    await pod.remove();
  }
  assert.deepEqual(receiver.spans, [], "only metrics have an endpoint");
  return undefined;
}

/** Two pods of one process at once, of the same trace of a caller's in one of them. */
async function checkSandboxer({ directory, rootfs, signal }: Stage): Promise<OtlpReceiver> {
  await using receiver = await OtlpReceiver.listen();
  const containerd = join(directory, "containerd");
  const sandboxer = new SandboxerProcess({
    ...{ executable: SHIM, directory, containerd },
    environment: {
      ...{ ...process.env, ...HOST_ENVIRONMENT, UVM_SHIM_SOCKET_DIRECTORY: join(directory, "sockets") },
      OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint,
      OTEL_METRIC_EXPORT_INTERVAL: "200",
      OTEL_BSP_SCHEDULE_DELAY: "200",
    },
  });
  const eventSocket = `${containerd}.ttrpc`;
  const sink = await EventSink.listen(eventSocket);
  await sandboxer.start(signal);
  const client = new SandboxerClient({ socket: sandboxerSocket(directory), eventSocket, directory, rootfs });
  const ids = ["one", "two"];
  try {
    const pods = await Promise.all(ids.map((id) => client.createPod(id)));
    const seen = (name: string): number | undefined => receiver.last(`uvm_shim.${name}`)?.points[0]?.value;
    const has = (count: number) => (): true | undefined =>
      seen("pods") === count && seen("vms") === count ? true : undefined;
    await poll("the gauges to count both pods", has(2), { timeoutMs: 10_000, signal });
    await Promise.all(pods.map((pod, index) => client.runContainer(pod, `in-${ids[index]}`)));
    for (const pod of pods) pod.close();
    await Promise.all(ids.map((id) => client.removePod(id)));
    await poll("the gauges to count none", has(0), { timeoutMs: 10_000, signal });
  } finally {
    client.close();
    await sandboxer.stop();
    await sink.close();
  }
  assert.deepEqual(receiver.problems, []);
  const unnamed = receiver.spans.filter(({ attributes }) => attributes["containerd.namespace"] !== client.namespace);
  assert.deepEqual(unnamed, [], "spans of no pod");
  for (const id of ids) {
    const own = receiver.spans.filter(({ attributes }) => attributes["uvm_shim.sandbox.id"] === id);
    const create = own.find(({ name }) => name === task("Create"));
    assert.equal(create?.attributes["container.id"], `in-${id}`);
    const boot = own.find(({ name }) => name === sandbox("StartSandbox"));
    assert.ok(boot, `no boot of ${id}`);
    const parts = below(receiver, boot);
    assert.ok(parts.some(({ name }) => name === "start VM") && parts.every((part) => own.includes(part)));
  }
  const named = new Set(receiver.spans.map(({ attributes }) => attributes["uvm_shim.sandbox.id"]));
  assert.deepEqual([...named].sort(), ids);
  return receiver;
}

export const telemetryCases: readonly Case[] = [
  { name: "a pod's life over http/protobuf", run: (stage) => checkLife(stage, "http/protobuf") },
  { name: "a pod's life over http/json", run: (stage) => checkLife(stage, "http/json").then(() => undefined) },
  { name: "gauges of a pod that runs, switched on by a file", run: checkGauges },
  { name: "two pods of a sandboxer: each trace names its pod, gauges count both", run: checkSandboxer },
  ...(["hang", "busy", "garbage", "absent"] as const).map((manner) => ({
    name: `a collector that fails: ${manner}`,
    run: (stage: Stage) => checkFailure(stage, manner),
  })),
];
