import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { processGuestKernel } from "@uvm-shim/host-protocol/guest";
import { parseRecord, type RecordLine, recordFile } from "@uvm-shim/shim/record";
import {
  type ContainerOptions,
  type Mount,
  Pod,
  type PodContainer,
  type PodOptions,
  readOnlyRoot,
} from "../shim-client/pod.ts";
import { HOST_ENVIRONMENT, SHIM } from "../support/programs.ts";

export const NAMESPACE = "pods";

export interface Images {
  /** A folder with a small Linux. */
  readonly rootfs: string;
  /** The folder of a layer with the same. */
  readonly layer: string;
}

/** What a provocation has to work with: an empty folder, and pods whose shims record what happens to them there. */
export class Bench {
  readonly directory: string;
  readonly images: Images;
  readonly signal: AbortSignal;
  readonly records: string;
  #lastId = "pod";
  readonly #closing: (() => unknown)[] = [];

  constructor(directory: string, images: Images, signal: AbortSignal) {
    this.directory = directory;
    this.images = images;
    this.signal = signal;
    this.records = join(directory, "records");
  }

  readonly namespace = NAMESPACE;

  /** The id of the pod that is asked about. */
  get id(): string {
    return this.#lastId;
  }

  get root(): readonly Mount[] {
    return readOnlyRoot(this.images.rootfs);
  }

  /** Done at the end, the last first. */
  atEnd(work: () => unknown): void {
    this.#closing.push(work);
  }

  folder(name: string): string {
    const folder = join(this.directory, name);
    mkdirSync(folder, { recursive: true });
    return folder;
  }

  /** Runs a pod. */
  async pod(options: Partial<PodOptions> = {}): Promise<Pod> {
    const { environment, ...more } = options;
    const all = { ...HOST_ENVIRONMENT, UVM_SHIM_RECORDS: this.records, ...environment };
    this.#lastId = options.id ?? "pod";
    const pod = await Pod.run({
      ...{ executable: SHIM, directory: this.folder("p"), id: "pod", signal: this.signal },
      ...{ ...more, environment: all },
    });
    this.atEnd(() => pod.abandon());
    return pod;
  }

  /** A pod that cannot be made. */
  async failingPod(options: Partial<PodOptions> = {}): Promise<void> {
    const made = await this.pod(options).catch(() => undefined);
    if (made !== undefined) throw new Error("the pod was made, which was to fail");
  }

  async container(pod: Pod, options: Partial<ContainerOptions> = {}): Promise<PodContainer> {
    return await pod.createContainer({ id: "c1", args: ["sleep", "1000"], rootfs: this.root, ...options });
  }

  /** A container that cannot be made, in a pod that can. */
  async failingContainer(options: Partial<ContainerOptions> = {}, podOptions: Partial<PodOptions> = {}): Promise<Pod> {
    const pod = await this.pod(podOptions);
    const made = await this.container(pod, options)
      .then((container) => container.start())
      .catch(() => undefined);
    if (made !== undefined) throw new Error("the container was started, which was to fail");
    return pod;
  }

  /** A container that runs, in a pod of its own. */
  async running(
    options: Partial<ContainerOptions> = {},
    podOptions: Partial<PodOptions> = {},
  ): Promise<{ pod: Pod; container: PodContainer }> {
    const pod = await this.pod(podOptions);
    const container = await this.container(pod, options);
    await container.start();
    return { pod, container };
  }

  /** A folder of boot files with a guest of our own. */
  bootFolder(program: string): { readonly [annotation: string]: string } {
    const folder = this.folder("boot");
    writeFileSync(join(folder, "kernel"), `${processGuestKernel}\n`);
    writeFileSync(join(folder, "package.json"), '{"type":"commonjs"}');
    writeFileSync(join(folder, "initrd.img"), program, { mode: 0o755 });
    return bootAnnotation(folder);
  }

  /** Whether work of this name has begun. */
  began(name: string): true | undefined {
    return this.lines.some((line) => line.type === "began" && line.name === name) || undefined;
  }

  /** Waits until a container has written this. */
  async output(container: PodContainer, text: string): Promise<void> {
    let written = "";
    await new Promise<void>((resolve) => {
      container.stdio.stdout.on("data", (chunk: Buffer) => {
        written += chunk.toString();
        if (written.includes(text)) resolve();
      });
    });
  }

  get lines(): readonly RecordLine[] {
    const file = recordFile(this.records, NAMESPACE, this.#lastId);
    return existsSync(file) ? parseRecord(readFileSync(file, "utf8")).lines : [];
  }

  async close(): Promise<void> {
    for (const work of this.#closing.splice(0).toReversed()) {
      try {
        await work();
      } catch {
        // What was provoked may be in the way of an orderly end.
      }
    }
  }
}

export function bootAnnotation(folder: string): { readonly [annotation: string]: string } {
  return { "io.microsoft.virtualmachine.bootfilesrootpath": folder };
}

/** A launcher that does something before it becomes the shim. */
export function wrapped(bench: Bench, line: string): string {
  const file = join(bench.directory, "shim.sh");
  writeFileSync(file, ["#!/bin/sh", line, `exec ${SHIM} "$@"`, ""].join("\n"));
  chmodSync(file, 0o755);
  return file;
}

/** A folder as a root file system. */
export const bound = readOnlyRoot;
