import { abortable, type Clock, observe } from "@uvm-shim/lifecycle";
import { describeError, ShimError, translateError } from "../../errors.ts";
import type { Exit, Log, Platform, Sandbox, SandboxRequest } from "../../platform.ts";
import { Creation } from "../task/creation.ts";

/**
 * A classic sandbox comes and goes with the task of the same id. A sandbox of the Sandbox API has a life of its own, and
 * only ShutdownSandbox ends the shim.
 */
export type SandboxMode = "classic" | "api";

type SlotState =
  | { readonly kind: "empty" }
  | { readonly kind: "creating"; readonly id: string; readonly creation: Creation }
  | ({ readonly kind: "present" } & Omit<PresentSandbox, "exit"> & { exit: Exit | undefined });

/** The sandbox that a shim has. */
export interface PresentSandbox {
  readonly mode: SandboxMode;
  /** The system of its containers. */
  readonly os: Platform["os"];
  readonly sandbox: Sandbox;
  /** Set once the VM, or the container that holds the pod's namespaces, has ended. */
  readonly exit: Exit | undefined;
}

/** Whether the sandbox comes and goes with the task of this id. */
export function isOwn({ mode, sandbox }: PresentSandbox, taskId: string): boolean {
  return mode === "classic" && sandbox.id === taskId;
}

/** How often a stop that exceeds its time is repeated. */
const patientStops = 3;

/** The one sandbox that a shim process may have. */
export class SandboxSlot {
  readonly #platform: () => Promise<Platform>;
  readonly #log: Log;
  readonly #clock: Clock;
  #state: SlotState = { kind: "empty" };
  #stopping: Promise<void> | undefined;

  constructor(options: { readonly platform: () => Promise<Platform>; readonly log: Log; readonly clock: Clock }) {
    this.#platform = options.platform;
    this.#log = options.log;
    this.#clock = options.clock;
  }

  get isEmpty(): boolean {
    return this.#state.kind === "empty";
  }

  /** Whether a sandbox holds resources of the host, or may come to hold some. */
  get isAlive(): boolean {
    return this.#state.kind === "creating" || (this.present !== undefined && this.present.sandbox.state !== "stopped");
  }

  /** Whether the VM is being ended, which has time limits of its own. */
  get isStopping(): boolean {
    return this.#stopping !== undefined;
  }

  /** The id of the sandbox that is being created. */
  get creatingId(): string | undefined {
    return this.#state.kind === "creating" ? this.#state.id : undefined;
  }

  get present(): PresentSandbox | undefined {
    return this.#state.kind === "present" ? this.#state : undefined;
  }

  /** Whether the sandbox goes with the task of this id; true without a sandbox, which may yet come with the task. */
  goesWith(taskId: string): boolean {
    return this.present === undefined || isOwn(this.present, taskId);
  }

  /** Throws NotFound when the sandbox has another id, or there is none. */
  require(id: string): PresentSandbox {
    const present = this.present;
    if (present?.sandbox.id === id) return present;
    const reason =
      present === undefined ? "this shim has no sandbox yet" : `this shim has sandbox ${present.sandbox.id}`;
    throw new ShimError("NotFound", `sandbox ${id} does not exist: ${reason}`);
  }

  async create(mode: SandboxMode, request: SandboxRequest, signal?: AbortSignal): Promise<Sandbox> {
    if (this.#state.kind !== "empty") {
      const id = this.#state.kind === "creating" ? this.#state.id : this.#state.sandbox.id;
      throw new ShimError("AlreadyExists", `create sandbox ${request.id}: this shim already has sandbox ${id}`);
    }
    const creation = new Creation(`create sandbox ${request.id}`, signal);
    this.#state = { kind: "creating", id: request.id, creation };
    return creation.run(async (until) => {
      try {
        const load = () => abortable(this.#platform(), until);
        const platform = await observe({ kind: "phase", name: "load platform" }, load);
        const create = () => platform.createSandbox(request, until);
        const sandbox = await observe(
          { kind: "phase", name: "create sandbox", attributes: { id: request.id } },
          create,
        );
        const present = { kind: "present" as const, mode, os: platform.os, sandbox, exit: undefined };
        this.#state = present;
        this.#watch(present);
        return sandbox;
      } catch (error) {
        this.#state = { kind: "empty" };
        throw error;
      }
    });
  }

  /**
   * Cancels a creation and stops the sandbox. Concurrent callers share one stop, which continues when a caller gives up.
   * A failed stop can be repeated.
   */
  async stop(timeoutMilliseconds: number, signal?: AbortSignal): Promise<void> {
    if (this.#state.kind === "creating") await abortable(this.#state.creation.cancel(), signal);
    const present = this.present;
    if (present === undefined) return;
    this.#stopping ??= present.sandbox.stop(timeoutMilliseconds).finally(() => {
      this.#stopping = undefined;
    });
    await abortable(this.#stopping, signal);
  }

  /** `stop` for callers without a deadline of their own: repeats a stop that exceeds its time. */
  async stopPatiently(timeoutMilliseconds: number, signal?: AbortSignal): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.stop(timeoutMilliseconds, signal);
      } catch (error) {
        const isLate = translateError(error).code === "DeadlineExceeded";
        if (!isLate || signal?.aborted || attempt === patientStops) throw error;
      }
    }
  }

  /** Stops a sandbox whose creation failed half-way, and forgets it. */
  async discard(timeoutMilliseconds: number): Promise<void> {
    await this.stop(timeoutMilliseconds);
    this.#state = { kind: "empty" };
  }

  #watch(present: { readonly sandbox: Sandbox; exit: Exit | undefined }): void {
    const { id } = present.sandbox;
    present.sandbox.wait().then(
      (exit) => {
        present.exit = exit;
        this.#log.log("info", "sandbox ended", { sandbox: id, status: exit.status });
      },
      (error: unknown) => {
        present.exit = { status: 255, exitedAt: this.#clock.now() };
        this.#log.log("error", "sandbox lost", { sandbox: id, error: describeError(error) });
      },
    );
  }
}
