/** Limits of Windows containers, as the suites' guest-program.exe meets them. */
import type { Pod, PodContainer } from "./pod.ts";
import { Task } from "./shim.ts";
import { runExec } from "./windows-programs.ts";

const resourcesType = "types.containerd.io/opencontainers/runtime-spec/1/WindowsResources";
const mebibyte = 2 ** 20;
const workMs = 2_000;

/** A container with little memory and one processor, and the memory that more of it has; in MiB what they allow. */
export const limitedResources = {
  resources: { memory: { limit: 160 * mebibyte }, cpu: { count: 1 } },
  allowed: 64,
  tooMuch: 400,
  more: { memory: { limit: 640 * mebibyte } },
} as const;

/** In hundredths of a percent of the VM's two processors: a quarter of one. */
export const sharedResources = { cpu: { maximum: 1250 } } as const;
/** In hundredths of a processor: more than the quarter, as what is measured is not even, and clearly less than one. */
export const largestShare = 60;

/** Whether a program has that much memory that it can write to. */
export async function canTakeMemory(container: PodContainer, execId: string, mebibytes: number): Promise<boolean> {
  const { status, stdout, stderr } = await runExec(container, execId, `C:\\guest-program.exe memory ${mebibytes}`);
  if (status !== 0) return false;
  const expected = `took ${mebibytes} MiB\r\n`;
  if (stdout !== expected || stderr !== "") {
    throw new Error(`guest-program.exe wrote ${JSON.stringify(stdout + stderr)}; expected ${JSON.stringify(expected)}`);
  }
  return true;
}

/** How many processors a program may run on. */
export async function processorCount(container: PodContainer, execId: string): Promise<number> {
  return await numberOf(container, execId, "processors", "processors");
}

/** Hundredths of a processor that a program has which does nothing but work. */
export async function processorShare(container: PodContainer, execId: string): Promise<number> {
  return await numberOf(container, execId, `work ${workMs}`, "share");
}

async function numberOf(container: PodContainer, execId: string, what: string, word: string): Promise<number> {
  const { status, stdout, stderr } = await runExec(container, execId, `C:\\guest-program.exe ${what}`);
  const number = new RegExp(`^${word} (\\d+)\r\n$`).exec(stdout)?.[1];
  if (status !== 0 || number === undefined) {
    const written = JSON.stringify(stdout + stderr);
    throw new Error(`guest-program.exe ended with ${status} and wrote ${written}; expected "${word}" and a number`);
  }
  return Number(number);
}

/** Changes a container's limits; `resources` are those of an OCI specification, right or wrong. */
export async function updateResources(pod: Pod, container: PodContainer, resources: object): Promise<void> {
  const value = Buffer.from(JSON.stringify(resources));
  await pod.shim.call(Task, "Update", { id: container.id, resources: { type_url: resourcesType, value } });
}
