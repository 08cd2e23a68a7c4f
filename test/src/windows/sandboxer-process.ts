/** Run under Wine: a sandboxer's process, and pods that containerd makes by its controller. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import path from "node:path";
import { EventSink } from "../shim-client/events.ts";
import { Pod, type PodOptions } from "../shim-client/pod.ts";
import { poll } from "../support/wait.ts";
import { casePaths } from "./case-paths.ts";
import { ControllerClient } from "./controller-client.ts";
import { executable } from "./shim-process.ts";
import { hostEnvironment } from "./windows-pod.ts";

const startMs = 30_000;
const optionsType = "containerd.runhcs.v1.Options";

/** Where a sandboxer of this flavour serves, unless it is told otherwise. */
export function usualPipe(flavour: "lcow" | "wcow"): string {
  return String.raw`\\.\pipe\ProtectedPrefix\Administrators\uvm-shim-${flavour}`;
}

/** A sandboxer of a suite's own, with a folder of this name for what it keeps. */
export class SandboxerProcess {
  readonly state: string;
  readonly containerd: string;
  readonly #flavour: "lcow" | "wcow";
  readonly #folder: string;
  #child: ChildProcess | undefined;
  #starts = 0;

  constructor(flavour: "lcow" | "wcow", name: string) {
    this.#flavour = flavour;
    this.#folder = path.join(casePaths().directory, name);
    this.state = path.join(this.#folder, "state");
    this.containerd = String.raw`\\.\pipe\uvm-shim-containerd-${name}`;
    mkdirSync(this.#folder);
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** Resolves once it serves, at the usual pipe. */
  async start(): Promise<void> {
    const logPath = path.join(this.#folder, `log-${++this.#starts}`);
    const log = openSync(logPath, "w");
    const args = ["-address", this.containerd, "-state", this.state, "-debug", "sandboxer"];
    const environment = { ...process.env, ...hostEnvironment() };
    const child = spawn(executable(this.#flavour), args, { env: environment, stdio: ["ignore", log, log] });
    closeSync(log);
    this.#child = child;
    const ended = new Promise<never>((_, reject) => {
      child.once("error", reject);
      child.once("exit", (code) => reject(new Error(`the sandboxer ended with ${code}:\n${this.log().slice(-4000)}`)));
    });
    ended.catch(() => undefined);
    const serves = async (): Promise<true | undefined> => (/msg=serving socket=/.test(this.log()) ? true : undefined);
    await Promise.race([poll("the sandboxer to serve", serves, { timeoutMs: startMs }), ended]);
  }

  /** All that it has logged since its last start. */
  log(): string {
    return readFileSync(path.join(this.#folder, `log-${this.#starts}`), "utf8");
  }

  /** Ends it at once; does nothing if it does not run. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    child.kill("SIGKILL");
    await ended;
  }
}

/** containerd, as far as a sandboxer knows it: a client of its controller, and where its events go. */
export class SandboxerClient {
  readonly sink: EventSink;
  #controller: ControllerClient;

  private constructor(controller: ControllerClient, sink: EventSink) {
    this.#controller = controller;
    this.sink = sink;
  }

  get controller(): ControllerClient {
    return this.#controller;
  }

  /** To a sandboxer that has been started again. */
  reconnect(pipe: string): void {
    this.#controller.close();
    this.#controller = new ControllerClient(pipe);
  }

  static async connect(pipe: string, containerd: string): Promise<SandboxerClient> {
    return new SandboxerClient(new ControllerClient(pipe), await EventSink.listen(`${containerd}.ttrpc`));
  }

  /** Creates and starts a pod as CRI does. */
  async run(options: PodOptions): Promise<Pod> {
    const { id, runtimeOptions: value, annotations = {} } = options;
    const runtime = { name: "io.containerd.uvm.v2", options: value ? { type_url: optionsType, value } : null };
    const sandbox = { sandboxId: id, runtime, sandboxer: "uvm" };
    await this.controller.call("Create", { sandboxId: id, sandbox, annotations });
    const { address, version } = await this.controller.call("Start", { sandboxId: id });
    if (version !== 3) throw new Error(`the sandboxer answers with version ${version}; expected 3`);
    return await Pod.adopt(options, address.replace(/^ttrpc\+/, ""), this.sink);
  }

  /** Stops a pod and shuts it down. */
  async remove(id: string): Promise<void> {
    await this.controller.call("Stop", { sandboxId: id, timeoutSecs: 10 });
    await this.controller.call("Shutdown", { sandboxId: id });
  }

  async close(): Promise<void> {
    this.controller.close();
    await this.sink.close();
  }
}
