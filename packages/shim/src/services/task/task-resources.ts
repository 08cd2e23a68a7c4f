import { ShimError } from "../../errors.ts";
import type { Container, ListedProcess } from "../../platform.ts";
import type { BoundedCalls } from "../budgets.ts";
import { readResourceUpdate, type TaskUpdate } from "../resource-update.ts";
import { isOwn, type PresentSandbox, type SandboxSlot } from "../sandbox/sandbox-slot.ts";
import { encodeContainerStatistics, encodeVmStatistics } from "../statistics.ts";
import { SandboxTask } from "./sandbox-task.ts";
import { processInfo, type Request } from "./task-messages.ts";
import type { TaskTable } from "./task-table.ts";

/** What answers for updates and statistics. */
export interface TaskResourcesOptions {
  readonly slot: SandboxSlot;
  readonly tasks: TaskTable;
  readonly bounded: BoundedCalls;
  /** Whether the id is that of the shim's sandbox, even if that does not exist yet. */
  readonly isSandbox: (id: string) => boolean;
}

/** The calls of the Task service about what a task uses and may use. */
export class TaskResources {
  readonly #options: TaskResourcesOptions;

  constructor(options: TaskResourcesOptions) {
    this.#options = options;
  }

  /** For the id of a sandbox without a container of its own, the statistics of the VM. */
  async stats({ id }: Request<"StatsRequest">, signal?: AbortSignal) {
    const alone = this.#sandboxAlone(id);
    if (alone !== undefined) {
      return { stats: encodeVmStatistics(alone.os, await alone.sandbox.statistics(signal)) };
    }
    const { slot, tasks, bounded } = this.#options;
    const { container } = tasks.require(id);
    const measure = async (until: AbortSignal) => {
      const statistics = await container.statistics(until);
      const present = slot.present;
      const hasVm = statistics.version === "windows" && present !== undefined && isOwn(present, id);
      return encodeContainerStatistics(statistics, hasVm ? await present.sandbox.statistics(until) : undefined);
    };
    return { stats: await bounded.run("figures", `stats of task ${id}`, measure, signal) };
  }

  /** For the id of a sandbox, updates the VM and then the container of that id, if it runs. */
  async update(request: Request<"UpdateTaskRequest">, signal?: AbortSignal): Promise<object> {
    const { id } = request;
    const { slot, tasks } = this.#options;
    const present = slot.present;
    const update = readResourceUpdate(id, request.resources, request.annotations, present?.os);
    const container = this.#sandboxAlone(id) === undefined ? tasks.require(id).container : undefined;
    if (update.mount === undefined) await this.#limit(id, update, container, present, signal);
    else await this.#mount(id, update.mount, container, signal);
    return {};
  }

  async #limit(
    id: string,
    update: TaskUpdate,
    container: Container | undefined,
    present: PresentSandbox | undefined,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const sandbox = present?.sandbox;
    if (sandbox?.id === id) await sandbox.update(update, signal);
    else if (update.policyFragment !== undefined) {
      throw new ShimError(
        "InvalidArgument",
        `update task ${id}: a policy fragment applies to a sandbox, not to a container`,
      );
    }
    const isLimited = update.resources !== undefined && (sandbox?.id !== id || container?.init.state === "running");
    if (isLimited && container !== undefined) await sandbox?.updateContainer(id, update.resources, signal);
  }

  async #mount(
    id: string,
    mount: NonNullable<TaskUpdate["mount"]>,
    container: Container | undefined,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    if (container?.addMount === undefined) {
      const what = container === undefined ? "a sandbox without a container of its own" : "this kind of container";
      throw new ShimError("Unimplemented", `update task ${id}: ${what} takes no mounts while it runs`);
    }
    await container.addMount(mount, signal);
  }

  /**
   * Of an ended task, its init process until it is deleted: containerd 2 considers a task without pids leaked when it
   * starts (shim_load.go), and deletes it before anybody has asked for its exit.
   */
  async pids({ id }: Request<"PidsRequest">, signal?: AbortSignal) {
    const { tasks, bounded, isSandbox } = this.#options;
    // A sandbox without a task of its own has no processes that clients know.
    if (!tasks.has(id) && isSandbox(id)) return { processes: [] };
    const { container } = tasks.require(id);
    const list = (until: AbortSignal): Promise<readonly ListedProcess[]> => container.pids(until);
    const running = () => container.processes().filter(({ state }) => state === "running");
    const listed = await bounded.run("pids", `pids of task ${id}`, list, signal).catch(running);
    const pids = listed.length > 0 ? listed : [{ pid: container.init.pid }];
    return { processes: pids.map(processInfo) };
  }

  /** The sandbox of this id, if it has no container of its own. */
  #sandboxAlone(id: string): PresentSandbox | undefined {
    const present = this.#options.slot.present;
    if (present?.sandbox.id !== id) return undefined;
    const task = this.#options.tasks.get(id);
    return task === undefined || ("container" in task && task.container instanceof SandboxTask) ? present : undefined;
  }
}
