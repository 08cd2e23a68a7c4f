import type { VmExit } from "@uvm-shim/controller-vm";
import {
  Acquisitions,
  abortable,
  ControllerError,
  type ErrorCode,
  type Exit,
  OperationQueue,
  type Step,
} from "@uvm-shim/lifecycle";

/** A program of the VM itself. */
export interface PodProgramRequest {
  readonly args: readonly string[];
  readonly workingDirectory: string;
  readonly stdio: {
    readonly stdin: string;
    readonly stdout: string;
    readonly stderr: string;
    readonly terminal: boolean;
  };
}

/** Satisfied by `ProcessController` of controller-process with the flavour `vmPrograms`. */
export interface PodProgram {
  /** Pid in the guest; 0 until it is known. */
  readonly pid: number;
  readonly state: "created" | "running" | "stopped";
  create(
    request: {
      readonly stdio: PodProgramRequest["stdio"];
      readonly process: Pick<PodProgramRequest, "args" | "workingDirectory">;
    },
    signal?: AbortSignal,
  ): Promise<void>;
  start(signal?: AbortSignal): Promise<number>;
  wait(signal?: AbortSignal): Promise<Exit>;
  kill(signalNumber: number): Promise<void>;
  /** Ends a program that has not been started. */
  abandon(status: number): Promise<void>;
  vmExited(exit: { readonly reason: string }): void;
}

/** A folder of the host, or a single file in one, for the VM itself. */
export interface PodShare {
  readonly hostPath: string;
  readonly kind: "directory" | "file";
  /** Where the guest shows the folder. */
  readonly guestPath: string;
  readonly readOnly: boolean;
}

/** How the flavour diagnoses its VMs. */
export interface DiagnosisParts {
  /** `name` is unique in the pod. */
  readonly newProgram: (name: string) => PodProgram;
  /** The steps that show a folder in the VM, after whose failure nothing is left. */
  readonly shareSteps: (share: PodShare) => readonly Step[];
}

interface HeldShare {
  readonly share: PodShare;
  readonly held: Acquisitions;
  /** Unless it failed, and left something that could not be released. */
  isShown: boolean;
}

/** Folders that diagnosis shows in one VM: each stays until the pod ends, and costs host and guest something. */
const mostShares = 32;
const sigkill = 9;
const abandoned = 255;

/** What diagnosis brings into a pod's VM: programs and shares of the VM itself. It ends with the pod. */
export class Diagnosis {
  readonly #podId: string;
  readonly #parts: DiagnosisParts;
  readonly #programs = new Map<string, { readonly program: string; readonly controller: PodProgram }>();
  readonly #shares = new Set<HeldShare>();
  readonly #sharing = new OperationQueue();
  #count = 0;

  constructor(podId: string, parts: DiagnosisParts) {
    this.#podId = podId;
    this.#parts = parts;
  }

  get shares(): readonly PodShare[] {
    return [...this.#shares].filter(({ isShown }) => isShown).map(({ share }) => share);
  }

  get programs(): readonly {
    readonly id: string;
    readonly program: string;
    readonly pid: number;
    readonly state: string;
  }[] {
    return [...this.#programs].map(
      ([
        id,
        {
          program,
          controller: { pid, state },
        },
      ]) => ({ id, program, pid, state }),
    );
  }

  /** Resolves when the program has ended and its output is drained; ends it when the signal aborts. */
  async execute({ args, workingDirectory, stdio }: PodProgramRequest, until: AbortSignal): Promise<Exit> {
    this.#count += 1;
    const name = `program-${this.#count}`;
    const controller = this.#parts.newProgram(name);
    await controller.create({ stdio, process: { args, workingDirectory } }, until);
    this.#programs.set(name, { program: args[0] ?? "", controller });
    const ended = controller.wait().finally(() => this.#programs.delete(name));
    try {
      await controller.start(until);
      return await abortable(ended, until);
    } catch (error) {
      if (controller.state === "created") await controller.abandon(abandoned);
      // A failed kill has closed its stdio; a guest that does not answer ends it with the VM.
      else if (controller.state === "running") void controller.kill(sigkill).catch(() => {});
      throw error;
    }
  }

  vmExited(exit: VmExit): void {
    for (const { controller } of this.#programs.values()) controller.vmExited(exit);
  }

  /** Shows the folder in the VM. No effect on one that is there already with the same settings. */
  share(share: PodShare, until: AbortSignal): Promise<void> {
    const sharing = this.#sharing.run(async () => {
      const same = this.shares.find(({ guestPath }) => guestPath === share.guestPath);
      if (same !== undefined) return this.#requireSame(same, share);
      if (this.#shares.size >= mostShares) {
        const message = `${mostShares} folders are shown in its VM already, and stay until it ends`;
        throw this.#refusal("ResourceExhausted", message, share);
      }
      const entry = { share, held: new Acquisitions(), isShown: false };
      this.#shares.add(entry);
      try {
        await entry.held.acquireAll(this.#parts.shareSteps(share), until);
        entry.isShown = true;
      } finally {
        if (entry.held.isEmpty) this.#shares.delete(entry);
      }
    }, until);
    return abortable(sharing, until);
  }

  #requireSame(held: PodShare, wanted: PodShare): void {
    const { hostPath, guestPath, kind, readOnly } = held;
    if (hostPath === wanted.hostPath && kind === wanted.kind && readOnly === wanted.readOnly) return;
    const access = readOnly ? "read-only" : "writable";
    const message = `guest path ${guestPath} shows ${hostPath}, ${access}, until the pod ends`;
    throw this.#refusal("AlreadyExists", message, wanted);
  }

  #refusal(code: ErrorCode, message: string, { hostPath }: PodShare): ControllerError {
    return new ControllerError(code, message, { operation: `share ${hostPath} with pod`, id: this.#podId });
  }

  /** Releases all shares; what cannot be released is kept, and the call can be repeated. */
  release(): Promise<void> {
    return this.#sharing.run(async () => {
      const failures: unknown[] = [];
      for (const entry of [...this.#shares].toReversed()) {
        try {
          await entry.held.releaseAll();
          this.#shares.delete(entry);
        } catch (error) {
          failures.push(error);
        }
      }
      if (failures.length > 0) throw failures[0];
    });
  }
}
