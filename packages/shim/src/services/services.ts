import type { Duplex } from "node:stream";
import {
  type Attributes,
  addObserver,
  type Clock,
  type ObservationScope,
  type ObservedWork,
  observe,
} from "@uvm-shim/lifecycle";
import { type CallContext, implement, TtrpcServer, type TtrpcServerOptions } from "@uvm-shim/ttrpc";
import { ShimError, translateError } from "../errors.ts";
import { containerd, uvmshim } from "../generated/messages.js";
import type { Log, Platform } from "../platform.ts";
import type { RuntimeOptions } from "../program/bootstrap.ts";
import { Retirement } from "../program/retirement.ts";
import type { Records } from "../record/ring.ts";
import { inspectHandlers, loadingDiagnostics, shimDiagHandlers } from "./diagnostics/handlers.ts";
import { Watch } from "./diagnostics/watch.ts";
import { EventForwarder } from "./events/events.ts";
import { connectEvents } from "./events/events-ttrpc.ts";
import { countServed, type ServiceFigures } from "./figures.ts";
import { SandboxService } from "./sandbox/sandbox-service.ts";
import { SandboxSlot } from "./sandbox/sandbox-slot.ts";
import { describeSandbox, describeTasks, PendingCalls, type StateLine } from "./state-dump.ts";
import { TaskEvents } from "./task/task-events.ts";
import { TaskService } from "./task/task-service.ts";
import { activityOf, traceParentOf, traceStateOf } from "./trace-context.ts";

/** What the services behind a shim's socket are made from. */
export interface ServicesOptions {
  /** Name of the executable. */
  readonly name: string;
  readonly shimId: string;
  readonly namespace: string;
  readonly bundle: string;
  readonly pid: number;
  readonly version: string;
  readonly runtimeOptions?: RuntimeOptions;
  /** Empty if no events are to be sent. */
  readonly ttrpcAddress: string;
  readonly platform: () => Promise<Platform>;
  readonly log: Log;
  readonly clock: Clock;
  readonly newActivityId: () => string;
  /** What was observed of the pod, for those who ask. */
  readonly records?: Records;
  /** What the calls are observed in, where the process serves other pods too. */
  readonly scope?: ObservationScope;
  /** What the clients may have under way, where the process serves other pods too. */
  readonly bounds?: Pick<TtrpcServerOptions, "maxServerCalls" | "maxWaitingBytes" | "turn"> | undefined;
  /** How long a shim outlives its pod. */
  readonly lingerMilliseconds: number;
  readonly isDispensable: () => Promise<boolean>;
  readonly end: (reason: string) => void;
  readonly handOver: () => void;
  /** Told of the ids of all tasks whenever one is added or removed. */
  readonly onTasks?: (ids: readonly string[]) => void;
  /** Told of a container that joined the sandbox, once it is deleted, before the deletion is answered. Does not reject. */
  readonly onMemberDeleted?: (id: string, bundle: string) => Promise<void>;
}

/** The services behind a shim's socket. */
export interface Services {
  /** The process's own connection is served whatever the clients have under way. */
  serve(connection: Duplex, from?: "client" | "own process"): void;
  /** Whether there is neither a sandbox nor a task. */
  readonly isIdle: boolean;
  /** Stops the sandbox and releases what all tasks hold. */
  stopAll(patienceMilliseconds: number): Promise<void>;
  /** Finishes the queued events and the pending calls, each within the time. */
  close(milliseconds: number): Promise<void>;
  /** Sandbox, tasks and pending calls, for the state dump. */
  describe(): readonly StateLine[];
  figures(): ServiceFigures & { readonly pendingRequests: number; readonly queued: EventForwarder["queued"] };
  /** Fails the pending calls. */
  destroy(): void;
}

/** How long containerd has to read the last response before the connection ends: enough on a busy machine. */
const hangUpMilliseconds = 500;
/** Codes that point at a problem of the shim, guest or host rather than of the request. */
const loudCodes: ReadonlySet<string> = new Set(["Internal", "Unavailable", "DeadlineExceeded", "ResourceExhausted"]);

/** Makes the services of a shim; the platform is loaded when a call first needs it. */
export function createServices(options: ServicesOptions): Services {
  const { log, clock, ttrpcAddress, namespace, records } = options;
  const watch = new Watch(clock);
  const stopWatching = addObserver(watch);
  let loaded: Platform | undefined;
  const platform = async (): Promise<Platform> => {
    loaded = await options.platform();
    return loaded;
  };
  const forwarder = new EventForwarder({ connect: () => connectEvents(ttrpcAddress, namespace), clock, log });
  const events = new TaskEvents(ttrpcAddress === "" ? { publish: async () => {} } : forwarder, { clock, log });
  const slot = new SandboxSlot({ platform, log, clock });
  const task = new TaskService({ ...options, slot, events });
  const retirement = new Retirement({ ...options, slot, tasks: task, milliseconds: options.lingerMilliseconds });
  const sandbox = new SandboxService({
    ...options,
    slot,
    deleteAll: () => task.deleteAll(),
    onPodCreated: () => retirement.begin(),
  });
  const calls = new PendingCalls();
  const describe = (): readonly StateLine[] => [
    describeSandbox(slot),
    ...describeTasks(task.tasks),
    ...calls.describe(),
  ];
  const { name, version, shimId: id, bundle, pid } = options;
  const diagnostics = loadingDiagnostics({
    shim: { name, version, id, namespace, bundle, pid },
    ...{ slot, tasks: task.tasks, calls, events: forwarder, watch, platform: () => loaded, describe, log, clock },
    ...(records && { records }),
  });
  const server = new TtrpcServer({
    services: [
      implement(containerd.task.v2.Task, taskHandlers(task)),
      implement(containerd.task.v3.Task, taskHandlers(task)),
      implement(containerd.runtime.sandbox.v1.Sandbox, sandboxHandlers(sandbox)),
      implement(containerd.runhcs.v1.diag.ShimDiag, shimDiagHandlers(diagnostics)),
      implement(uvmshim.diagnostics.v1.Inspect, inspectHandlers(diagnostics)),
    ],
    interceptor: (context, next, request) => {
      const answer = () => observed({ context, next, request }, options, calls);
      return options.scope === undefined ? answer() : options.scope.run(answer);
    },
    onError: (error, context) => {
      if (context !== undefined) return;
      // The caller has lost it for its own deeds.
      const isEnded = (error as { readonly code?: unknown }).code === "ResourceExhausted";
      log.log(isEnded ? "warn" : "debug", "connection failed", { error });
    },
    hangUpMs: hangUpMilliseconds,
    ...options.bounds,
  });
  return {
    serve: (connection, from) => void server.serve(connection, { unlimited: from === "own process" }),
    get isIdle() {
      return slot.isEmpty && task.isEmpty;
    },
    stopAll: (patience) => task.stopAll(patience),
    close: async (milliseconds) => {
      retirement.cancel();
      events.close();
      const stop = new AbortController();
      const expiry = clock.delay(milliseconds, stop.signal).then(
        () => stop.abort(new ShimError("Unavailable", "the shim is ending")),
        () => {},
      );
      await forwarder.close(milliseconds);
      await server.close(stop.signal);
      stop.abort(new ShimError("Unavailable", "the shim has ended"));
      await expiry;
      stopWatching();
    },
    describe,
    destroy: () => {
      stopWatching();
      events.close();
      server.destroy();
    },
    figures: () => ({
      ...countServed(slot, task.tasks),
      pendingRequests: calls.size,
      queued: forwarder.queued,
    }),
  };
}

/** Gives every failure a code, and logs and observes every call. */
function observed<T>(
  { context, next, request }: { context: CallContext; next: () => Promise<T>; request: () => unknown },
  { log, clock, newActivityId }: Pick<ServicesOptions, "log" | "clock" | "newActivityId">,
  calls: PendingCalls,
): Promise<T> {
  const method = `${context.service}/${context.method}`;
  const traceParent = traceParentOf(context.metadata);
  const traceState = traceStateOf(context.metadata);
  const work: ObservedWork = {
    kind: "request",
    name: method,
    attributes: subjectOf(request),
    activityId: (traceParent && activityOf(traceParent)) ?? newActivityId(),
    ...(traceParent !== undefined && { traceParent, ...(traceState !== undefined && { traceState }) }),
  };
  return observe(work, async () => {
    const began = clock.now().getTime();
    try {
      const answer = await calls.during(method, began, next);
      // Who follows the log would otherwise follow his own questions for it.
      if (context.service !== uvmshim.diagnostics.v1.Inspect.name) {
        log.log("debug", "answered", { method, milliseconds: clock.now().getTime() - began });
      }
      return answer;
    } catch (error) {
      const failure = translateError(error);
      const milliseconds = clock.now().getTime() - began;
      const level = loudCodes.has(failure.code) ? "error" : "debug";
      log.log(level, "failed", { method, code: failure.code, milliseconds, error: failure.message });
      throw failure;
    }
  });
}

/** What a request is about, by the names of containerd's fields. */
function subjectOf(request: () => unknown): Attributes {
  try {
    const { id, execId, sandboxId, containerId } = request() as { readonly [field: string]: unknown };
    const subject: { [name: string]: string } = {};
    const name = (attribute: string, value: unknown): void => {
      if (typeof value === "string" && value !== "") subject[attribute] = value;
    };
    name("container_id", id ?? containerId);
    name("exec_id", execId);
    name("sandbox_id", sandboxId);
    return subject;
  } catch {
    // The call itself fails with this.
    return {};
  }
}

function taskHandlers(task: TaskService) {
  const refuse = (what: string) => async (): Promise<never> => {
    throw new ShimError("Unimplemented", `${what} is not supported by this shim`);
  };
  return {
    State: (request) => task.state(request),
    Create: (request, { signal }) => task.create(request, signal),
    Start: (request, { signal }) => task.start(request, signal),
    Delete: (request, { signal }) => task.delete(request, signal),
    Pids: (request, { signal }) => task.resources.pids(request, signal),
    Pause: (request, { signal }) => task.pause(request, signal),
    Resume: (request, { signal }) => task.resume(request, signal),
    Checkpoint: refuse("Checkpoint"),
    Kill: (request, { signal }) => task.kill(request, signal),
    Exec: (request, { signal }) => task.exec(request, signal),
    ResizePty: (request, { signal }) => task.resizePty(request, signal),
    CloseIO: (request, { signal }) => task.closeIo(request, signal),
    Update: (request, { signal }) => task.resources.update(request, signal),
    Wait: (request, { signal }) => task.wait(request, signal),
    Stats: (request, { signal }) => task.resources.stats(request, signal),
    Connect: (request) => task.connect(request),
    Shutdown: (request) => task.shutdown(request),
  } satisfies Parameters<typeof implement<typeof containerd.task.v3.Task>>[1];
}

function sandboxHandlers(sandbox: SandboxService) {
  return {
    CreateSandbox: (request, { signal }) => sandbox.createSandbox(request, signal),
    StartSandbox: (request, { signal }) => sandbox.startSandbox(request, signal),
    Platform: () => sandbox.platform(),
    StopSandbox: (request, { signal }) => sandbox.stopSandbox(request, signal),
    WaitSandbox: (request, { signal }) => sandbox.waitSandbox(request, signal),
    SandboxStatus: (request) => sandbox.sandboxStatus(request),
    PingSandbox: (request, { signal }) => sandbox.pingSandbox(request, signal),
    ShutdownSandbox: (request) => sandbox.shutdownSandbox(request),
    SandboxMetrics: (request, { signal }) => sandbox.sandboxMetrics(request, signal),
  } satisfies Parameters<typeof implement<typeof containerd.runtime.sandbox.v1.Sandbox>>[1];
}
