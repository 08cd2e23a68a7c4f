/** A containerd with this project's runtime and runc's beside each other, on which both are asked for the same. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { CriClient } from "../../cri/client.ts";
import { CriPod } from "../../cri/pod.ts";
import type { ContainerdBuild } from "../../debian/containerds.ts";
import { Containerd, type PodForm } from "../../e2e/containerd.ts";
import { handlerName } from "../../e2e/cri-case.ts";
import { IMAGE, type Images, PAUSE_IMAGE } from "../../e2e/images.ts";
import { SANDBOXER_PLUGIN, SandboxerProcess, sandboxerSocket } from "../../e2e/sandboxer.ts";
import { RUNTIMES, type Runtime } from "../../e2e/suite.ts";
import { SHIM_PROGRAM } from "../../support/programs.ts";

/** Of many at once on few processors. */
const CALL_MS = 120_000;

export interface StandOptions {
  readonly build: ContainerdBuild;
  /** For everything of all stands. */
  readonly directory: string;
  readonly shims: string;
  readonly environment: { readonly [name: string]: string };
  readonly images: Images;
  readonly signal: AbortSignal;
}

/** How this project's pods are served. */
export type Serving = "a shim for each pod" | "a sandboxer";

export type Side = "ours" | "peers";

interface Parts {
  readonly containerd: Containerd;
  readonly sandboxer: SandboxerProcess | undefined;
  readonly cri: CriClient | undefined;
}

export class Stand implements AsyncDisposable {
  static #stands = 0;
  readonly containerd: Containerd;
  readonly directory: string;
  readonly signal: AbortSignal;
  readonly #parts: Parts;
  #ids = 0;

  private constructor(parts: Parts, directory: string, signal: AbortSignal) {
    this.containerd = parts.containerd;
    this.directory = directory;
    this.signal = signal;
    this.#parts = parts;
  }

  /** @param hasCri otherwise it is for ctr, and nothing else watches its tasks. */
  static async start(
    options: StandOptions,
    serving: Serving,
    hasCri: boolean,
    flags: readonly string[] = [],
  ): Promise<Stand> {
    const { build, shims, images, signal } = options;
    Stand.#stands += 1;
    // Short: sockets are in it.
    const directory = join(options.directory, `s${Stand.#stands}`);
    mkdirSync(directory, { recursive: true });
    const socket = sandboxerSocket(directory);
    const isHosted = serving === "a sandboxer";
    const environment = { ...options.environment, UVM_SHIM_SANDBOXER: isHosted ? socket : "none" };
    const { lcow, runc } = RUNTIMES;
    const handler = { hasPluginNetworks: false };
    const ourForm: PodForm = isHosted ? "sandboxer" : "shim";
    const handlers = [
      { ...handler, name: handlerName(lcow.name, ourForm), runtime: lcow.name, form: ourForm },
      {
        ...{ ...handler, name: handlerName(runc.name, "containerd"), runtime: runc.name },
        ...{ form: "containerd" as const },
      },
    ];
    const containerd = await Containerd.start(
      {
        ...{ build, directory, shims, environment, logLevel: "info" },
        ...(hasCri && { cri: { sandboxImage: PAUSE_IMAGE, handlers, restrictsOomScores: true } }),
        ...(hasCri && isHosted && { sandboxer: { name: SANDBOXER_PLUGIN, socket } }),
      },
      signal,
    );
    const executable = join(shims, SHIM_PROGRAM);
    const sandboxer = isHosted
      ? new SandboxerProcess({
          ...{ executable, directory, containerd: containerd.address, environment: containerd.environment },
          ...{ debug: false, flags },
        })
      : undefined;
    const stand = new Stand(
      { containerd, sandboxer, cri: hasCri ? new CriClient(containerd.address) : undefined },
      directory,
      signal,
    );
    try {
      await sandboxer?.start(signal);
      for (const archive of [images.archive, images.pauseArchive]) {
        await containerd.mustCtr(["image", "import", archive]);
      }
    } catch (error) {
      await stand[Symbol.asyncDispose]();
      throw error;
    }
    return stand;
  }

  get sandboxer(): SandboxerProcess {
    if (this.#parts.sandboxer === undefined) throw new Error("this stand has no sandboxer");
    return this.#parts.sandboxer;
  }

  get cri(): CriClient {
    if (this.#parts.cri === undefined) throw new Error("this stand does not serve CRI");
    return this.#parts.cri;
  }

  newId(stem: string): string {
    this.#ids += 1;
    return `${stem}-${this.#ids}`;
  }

  /** A pod with one container that runs and does nothing. */
  async runPod(side: Side): Promise<RunningPod> {
    const pod = await CriPod.run({
      ...{ cri: this.cri, directory: this.directory, image: IMAGE, timeoutMs: CALL_MS },
      name: this.newId("pod"),
      runtimeHandler: handlerName(runtimeOf(side).name, side === "ours" ? "sandboxer" : "containerd"),
    });
    try {
      return { pod, container: await pod.run("main", ["sleep", "100000"]) };
    } catch (error) {
      await pod.remove().catch(() => undefined);
      throw error;
    }
  }

  /** So many pods at once; those that could be made are removed if one cannot. */
  async runPods(side: Side, count: number): Promise<readonly RunningPod[]> {
    const outcomes = await Promise.allSettled(Array.from({ length: count }, () => this.runPod(side)));
    const pods = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
    const failure = outcomes.find((outcome) => outcome.status === "rejected");
    if (failure === undefined) return pods;
    await removePods(pods).catch(() => undefined);
    throw failure.reason;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { containerd, sandboxer, cri } = this.#parts;
    cri?.close();
    await sandboxer?.stop();
    await containerd.destroy();
  }
}

export interface RunningPod {
  readonly pod: CriPod;
  readonly container: string;
}

export async function removePods(pods: readonly RunningPod[]): Promise<void> {
  await Promise.all(pods.map(({ pod }) => pod.remove()));
}

export function runtimeOf(side: Side): Runtime {
  return side === "ours" ? RUNTIMES.lcow : RUNTIMES.runc;
}
