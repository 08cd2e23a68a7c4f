/** A pod as a kubelet makes one: by the Container Runtime Interface alone. */
import { mkdirSync, readdirSync, readFileSync, rmdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { runtime } from "../generated/messages.js";
import { parseMountinfo } from "../leaks/mountinfo.ts";
import type { ContainerConfig, CriClient, PodConfig } from "./client.ts";

const { CONTAINER } = runtime.v1.NamespaceMode;

/** The group of all pods, as kubelets have one: else each would weigh as much as all that is not a pod, the host among it. */
const ALL_PODS = "kubepods";

/** Each of a pod's containers can be lost to that race once. */
const STOPS = 5;

export interface CriPodOptions {
  readonly cri: CriClient;
  readonly runtimeHandler: string;
  readonly image: string;
  /** A directory for logs. */
  readonly directory: string;
  readonly name: string;
  readonly config?: PodConfig;
  /** How long each call may take; by default as long as the client has it. */
  readonly timeoutMs?: number;
}

export class CriPod {
  readonly id: string;
  readonly config: PodConfig;
  readonly #options: CriPodOptions;
  /** The pod's cgroup in every hierarchy. */
  readonly controlGroups: readonly string[];

  private constructor(options: CriPodOptions, id: string, config: PodConfig, groups: readonly string[]) {
    this.#options = options;
    this.id = id;
    this.config = config;
    this.controlGroups = groups;
  }

  static async run(options: CriPodOptions): Promise<CriPod> {
    const { cri, name, directory, runtimeHandler } = options;
    const logs = join(directory, name);
    mkdirSync(logs, { recursive: true });
    const groups = makeControlGroups(name);
    const config: PodConfig = {
      metadata: { name, uid: `uid-${name}`, namespace: "e2e", attempt: 0 },
      hostname: name,
      logDirectory: logs,
      ...options.config,
      linux: {
        ...options.config?.linux,
        // containerd 2.1 asks this group, not the shim, what the pod as a whole has used.
        cgroupParent: `/${ALL_PODS}/${name}`,
      },
    };
    try {
      const { podSandboxId } = await cri.call("RunPodSandbox", { config, runtimeHandler }, timeoutOf(options));
      return new CriPod(options, podSandboxId, config, groups);
    } catch (error) {
      try {
        removeControlGroups(groups);
      } catch {
        // What failed first is what matters.
      }
      throw error;
    }
  }

  /** Creates and starts a container; returns its id. */
  async run(name: string, command: readonly string[], config: ContainerConfig = {}): Promise<string> {
    const id = await this.create(name, command, config);
    await this.#options.cri.call("StartContainer", { containerId: id }, timeoutOf(this.#options));
    return id;
  }

  async create(name: string, command: readonly string[], config: ContainerConfig = {}): Promise<string> {
    const { cri, image } = this.#options;
    const request = {
      podSandboxId: this.id,
      sandboxConfig: this.config,
      config: {
        metadata: { name, attempt: 0 },
        image: { image },
        command,
        logPath: `${name}.log`,
        ...config,
        // As kubelets ask for, unless the pod is to share its processes.
        linux: {
          ...config.linux,
          securityContext: { namespaceOptions: { pid: CONTAINER }, ...config.linux?.securityContext },
        },
      },
    };
    const { containerId } = await cri.call("CreateContainer", request, timeoutOf(this.#options));
    return containerId;
  }

  logPath(name: string): string {
    return join(this.#options.directory, this.#options.name, `${name}.log`);
  }

  /** The lines of a container's log by stream, without containerd's times and tags. */
  logged(name: string): { readonly stdout: string; readonly stderr: string } {
    const lines = readFileSync(this.logPath(name), "utf8")
      .split("\n")
      .filter((line) => line !== "");
    const of = (stream: string): string =>
      lines
        .map((line) => line.split(" "))
        .filter((words) => words[1] === stream)
        .map((words) => `${words.slice(3).join(" ")}${words[2] === "F" ? "\n" : ""}`)
        .join("");
    return { stdout: of("stdout"), stderr: of("stderr") };
  }

  /**
   * Repeats what containerd loses to itself, as a kubelet does: it closes its connection for a task that it deletes on an exit,
   * and a Kill of that task which StopPodSandbox has under way then fails (containerd issue 11505, pull request 12387).
   */
  async stop(): Promise<void> {
    const { cri } = this.#options;
    for (let time = 1; ; time++) {
      try {
        await cri.call("StopPodSandbox", { podSandboxId: this.id }, timeoutOf(this.#options));
        return;
      } catch (error) {
        if (time === STOPS || !String(error).includes("ttrpc: closed")) throw error;
      }
    }
  }

  async remove(): Promise<void> {
    const { cri } = this.#options;
    await this.stop();
    await cri.call("RemovePodSandbox", { podSandboxId: this.id }, timeoutOf(this.#options));
    removeControlGroups(this.controlGroups);
  }
}

function timeoutOf({ timeoutMs }: CriPodOptions): { readonly timeoutMs?: number } {
  return timeoutMs === undefined ? {} : { timeoutMs };
}

function makeControlGroups(name: string): readonly string[] {
  const mounts = parseMountinfo(readFileSync("/proc/self/mountinfo", "utf8"));
  const points = new Set(
    mounts.filter(({ type }) => type === "cgroup" || type === "cgroup2").map(({ point }) => point),
  );
  return [...points].map((point) => {
    const group = join(point, ALL_PODS, name);
    mkdirSync(group, { recursive: true });
    return group;
  });
}

function removeControlGroups(groups: readonly string[]): void {
  for (const group of groups) {
    rmdirSync(group);
    // With the last pod.
    const isEmpty = !readdirSync(dirname(group), { withFileTypes: true }).some((entry) => entry.isDirectory());
    if (isEmpty) rmdirSync(dirname(group));
  }
}
