import { type Clock, settlesWithin } from "@uvm-shim/lifecycle";
import { ShimError } from "../../errors.ts";
import type { Container, ContainerRequest, Exit, Log, Sandbox } from "../../platform.ts";
import type { RuntimeOptions } from "../../program/bootstrap.ts";
import { checkExecId, checkIdentifier } from "../../program/identifiers.ts";
import { BoundedCalls, orEndVmOf } from "../budgets.ts";
import { exitFields, rootfsOf, stdioOf, taskStatus } from "../messages.ts";
import { ExitOrder } from "../sandbox/exit-order.ts";
import { InitKills } from "../sandbox/init-kills.ts";
import type { SandboxSlot } from "../sandbox/sandbox-slot.ts";
import { Creation } from "./creation.ts";
import { type DeletedTask, lastingState } from "./deleted-task.ts";
import { ProcessRecord } from "./process-record.ts";
import { SandboxTask } from "./sandbox-task.ts";
import type { TaskEvents } from "./task-events.ts";
import { answerOf, keyOf, parseProcess, type Request } from "./task-messages.ts";
import { TaskResources } from "./task-resources.ts";
import { createTaskContainer, stopMilliseconds } from "./task-sandbox.ts";
import { type Task, TaskTable } from "./task-table.ts";
import { Tombstones } from "./tombstones.ts";

/** What the Task service is made from. */
export interface TaskServiceOptions {
  /** The id that the shim was started for. */
  readonly shimId: string;
  readonly namespace: string;
  readonly bundle: string;
  readonly pid: number;
  readonly version: string;
  readonly runtimeOptions?: RuntimeOptions;
  readonly slot: SandboxSlot;
  readonly events: TaskEvents;
  readonly log: Log;
  readonly clock: Clock;
  /** Ends the serving process after the pending responses. */
  readonly end: (reason: string) => void;
  /** Keeps `delete` of the sandbox's own task from ending the serving process, which other tasks still need. */
  readonly handOver: () => void;
  /** Told of the ids of all tasks whenever one is added or removed. */
  readonly onTasks?: (ids: readonly string[]) => void;
  /** Told of a container that joined the sandbox, once it is deleted, before the deletion is answered. Does not reject. */
  readonly onMemberDeleted?: (id: string, bundle: string) => Promise<void>;
}

/** Deleted tasks and execs to remember: each takes some 600 bytes, and clients repeat requests within seconds. */
const mostTombstones = 512;
/** Windows' signals are a short list, which its processes know. */
const highestLinuxSignal = 64;
const sigkill = 9;

/** The Task service in versions 2 and 3, whose messages have the same fields. */
export class TaskService {
  readonly #options: TaskServiceOptions;
  readonly #tasks: TaskTable;
  readonly #tombstones = new Tombstones<DeletedTask>(mostTombstones);
  readonly #bounded: BoundedCalls;
  /** Creations that are being undone: repeated deletions share one wait. */
  readonly #undoings = new WeakMap<Creation, Promise<unknown>>();
  readonly #initKills: InitKills;
  readonly #exitOrder: ExitOrder;
  readonly resources: TaskResources;

  constructor(options: TaskServiceOptions) {
    this.#options = options;
    this.#tasks = new TaskTable(options.onTasks);
    this.#bounded = new BoundedCalls(options);
    this.resources = new TaskResources({
      ...{ slot: options.slot, tasks: this.#tasks, bounded: this.#bounded },
      isSandbox: (id) => this.#isSandbox(id),
    });
    this.#initKills = new InitKills(options);
    this.#exitOrder = new ExitOrder(options);
  }

  get isEmpty(): boolean {
    return this.#tasks.isEmpty;
  }

  get tasks(): TaskTable {
    return this.#tasks;
  }

  async create(request: Request<"CreateTaskRequest">, signal?: AbortSignal): Promise<{ pid: number }> {
    const { id } = request;
    checkIdentifier("create task: id", id);
    if (request.checkpoint !== "")
      throw new ShimError(
        "Unimplemented",
        `create task ${id}: cannot restore checkpoint ${request.checkpoint}: checkpoints are not supported`,
      );
    if (this.#tasks.has(id)) throw new ShimError("AlreadyExists", `create task ${id}: already exists, delete it first`);
    const creation = new Creation(`create task ${id}`, signal);
    this.#tasks.set(id, creation);
    return await creation.run((until) => this.#create(request, until));
  }

  async #create(request: Request<"CreateTaskRequest">, signal: AbortSignal): Promise<{ pid: number }> {
    const { id, bundle } = request;
    let container: Container;
    let parts: Pick<ContainerRequest, "rootfs" | "stdio">;
    try {
      parts = { rootfs: rootfsOf(request.rootfs), stdio: stdioOf(request, id) };
      const onOutOfMemory = (): void => this.#options.events.outOfMemory(id);
      container = await createTaskContainer(this.#options, { id, bundle, ...parts, onOutOfMemory }, signal);
    } catch (error) {
      this.#forget(id);
      throw error;
    }
    this.#tombstones.forget((key) => key.startsWith(`${id}/`));
    const { pid } = container.init;
    this.#options.events.created({ id, bundle, ...parts, pid });
    this.#tasks.set(id, { container, processes: new Map([["", this.#record(id, container.init)]]), exit: undefined });
    return { pid };
  }

  async start(request: Request<"StartRequest">, signal?: AbortSignal): Promise<{ pid: number }> {
    return { pid: await this.#tasks.process(request).start(signal) };
  }

  async delete(request: Request<"DeleteRequest">, signal?: AbortSignal) {
    const { id, execId } = request;
    const undoing = this.#cancelCreation(id, execId);
    if (undoing !== undefined) await this.#bounded.delete({ id, execId }, () => undoing, signal);
    const tombstone = this.#tombstones.get(keyOf(id, execId));
    if (tombstone !== undefined) return answerOf(tombstone);
    const task = this.#tasks.require(id);
    const record = this.#tasks.process(request);
    const teardown = async (): Promise<Exit> => {
      const exit =
        execId === "" ? await this.#deleteTask(id, task, record) : await task.container.deleteProcess(execId);
      this.#bury(id, task.container, record.process, exit);
      task.processes.delete(execId);
      return exit;
    };
    const deletion = (until: AbortSignal) => record.delete(teardown, until);
    return answerOf(await this.#bounded.delete({ id, execId }, deletion, signal));
  }

  async exec(request: Request<"ExecProcessRequest">, signal?: AbortSignal): Promise<object> {
    const { id, execId } = request;
    const task = this.#tasks.require(id);
    checkExecId(id, execId);
    if (task.processes.has(execId)) {
      throw new ShimError(
        "AlreadyExists",
        `exec in task ${id}: exec ${execId} already exists, delete it first or use another exec_id`,
      );
    }
    const spec = parseProcess(request);
    const creation = new Creation(`exec ${execId} in task ${id}`, signal);
    task.processes.set(execId, creation);
    await creation.run(async (until) => {
      try {
        const stdio = stdioOf(request, id);
        const created = await task.container.createProcess({ execId, spec, stdio }, until);
        this.#tombstones.forget((key) => key === keyOf(id, execId));
        task.processes.set(execId, this.#record(id, created));
      } catch (error) {
        task.processes.delete(execId);
        throw error;
      }
    });
    this.#options.events.execAdded(id, execId);
    return {};
  }

  async state(request: Request<"StateRequest">) {
    const { id, execId } = request;
    const tombstone = this.#tombstones.get(keyOf(id, execId));
    if (tombstone !== undefined) {
      return { id, execId, ...tombstone.state, status: taskStatus("stopped", false), ...answerOf(tombstone) };
    }
    const { container } = this.#tasks.require(id);
    const { process } = this.#tasks.process(request);
    return {
      id,
      execId,
      ...lastingState(container, process),
      pid: process.pid,
      status: taskStatus(process.state, container.isPaused && process === container.init),
      ...exitFields(process.exit),
    };
  }

  async wait(request: Request<"WaitRequest">, signal?: AbortSignal) {
    const tombstone = this.#tombstones.get(keyOf(request.id, request.execId));
    return exitFields(tombstone?.exit ?? (await this.#tasks.process(request).wait(signal)));
  }

  async kill(request: Request<"KillRequest">, signal?: AbortSignal): Promise<object> {
    const { id, execId } = request;
    if (this.#options.slot.present?.os !== "windows" && request.signal > highestLinuxSignal) {
      throw new ShimError(
        "InvalidArgument",
        `kill task ${id}: invalid signal ${request.signal}: expected 1 to ${highestLinuxSignal}`,
      );
    }
    const { container } = this.#tasks.require(id);
    const record = this.#tasks.process(request);
    const send = (number: number): Promise<void> =>
      request.all && execId === "" ? container.killAll(number, signal) : record.process.kill(number, signal);
    if (request.signal === sigkill && execId === "") await this.#initKills.kill(id, record, send, signal);
    else await record.kill(request.signal, send);
    return {};
  }

  async pause({ id }: Request<"PauseRequest">, signal?: AbortSignal): Promise<object> {
    await this.#tasks.require(id).container.pause(signal);
    this.#options.events.paused(id);
    return {};
  }

  async resume({ id }: Request<"ResumeRequest">, signal?: AbortSignal): Promise<object> {
    await this.#tasks.require(id).container.resume(signal);
    this.#options.events.resumed(id);
    return {};
  }

  async resizePty(request: Request<"ResizePtyRequest">, signal?: AbortSignal): Promise<object> {
    const { process } = this.#tasks.process(request);
    if (process.state !== "stopped") await process.resize(request.width, request.height, signal);
    return {};
  }

  async closeIo(request: Request<"CloseIORequest">, signal?: AbortSignal): Promise<object> {
    const { process } = this.#tasks.process(request);
    if (request.stdin && process.state !== "stopped") await process.closeStdin(signal);
    return {};
  }

  /**
   * Succeeds for the sandbox's id too: on an error containerd would consider the whole sandbox dead. And, with the Sandbox
   * API, for a task that does not exist yet: containerd 1.7 connects before it creates one.
   */
  async connect(request: Request<"ConnectRequest">) {
    const { pid: shimPid, version, slot } = this.#options;
    const task = this.#tasks.get(request.id);
    const isCreated = task !== undefined && !(task instanceof Creation);
    if (isCreated) return { shimPid, taskPid: task.container.init.pid, version };
    const isAwaited = slot.present?.mode === "api" && this.#tombstones.get(keyOf(request.id, "")) === undefined;
    if (task !== undefined || isAwaited || this.#isSandbox(request.id)) return { shimPid, taskPid: 0, version };
    throw new ShimError("NotFound", `connect: task ${request.id} does not exist`);
  }

  async shutdown(request: Request<"ShutdownRequest">): Promise<object> {
    const { slot, log, end, handOver } = this.#options;
    await this.#cancelCreation(request.id, "");
    const present = slot.present;
    const isOwner = present === undefined || present.sandbox.id === request.id;
    // A classic sandbox without a task is left over from a creation whose undo failed.
    const isLeftOver = present?.mode === "classic" && this.#tasks.size === 0 && slot.isAlive;
    if (isOwner && (request.now || isLeftOver)) {
      await this.deleteAll();
    } else if (this.#tasks.size > 0 || slot.isAlive || (present?.mode === "api" && !isOwner)) {
      log.log("debug", "shutdown ignored: the sandbox is in use", { task: request.id, tasks: this.#tasks.size });
      if (present?.mode === "classic" && isOwner && !slot.isAlive && !this.#tasks.has(request.id)) {
        handOver();
        this.#exitOrder.leave();
      }
      return {};
    }
    end(`shutdown of ${request.id}`);
    return {};
  }

  /** Stops the sandbox and releases what its tasks hold, including tasks that are being created. */
  async deleteAll(): Promise<void> {
    const { slot } = this.#options;
    const undone = [...this.#tasks.entries()].map(([, task]) => (task instanceof Creation ? task.cancel() : undefined));
    // Before the creations are awaited: a guest that hangs would keep them from being undone.
    await slot.stopPatiently(stopMilliseconds);
    await Promise.all(undone);
    for (const [id, task] of this.#tasks.entries()) {
      const sandbox = slot.present?.sandbox;
      if (!(task instanceof Creation) && sandbox !== undefined && holds(sandbox, task.container)) {
        task.exit ??= await release(sandbox, task.container);
        this.#bury(id, task.container, task.container.init, task.exit);
      }
      this.#forget(id);
    }
  }

  /** `deleteAll` for a shutdown that no client requested: clients see the exits and have some time to delete their tasks. */
  async stopAll(patienceMilliseconds: number): Promise<void> {
    await this.#options.slot.stop(stopMilliseconds);
    if (!this.isEmpty) {
      await settlesWithin(this.#tasks.whenEmpty(), patienceMilliseconds, this.#options.clock);
    }
    await this.deleteAll();
  }

  #forget(id: string): void {
    this.#tasks.delete(id);
    if (this.isEmpty && this.#exitOrder.hasLeft) {
      this.#options.end("the last task of an ended sandbox has been deleted");
    }
  }

  #bury(id: string, container: Container, process: Container["init"], exit: Exit): void {
    const state = lastingState(container, process);
    this.#tombstones.set(keyOf(id, process.execId), { pid: process.pid, exit, state });
  }

  async #deleteTask(id: string, task: Task, init: ProcessRecord): Promise<Exit> {
    const { slot, events } = this.#options;
    const present = slot.present;
    if (present === undefined)
      throw new ShimError("FailedPrecondition", `delete task ${id}: its sandbox does not exist`);
    const { sandbox } = present;
    const execs = [...task.processes.values()].filter((record) => record instanceof ProcessRecord && record !== init);
    await Promise.all(execs.map((record) => (record as ProcessRecord).settle()));
    const takesVmAlong = slot.goesWith(id);
    if (task.exit === undefined) {
      if (takesVmAlong && needsNoGuest(sandbox, task.container)) await slot.stopPatiently(stopMilliseconds);
      const releaseIt = (): Promise<Exit> => release(sandbox, task.container);
      const deleting = takesVmAlong ? releaseIt() : this.#bounded.inTurn(releaseIt);
      const outcome = await orEndVmOf(id, `delete task ${id}`, deleting, this.#options);
      task.exit = await deleting.catch(async (error: unknown) => {
        if (outcome === "guest works") throw error;
        // Pending guest calls fail when the VM ends; after that, nothing in the guest needs releasing.
        await slot.stopPatiently(stopMilliseconds);
        return await releaseIt();
      });
    }
    if (takesVmAlong) await slot.stopPatiently(stopMilliseconds);
    await this.#exitOrder.afterSandbox(id, this.#tasks);
    this.#forget(id);
    events.deleted(id, init.process.pid, task.exit);
    if (id !== this.#options.shimId) await this.#options.onMemberDeleted?.(id, task.container.bundle);
    return task.exit;
  }

  /** Resolves when the creation in progress has been undone; undefined when there is none. */
  #cancelCreation(id: string, execId: string): Promise<unknown> | undefined {
    const task = this.#tasks.get(id);
    const creation = task instanceof Creation || execId === "" ? task : task?.processes.get(execId);
    if (!(creation instanceof Creation)) return undefined;
    const undone = creation.cancel();
    if (creation !== task) return undone;
    const known = this.#undoings.get(creation);
    const undoing = known ?? orEndVmOf(id, `undo the creation of task ${id}`, undone, this.#options);
    this.#undoings.set(creation, undoing);
    return Promise.all([undone, undoing]);
  }

  #record(containerId: string, process: Container["init"]): ProcessRecord {
    const { events, log, clock } = this.#options;
    return new ProcessRecord({ containerId, process, events, log, clock });
  }

  #isSandbox(id: string): boolean {
    return id === this.#options.shimId || id === this.#options.slot.present?.sandbox.id;
  }
}

/** Whether there is anything of the task's container to be released. */
function holds(sandbox: Sandbox, container: Container): boolean {
  return container instanceof SandboxTask || sandbox.container(container.id) !== undefined;
}

function release(sandbox: Sandbox, container: Container): Promise<Exit> {
  return container instanceof SandboxTask ? container.delete() : sandbox.deleteContainer(container.id);
}

/** Whether the VM may end first: all that the guest could do for it ends with the VM anyway. */
function needsNoGuest(sandbox: Sandbox, container: Container): boolean {
  const { canEndWithVm = false, init } = container;
  const isAlone = sandbox.containers().every(({ id }) => id === container.id);
  const isOver = init.state === "stopped" && container.processes().every(({ state }) => state !== "running");
  return canEndWithVm && isAlone && isOver;
}
