import { stat } from "node:fs/promises";
import { abortable, withDeadline } from "@uvm-shim/lifecycle";
import { describeError, ShimError } from "../../errors.ts";
import type { containerd } from "../../generated/messages.js";
import type { Sandbox } from "../../platform.ts";
import { callFileSystem } from "../../system/file-calls.ts";
import type { PresentSandbox } from "../sandbox/sandbox-slot.ts";
import { Creation } from "../task/creation.ts";
import type { DiagnosticParts } from "./parts.ts";
import { shimStacks } from "./stacks.ts";
import type { Turns } from "./turns.ts";

type Messages = typeof containerd.runhcs.v1.diag;
type Request<Name extends "ExecProcessRequest" | "TasksRequest" | "ShareRequest"> = InstanceType<Messages[Name]>;

/** How long the guest may take to dump its stacks. */
const stacksMilliseconds = 5_000;
/** Programs of the VM itself that may run at the same time. */
const mostPrograms = 32;

/** hcsshim's diagnostic service. */
export class ShimDiag {
  readonly #parts: DiagnosticParts;
  readonly #turns: Turns;
  #programs = 0;

  constructor(parts: DiagnosticParts, turns: Turns) {
    this.#parts = parts;
    this.#turns = turns;
  }

  /** Runs a program in the VM itself, up to its end or that of the call. */
  async execInHost(
    { args, workdir, terminal, stdin, stdout, stderr }: Request<"ExecProcessRequest">,
    signal: AbortSignal,
  ): Promise<{ exitCode: number }> {
    const operation = "execute in the VM";
    const { sandbox } = this.#running(operation);
    if ((args[0] ?? "") === "") {
      const message = `${operation}: args is empty, expected a program of the guest and its arguments`;
      throw new ShimError("InvalidArgument", message);
    }
    if (this.#programs >= mostPrograms) {
      throw new ShimError("ResourceExhausted", `${operation}: ${mostPrograms} programs run already, end one of them`);
    }
    this.#programs += 1;
    try {
      const stdio = { stdin, stdout, stderr, terminal, endsWithWriter: true };
      this.#parts.log.log("info", "executing a program in the VM", { program: args[0], terminal });
      const { status } = await sandbox.executeInVm({ args, workingDirectory: workdir, stdio }, signal);
      // Windows' exit codes are unsigned, the field is not.
      return { exitCode: status | 0 };
    } finally {
      this.#programs -= 1;
    }
  }

  /** What the shim waits for and where the guest's programs are; a guest that does not tell is no reason to fail. */
  async stacks(signal: AbortSignal): Promise<{ stacks: string; guestStacks: string }> {
    const operation = "dump stacks";
    const stacks = await this.#turns.take(operation, () => shimStacks(this.#parts));
    const sandbox = this.#parts.slot.present?.sandbox;
    if (sandbox?.state !== "running") return { stacks, guestStacks: "" };
    const guestStacks = await this.#turns.ask(operation, () => this.#guestStacks(sandbox, signal));
    return { stacks, guestStacks };
  }

  async #guestStacks(sandbox: Sandbox, signal: AbortSignal): Promise<string> {
    const { clock } = this.#parts;
    try {
      const stacks = await withDeadline((until) => abortable(sandbox.dumpStacks(until), until), {
        ...{ clock, milliseconds: stacksMilliseconds, signal },
        error: () => new ShimError("DeadlineExceeded", `no answer within ${stacksMilliseconds} ms`),
      });
      return stacks ?? "(this guest cannot dump its stacks)";
    } catch (error) {
      signal.throwIfAborted();
      return `(no stacks of the guest: ${describeError(error)})`;
    }
  }

  tasks({
    execs,
  }: Request<"TasksRequest">): Promise<{ tasks: { id: string; execs: { id: string; state: string }[] }[] }> {
    return this.#turns.take("list tasks", () => ({
      tasks: [...this.#parts.tasks.entries()].map(([id, task]) => {
        if (!execs) return { id, execs: [] };
        if (task instanceof Creation) return { id, execs: [{ id: "", state: "CREATING" }] };
        const isPaused = task.container.isPaused;
        const states = [...task.processes].map(([execId, record]) => {
          if (record instanceof Creation) return { id: execId, state: "CREATING" };
          const { state } = record.process;
          return { id: execId, state: isPaused && state === "running" ? "PAUSED" : state.toUpperCase() };
        });
        return { id, execs: states };
      }),
    }));
  }

  /** Shows a folder of the host in the VM; of a single file, the folder with nothing but it. */
  async share({ hostPath, uvmPath, readOnly }: Request<"ShareRequest">, signal: AbortSignal): Promise<object> {
    const operation = `share ${hostPath} with the VM`;
    const { sandbox } = this.#running(operation);
    for (const [field, value] of Object.entries({ host_path: hostPath, uvm_path: uvmPath })) {
      if (value === "") throw new ShimError("InvalidArgument", `${operation}: ${field} is empty, expected a path`);
    }
    const kind = await this.#kindOf(hostPath, operation);
    await sandbox.share({ hostPath, kind, guestPath: uvmPath, readOnly }, signal);
    return {};
  }

  async #kindOf(hostPath: string, operation: string): Promise<"directory" | "file"> {
    const { clock } = this.#parts;
    const subject = `${operation}: the path of the host cannot be read`;
    const found = await callFileSystem(
      { path: hostPath, subject },
      () => stat(hostPath),
      () => {},
      { clock },
    );
    if (found.isDirectory()) return "directory";
    if (found.isFile()) return "file";
    throw new ShimError("InvalidArgument", `${operation}: expected a folder or a file`);
  }

  async pid(): Promise<{ pid: number }> {
    return { pid: this.#parts.shim.pid };
  }

  #running(operation: string): PresentSandbox {
    const { present } = this.#parts.slot;
    if (present?.sandbox.state === "running") return present;
    const state = present === undefined ? "there is none yet" : `it is ${present.sandbox.state}`;
    throw new ShimError("FailedPrecondition", `${operation}: the VM does not run: ${state}`);
  }
}
