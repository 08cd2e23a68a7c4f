import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import {
  type CommandOptions,
  type CommandResult,
  describe,
  type RunningCommand,
  runCommand,
  startCommand,
} from "@uvm-shim/test-support/command";
import { pluginFolder } from "../../../tools/bootstrap/needs.mjs";
import type { ContainerdBuild } from "../debian/containerds.ts";
import { COMMAND_MS } from "../support/guest-kind.ts";
import { poll } from "../support/wait.ts";
import { makeNetworks, pluginNetworks } from "./cni.ts";
import { SANDBOXER_PLUGIN } from "./sandboxer.ts";

export interface ContainerdOptions {
  readonly build: ContainerdBuild;
  /** An empty or absent directory for everything that this containerd keeps. */
  readonly directory: string;
  /** Where containerd looks for shims first. */
  readonly shims: string;
  /** Handed on to the shims. */
  readonly environment?: { readonly [name: string]: string };
  /** An empty ext4 file system, from which the blockfile snapshotter makes its own. */
  readonly blockfileScratch?: string;
  /** Has it serve Kubernetes' runtime interface too. */
  readonly cri?: CriOptions;
  /** Snapshotters that others serve. */
  readonly snapshotters?: readonly ProxySnapshotter[];
  /** A sandbox controller that another process serves. */
  readonly sandboxer?: { readonly name: string; readonly socket: string };
  /** Further tables of its configuration. */
  readonly tables?: readonly string[];
  /** Of containerd, and so of the shims that it starts. */
  readonly logLevel?: "debug" | "info";
}

export interface ProxySnapshotter {
  readonly name: string;
  readonly socket: string;
  /** Where it keeps its snapshots, as it is shown to those who ask for the usage of images. */
  readonly directory: string;
}

export interface CriOptions {
  /** Of the containers with which containerd itself makes pods. Must be there already: it would try to pull it. */
  readonly sandboxImage: string;
  /** The first is the one of pods that name none. */
  readonly handlers: readonly CriHandler[];
  /** For runc, which fails where not even root may make the kernel spare a process that it kills for memory. */
  readonly restrictsOomScores: boolean;
}

export interface CriHandler {
  readonly name: string;
  readonly runtime: string;
  /** The shim's executable, where the runtime's name does not lead to it. */
  readonly path?: string;
  readonly form: PodForm;
  /** Whether its pods have networks that CNI plugins set up. */
  readonly hasPluginNetworks: boolean;
  /** Of the images of its containers; containerd's usual one when absent. */
  readonly snapshotter?: string;
  readonly options?: { readonly [key: string]: string | number };
}

/** The handler of pods that containerd makes with a container of its own, and not the shim. */
export function classicHandler(runtime: string): string {
  return `${runtime}-classic`;
}

/** The handler like this one that is given as one of runc's, by the path of the shim: only such a one is asked for its features. */
export function askedHandler(handler: string): string {
  return `${handler}-asked`;
}

/** The handler like this one whose pods have networks that CNI plugins set up. */
export function networkedHandler(handler: string): string {
  return `${handler}-networked`;
}

/** The setting's words for who makes the container of a pod. */
const SANDBOXERS: { readonly [form in PodForm]: string } = {
  shim: "shim",
  containerd: "podsandbox",
  sandboxer: SANDBOXER_PLUGIN,
};

/** Who makes the container that holds a pod: its shim, containerd, as it does for runtimes that cannot, or a sandboxer. */
export const podForms = ["shim", "containerd", "sandboxer"] as const;
export type PodForm = (typeof podForms)[number];

/** What the suite does not use, and what would want the machine's own network or devices. */
const DISABLED_PLUGINS = [
  "io.containerd.nri.v1.nri",
  "io.containerd.internal.v1.restart",
  "io.containerd.monitor.container.v1.restart",
  "io.containerd.internal.v1.tracing",
  "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
];
const CRI_PLUGIN = "io.containerd.grpc.v1.cri";
const START_MS = 20_000;
const STOP_MS = 10_000;

/** A containerd of the suite's own: started, asked through ctr, stopped. */
export class Containerd {
  readonly build: ContainerdBuild;
  readonly root: string;
  readonly state: string;
  readonly namespace: string;
  readonly environment: NodeJS.ProcessEnv;
  readonly #options: ContainerdOptions;
  /** The socket of its gRPC services. */
  readonly address: string;
  readonly #logPath: string;
  #process: ChildProcess | undefined;

  private constructor(options: ContainerdOptions) {
    this.#options = options;
    this.build = options.build;
    // CRI's containers are all in one namespace.
    this.namespace = options.cri === undefined ? "e2e" : "k8s.io";
    this.root = join(options.directory, "root");
    this.state = join(options.directory, "state");
    this.address = join(options.directory, "c.sock");
    this.#logPath = join(options.directory, "log");
    const temporary = join(options.directory, "tmp");
    mkdirSync(temporary, { recursive: true });
    this.environment = {
      ...process.env,
      ...options.environment,
      TMPDIR: temporary,
      PATH: [options.shims, options.build.programs, process.env.PATH].join(delimiter),
    };
  }

  static async start(options: ContainerdOptions, signal?: AbortSignal): Promise<Containerd> {
    const containerd = new Containerd(options);
    writeFileSync(join(options.directory, "config.toml"), containerd.#configuration());
    if (options.cri !== undefined) makeNetworks(join(options.directory, "cni"));
    await containerd.start(signal);
    return containerd;
  }

  /** Starts it, also again after `stop`. */
  async start(signal?: AbortSignal): Promise<void> {
    const log = openSync(this.#logPath, "a");
    const program = join(this.build.programs, "containerd");
    const child = spawn(program, ["--config", join(this.#options.directory, "config.toml")], {
      env: this.environment,
      stdio: ["ignore", log, log],
      // A Ctrl-C is for the suite, which then ends containers through this containerd.
      detached: true,
    });
    closeSync(log);
    this.#process = child;
    const ended = new Promise<never>((_, reject) => {
      child.once("error", reject);
      child.once("exit", (code, by) =>
        reject(new Error(`containerd ended (${by ?? code}):\n${this.log().slice(-4000)}`)),
      );
    });
    ended.catch(() => undefined);
    const answers = async (): Promise<true | undefined> =>
      (await this.ctr(["version"], { timeoutMs: 5_000 })).status === 0 ? true : undefined;
    const ready = poll("containerd to answer", answers, { timeoutMs: START_MS, ...(signal && { signal }) });
    await Promise.race([ready, ended]);
  }

  /** Ends containerd, which may not prepare for it when it is killed, and leaves its shims running. */
  async stop(by: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    const child = this.#process;
    if (child === undefined) return;
    this.#process = undefined;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    child.kill(by);
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
    await ended;
    clearTimeout(timer);
  }

  /** Removes everything that it keeps. */
  async destroy(): Promise<void> {
    await this.stop();
    rmSync(this.#options.directory, { recursive: true, force: true });
  }

  /** All that containerd, and the shims through it, have logged. */
  log(): string {
    return readFileSync(this.#logPath, "utf8");
  }

  ctr(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return runCommand(this.#ctrProgram, this.#ctrArguments(args), this.#ctrOptions(options));
  }

  /** Runs a ctr command that has to succeed; returns what it printed. */
  async mustCtr(args: readonly string[], options: CommandOptions = {}): Promise<string> {
    const result = await this.ctr(args, options);
    if (result.status !== 0) throw new Error(describe(result));
    return result.stdout.toString("utf8");
  }

  startCtr(args: readonly string[], options: CommandOptions = {}): RunningCommand {
    return startCommand(this.#ctrProgram, this.#ctrArguments(args), this.#ctrOptions(options));
  }

  /** The whole command line of a ctr command, for a shell. */
  ctrLine(args: readonly string[]): string {
    return [this.#ctrProgram, ...this.#ctrArguments(args)]
      .map((word) => `'${word.replaceAll("'", "'\\''")}'`)
      .join(" ");
  }

  get #ctrProgram(): string {
    return join(this.build.programs, "ctr");
  }

  #ctrOptions(options: CommandOptions): CommandOptions {
    return { environment: this.environment, timeoutMs: COMMAND_MS, ...options };
  }

  #ctrArguments(args: readonly string[]): string[] {
    return ["--address", this.address, "--namespace", this.namespace, ...args];
  }

  #configuration(): string {
    const { build, directory, blockfileScratch, cri, snapshotters = [], sandboxer, tables = [] } = this.#options;
    const { logLevel = "debug" } = this.#options;
    const blockfile =
      blockfileScratch === undefined
        ? []
        : [
            '[plugins."io.containerd.snapshotter.v1.blockfile"]',
            `scratch_file = ${JSON.stringify(blockfileScratch)}`,
            'fs_type = "ext4"',
            "recreate_scratch = true",
          ];
    const disabled = [...DISABLED_PLUGINS, ...(cri === undefined ? [CRI_PLUGIN] : [])];
    return [
      `version = ${cri !== undefined && build.major >= 2 ? 3 : 2}`,
      `root = ${JSON.stringify(this.root)}`,
      `state = ${JSON.stringify(this.state)}`,
      `disabled_plugins = ${JSON.stringify(disabled)}`,
      "[grpc]",
      `address = ${JSON.stringify(this.address)}`,
      "[debug]",
      `level = ${JSON.stringify(logLevel)}`,
      '[plugins."io.containerd.internal.v1.opt"]',
      `path = ${JSON.stringify(join(directory, "opt"))}`,
      ...blockfile,
      ...snapshotters.flatMap(({ name, socket, directory }) => [
        `[proxy_plugins.${JSON.stringify(name)}]`,
        'type = "snapshot"',
        `address = ${JSON.stringify(socket)}`,
        `[proxy_plugins.${JSON.stringify(name)}.exports]`,
        `root = ${JSON.stringify(directory)}`,
      ]),
      ...(sandboxer === undefined
        ? []
        : [
            `[proxy_plugins.${JSON.stringify(sandboxer.name)}]`,
            'type = "sandbox"',
            `address = ${JSON.stringify(sandboxer.socket)}`,
          ]),
      ...(cri === undefined ? [] : criConfiguration(cri, directory, build.major)),
      ...tables,
      "",
    ].join("\n");
  }
}

/** Version 3 of the file has the plugin in two parts, and the choice of a sandboxer. */
function criConfiguration(
  { sandboxImage, handlers, restrictsOomScores }: CriOptions,
  directory: string,
  major: number,
): readonly string[] {
  const networks = join(directory, "cni");
  const programs = JSON.stringify([networks, pluginFolder]);
  const plugin = major >= 2 ? "io.containerd.cri.v1.runtime" : CRI_PLUGIN;
  const image = JSON.stringify(sandboxImage);
  const sandboxer = major >= 2 ? "sandboxer" : "sandbox_mode";
  return [
    ...(major >= 2 ? ['[plugins."io.containerd.cri.v1.images".pinned_images]', `sandbox = ${image}`] : []),
    `[plugins."${plugin}"]`,
    ...(major >= 2 ? [] : [`sandbox_image = ${image}`]),
    `restrict_oom_score_adj = ${restrictsOomScores}`,
    `[plugins."${plugin}".cni]`,
    `conf_dir = ${JSON.stringify(networks)}`,
    ...(major >= 2
      ? [`bin_dirs = ${programs}`, "use_internal_loopback = true"]
      : [`bin_dir = ${JSON.stringify(networks)}`]),
    `[plugins."${plugin}".containerd]`,
    `default_runtime_name = ${JSON.stringify(handlers[0]?.name)}`,
    ...handlers.flatMap((handler) => [
      `[plugins."${plugin}".containerd.runtimes.${JSON.stringify(handler.name)}]`,
      `runtime_type = ${JSON.stringify(handler.runtime)}`,
      ...(handler.path === undefined ? [] : [`runtime_path = ${JSON.stringify(handler.path)}`]),
      `${sandboxer} = ${JSON.stringify(SANDBOXERS[handler.form])}`,
      ...(handler.hasPluginNetworks
        ? [`cni_conf_dir = ${JSON.stringify(pluginNetworks(networks))}`, "cni_max_conf_num = 2"]
        : []),
      ...(handler.snapshotter === undefined ? [] : [`snapshotter = ${JSON.stringify(handler.snapshotter)}`]),
      ...(handler.options === undefined
        ? []
        : [
            `[plugins."${plugin}".containerd.runtimes.${JSON.stringify(handler.name)}.options]`,
            ...Object.entries(handler.options).map(([key, value]) => `${key} = ${JSON.stringify(value)}`),
          ]),
    ]),
  ];
}
