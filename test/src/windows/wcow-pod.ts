/** Run under Wine: pods of Windows containers behind the shim's executable, made by the calls of containerd for Windows. */
import { mkdirSync } from "node:fs";
import path from "node:path";
import type { Readable } from "node:stream";
import type { Mount, Pod, PodContainer, PodOptions } from "../shim-client/pod.ts";
import { windowsSpecs } from "../shim-client/windows-spec.ts";
import { casePaths, podPaths } from "./case-paths.ts";
import { executable } from "./shim-process.ts";
import { hostEnvironment } from "./windows-pod.ts";

/** The root of a container, or of a pod's own task; the shim makes its scratch disk. */
export function windowsLayers(pod: string, container: string): readonly Mount[] {
  const source = path.join(casePaths().directory, `${pod}-${container}-scratch`);
  mkdirSync(source);
  const layers = podPaths().windowsLayers;
  return [{ type: "windows-layer", source, options: [`parentLayerPaths=${JSON.stringify(layers)}`] }];
}

/** A classic pod: its sandbox is a task of its own, whose layers have the files of its VM. */
export function wcowPodOptions(id: string): PodOptions {
  const directory = path.join(casePaths().directory, id);
  mkdirSync(directory);
  return {
    ...{ executable: executable("wcow"), directory, id, environment: hostEnvironment() },
    ...{ specs: windowsSpecs, form: "Task API", rootfs: windowsLayers(id, "sandbox") },
  };
}

export interface WindowsContainer {
  readonly id: string;
  readonly commandLine: string;
  readonly terminal?: boolean;
  /** Further fields of the process. */
  readonly process?: object;
  /** Further fields of the specification; those of `windows` are added to the usual ones. */
  readonly specification?: { readonly windows?: object; readonly [field: string]: unknown };
}

export async function startWindows(
  pod: Pod,
  { id, commandLine, terminal = false, process: fields = {}, specification = {} }: WindowsContainer,
): Promise<PodContainer> {
  const container = await pod.createContainer({
    ...{ id, terminal, args: [], fields: { args: undefined, commandLine, ...fields } },
    rootfs: windowsLayers(pod.identity.id, id),
    change: (usual) => ({
      ...usual,
      ...specification,
      windows: { ...(usual.windows as object), ...specification.windows },
    }),
  });
  await container.start();
  return container;
}

/** A program as an exec is asked for. */
export function execOf(commandLine: string, fields: object = {}) {
  return { args: [], fields: { args: undefined, commandLine, ...fields } };
}

export interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs an exec to its end, and deletes it. */
export async function runExec(container: PodContainer, execId: string, commandLine: string): Promise<Ended> {
  const stdio = await container.exec(execId, execOf(commandLine));
  try {
    const [output, status] = await Promise.all([stdio.output(), container.wait(execId)]);
    await container.deleteExec(execId);
    return { status, stdout: output.stdout.toString(), stderr: output.stderr.toString() };
  } finally {
    stdio.close();
  }
}

/** Ends a container that runs, and deletes it. */
export async function endWindows(container: PodContainer): Promise<void> {
  await container.kill(9);
  await container.wait();
  await container.delete();
}

/** What moves a terminal's cursor, names its window or sets colours. */
const escapeCharacter = String.fromCharCode(27);
const bell = String.fromCharCode(7);
const controlSequences = new RegExp(`${escapeCharacter}(\\[[0-9;?]*[A-Za-z]|\\][^${bell}]*${bell})`, "g");

/** Reads until the text so far matches, without what steers a terminal. */
export async function readUntil(stream: Readable, expected: RegExp): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let text = "";
  const onData = (chunk: Buffer): void => {
    text += chunk.toString("latin1");
    const plain = text.replaceAll(controlSequences, "");
    if (!expected.test(plain)) return;
    stream.off("data", onData).off("end", onEnd).pause();
    resolve(plain);
  };
  const onEnd = (): void => reject(new Error(`the output ended with ${JSON.stringify(text)}: expected ${expected}`));
  stream.on("data", onData).once("end", onEnd).resume();
  return await promise;
}
