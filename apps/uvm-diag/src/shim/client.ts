import net from "node:net";
import { containerd, uvmshim } from "@uvm-shim/shim/protocol";
import { type CallOptions, TtrpcClient, TtrpcError } from "@uvm-shim/ttrpc";
import { DiagError, exitCodes } from "../errors.ts";
import { plain } from "../output/plain.ts";
import { nameOf, type Pod } from "../pods/pod.ts";

const { ShimDiag } = containerd.runhcs.v1.diag;
const { Inspect } = uvmshim.diagnostics.v1;

export interface ExecRequest {
  readonly args: readonly string[];
  readonly workdir: string;
  readonly terminal: boolean;
  readonly stdin: string;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Records {
  readonly text: string;
  readonly last: number;
  readonly lost: number;
}

export interface Task {
  readonly id: string;
  readonly execs: readonly { readonly id: string; readonly state: string }[];
}

/** How long a shim may take to answer, and what ends all waits for it. */
export interface Patience {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** A client of a pod's shim. */
export async function connectToPod(pod: Pod, socket: string, patience: Patience): Promise<ShimClient> {
  if (pod.isElsewhere) {
    const inside = `nsenter --target ${pod.pid} --mount --pid uvm-diag`;
    const message = `the shim of ${nameOf(pod)} is in another mount namespace, where this has to run: ${inside}`;
    throw new DiagError(exitCodes.failed, message);
  }
  return await ShimClient.connect(socket, nameOf(pod), patience);
}

/** A connection to a shim: hcsshim's diagnostic service, and ours where the shim has it. */
export class ShimClient {
  readonly #name: string;
  readonly #client: TtrpcClient;
  readonly #patience: Patience;

  private constructor(name: string, client: TtrpcClient, patience: Patience) {
    this.#name = name;
    this.#client = client;
    this.#patience = patience;
  }

  /** `name` is that of the pod, for messages. */
  static async connect(socket: string, name: string, patience: Patience): Promise<ShimClient> {
    const { timeoutMs, signal } = patience;
    signal?.throwIfAborted();
    const stream = net.connect(socket);
    const leave = (): void => void stream.destroy(new Error("the connection was given up"));
    signal?.addEventListener("abort", leave);
    try {
      await new Promise<void>((resolve, reject) => {
        stream.once("connect", resolve).once("error", reject);
        stream.setTimeout(timeoutMs, () => {
          const error = new Error(`no connection within ${timeoutMs / 1000} s: it may hang (see uvm-diag why)`);
          stream.destroy(Object.assign(error, { code: "ETIMEDOUT" }));
        });
      });
    } catch (cause) {
      throw connectionError(name, socket, cause as NodeJS.ErrnoException);
    } finally {
      signal?.removeEventListener("abort", leave);
    }
    stream.setTimeout(0);
    stream.on("error", () => {});
    return new ShimClient(name, new TtrpcClient(stream), patience);
  }

  async pid(): Promise<number> {
    const { pid } = await this.#ask("its pid", (options) => this.#client.call(ShimDiag, "DiagPid", {}, options));
    return pid;
  }

  async tasks(execs: boolean): Promise<readonly Task[]> {
    const { tasks } = await this.#ask("its tasks", (options) =>
      this.#client.call(ShimDiag, "DiagTasks", { execs }, options),
    );
    return tasks;
  }

  async stacks(): Promise<{ readonly shim: string; readonly guest: string }> {
    const answer = await this.#ask("stacks", (options) => this.#client.call(ShimDiag, "DiagStacks", {}, options));
    return { shim: answer.stacks, guest: answer.guestStacks };
  }

  async share(hostPath: string, uvmPath: string, readOnly: boolean): Promise<void> {
    const request = { hostPath, uvmPath, readOnly };
    await this.#ask("to share a folder", (options) => this.#client.call(ShimDiag, "DiagShare", request, options));
  }

  /** Lasts as long as the program does. */
  async execInHost(request: ExecRequest, leaving: AbortSignal): Promise<number> {
    try {
      const answer = await this.#ask("to execute a program", ({ signal }) =>
        this.#client.call(ShimDiag, "DiagExecInHost", request, {
          signal: signal === undefined ? leaving : AbortSignal.any([signal, leaving]),
        }),
      );
      return answer.exitCode;
    } catch (error) {
      const code = exitCodeIn(error as Error);
      if (code === undefined) throw error;
      return code;
    }
  }

  metadata() {
    return this.#ask("who it is", (options) => this.#client.call(Inspect, "Metadata", {}, options));
  }

  async state(): Promise<string> {
    return (await this.#ask("its state", (options) => this.#client.call(Inspect, "State", {}, options))).text;
  }

  async dump(): Promise<string> {
    return (await this.#ask("a dump", (options) => this.#client.call(Inspect, "Dump", {}, options))).text;
  }

  async dumpVm(): Promise<string> {
    return (await this.#ask("a dump of its VM", (options) => this.#client.call(Inspect, "DumpVm", {}, options))).text;
  }

  /** Records after a sequence number; waits up to `waitMs` for one. */
  records(kind: "Events" | "Log", after: number, waitMs: number): Promise<Records> {
    return this.#ask(kind === "Events" ? "its events" : "its log", ({ timeoutMs = 0, ...options }) =>
      this.#client.call(Inspect, kind, { after, most: 0, waitMs }, { ...options, timeoutMs: timeoutMs + waitMs }),
    );
  }

  close(): void {
    this.#client.close();
  }

  async #ask<T>(what: string, call: (options: CallOptions) => Promise<T>): Promise<T> {
    try {
      return await call(this.#patience);
    } catch (error) {
      throw error instanceof TtrpcError ? this.#translate(what, error) : error;
    }
  }

  #translate(what: string, cause: TtrpcError): DiagError {
    const asked = `the shim of ${this.#name}, asked for ${what}`.replace("asked for to ", "asked to ");
    switch (cause.code) {
      case "Unimplemented":
        return new DiagError(
          exitCodes.unsupported,
          `${asked}, does not know this: it is hcsshim's, or of another version than this tool`,
          { cause },
        );
      case "DeadlineExceeded":
        return new DiagError(
          exitCodes.failed,
          `${asked}, did not answer within ${this.#patience.timeoutMs / 1000} s: it may hang (see uvm-diag why)`,
          { cause },
        );
      case "Unavailable":
        return new DiagError(exitCodes.failed, `${asked}, ended before it answered: ${plain(cause.message)}`, {
          cause,
        });
      default:
        return new DiagError(exitCodes.failed, `${asked}, refused: ${plain(cause.message)} (${cause.code})`, { cause });
    }
  }
}

/** hcsshim's service takes every program that does not succeed for a failure of its own; its codes are unsigned. */
function exitCodeIn({ cause }: Error): number | undefined {
  const code =
    cause instanceof TtrpcError ? /process exited with exit code (\d+)$/.exec(cause.message)?.[1] : undefined;
  return code === undefined ? undefined : Number(code) | 0;
}

function connectionError(name: string, socket: string, cause: NodeJS.ErrnoException): DiagError {
  switch (cause.code) {
    case "EACCES":
    case "EPERM":
      return new DiagError(
        exitCodes.notPermitted,
        `only an administrator may talk to the shim of ${name} (${socket})`,
        { cause },
      );
    case "ENOENT":
    case "ECONNREFUSED":
      return new DiagError(
        exitCodes.failed,
        `no shim serves ${name} any more (${socket}): it has ended, see uvm-diag why`,
        { cause },
      );
    default:
      return new DiagError(exitCodes.failed, `cannot connect to the shim of ${name} at ${socket}: ${cause.message}`, {
        cause,
      });
  }
}
