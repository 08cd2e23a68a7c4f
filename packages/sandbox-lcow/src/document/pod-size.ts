import { checkOciLinuxResources, type OciLinuxResources, SchemaError } from "@uvm-shim/hcs-schema";
import { keyOf } from "../annotations/annotations.ts";
import { type ContainerLimits, fieldsOf, limitsOf, resourcesOf } from "./pod-limits.ts";

const mebibyte = 2 ** 20;
const containerTypeKey = "io.kubernetes.cri.container-type";

/** What a VM has beside the memory of its containers, in MB. */
export interface MemoryNeeds {
  /** For the guest itself: what its kernel and its agent take, and what the agent keeps from containers. */
  readonly guest: number;
  /** For all containers without a limit together, with the guest. */
  readonly withoutLimits: number;
}

/** In MB. HCS takes memory in pages of 2 MiB; a kernel's tables of its memory grow with it. */
export function memoryFor(containers: readonly ContainerLimits[], needs: MemoryNeeds): number {
  const limited = containers.reduce((sum, { memoryBytes = 0 }) => sum + memoryBytes, 0);
  const isUnlimited = containers.some(({ memoryBytes }) => memoryBytes === undefined);
  const size = (isUnlimited ? needs.withoutLimits : needs.guest) + Math.ceil((limited / mebibyte) * (1 + tablesPart));
  return size + (size % 2);
}

/** 64 bytes for each page of 4096, and as much again for what else a kernel keeps of memory that is in use. */
const tablesPart = 1 / 32;

export interface PodSizeOptions {
  /** Of the VM, which are as many for as long as it lives. */
  readonly processors: number;
  readonly hostProcessors: number;
  /** In MB; absent where it is not known, and sizes are the host's to refuse. */
  readonly hostMemory?: number | undefined;
  readonly needs: MemoryNeeds;
  /** Why the VM's memory stays as it is; absent where it follows its containers. */
  readonly fixedMemory?: string | undefined;
  /** Whether somebody has said how many processors there are. */
  readonly areProcessorsFixed: boolean;
}

/** What one container more, or one of other limits, means for its VM. */
export type SizeVerdict =
  | { readonly kind: "enough"; readonly warning?: string }
  /** `isDemanded`: a limit promises it. Containers without one, or with one that promises nothing, get along with less. */
  | { readonly kind: "grow"; readonly memoryInMb: number; readonly isDemanded: boolean; readonly warning?: string }
  | { readonly kind: "refused"; readonly reason: string };

export interface SizeQuestion {
  /** Of all containers, with the one in question. */
  readonly containers: readonly ContainerLimits[];
  readonly container: ContainerLimits;
  /** What it had until now; absent for one that is new. */
  readonly before?: ContainerLimits | undefined;
  /** What the VM has now. */
  readonly memoryInMb: number;
  /** Why that stays as it is, where it has come to be so since the VM was made. */
  readonly fixedSince?: string | undefined;
}

/** Whether a VM is large enough for its containers, and how large it has to be. */
export class PodSize {
  readonly #options: PodSizeOptions;

  constructor(options: PodSizeOptions) {
    this.#options = options;
  }

  /** Undefined for a pod's sandbox container, which takes nothing. What is wrong is for the container to refuse. */
  limitsOf({ spec }: { readonly spec: unknown }): ContainerLimits | undefined {
    if (fieldsOf(fieldsOf(spec).annotations)[containerTypeKey] === "sandbox") return undefined;
    try {
      return containerLimits(limitsOf(resourcesOf(spec)));
    } catch {
      return {};
    }
  }

  /** What an update leaves as it is stays. */
  updated({ memoryBytes, processors }: ContainerLimits, resources: unknown): ContainerLimits {
    const asked = checkedUpdate(resources);
    const next = limitsOf(asked);
    return containerLimits({
      memoryBytes: (asked.memory?.limit ?? 0) === 0 ? memoryBytes : next.memoryBytes,
      processors: (asked.cpu?.quota ?? 0) === 0 ? processors : next.processors,
    });
  }

  judge(question: SizeQuestion): SizeVerdict {
    return this.#judgeProcessors(question) ?? this.#judgeMemory(question);
  }

  /** A limit that is more than the whole host has is no promise, there as anywhere. */
  #judgeProcessors({ container: { processors = 0 }, before }: SizeQuestion): SizeVerdict | undefined {
    const { processors: count, hostProcessors, areProcessorsFixed } = this.#options;
    if (processors <= count || count >= hostProcessors || isNoMore(processors, before?.processors)) return undefined;
    const reason = `its limit of ${processors} processors is more than the VM's ${count}, whose number stays as it is`;
    if (areProcessorsFixed && before === undefined) return { kind: "enough", warning: reason };
    const accepted = `at most ${count}, or a pod that is made with more: by its limits or by ${keyOf("processorCount")}`;
    return { kind: "refused", reason: `${reason}: expected ${accepted}` };
  }

  /** As with processors: what no machine like this could give is taken, since no other runtime refuses it, and said. */
  #judgeMemory({ containers, container, before, memoryInMb, fixedSince }: SizeQuestion): SizeVerdict {
    const { needs, fixedMemory, hostMemory = Number.POSITIVE_INFINITY } = this.#options;
    const size = Math.min(memoryFor(containers, needs), hostMemory);
    const { memoryBytes } = container;
    const isGiven = memoryBytes !== undefined && !isNoMore(memoryBytes, before?.memoryBytes);
    const asked = Math.ceil((memoryBytes ?? 0) / mebibyte);
    const limit = `its memory limit is ${asked} MiB`;
    const isBeyondHost = isGiven && asked > hostMemory;
    const beyondHost = isBeyondHost ? { warning: `${limit}, more than the ${hostMemory} MB of the host` } : {};
    if (size <= memoryInMb) return { kind: "enough", ...beyondHost };
    if (memoryBytes !== undefined && !isGiven) return { kind: "enough" };
    const fixed = fixedSince ?? fixedMemory;
    if (fixed === undefined)
      return { kind: "grow", memoryInMb: size, isDemanded: isGiven && !isBeyondHost, ...beyondHost };
    if (memoryBytes === undefined) return { kind: "enough" };
    const stays = `the VM has ${memoryInMb} MB for all of its containers and the guest, which stays as it is: ${fixed}`;
    const reason = `${beyondHost.warning ?? limit}, and ${stays}`;
    return asked > memoryInMb && !isBeyondHost ? { kind: "refused", reason } : { kind: "enough", warning: reason };
  }
}

/** What has been had so far is had, and asks for nothing: an update may be about something else. */
function isNoMore(limit: number, before: number | undefined): boolean {
  return before !== undefined && limit <= before;
}

/** What is wrong is for the container to refuse. */
function checkedUpdate(resources: unknown): OciLinuxResources {
  try {
    return checkOciLinuxResources(resources, "resources");
  } catch (error) {
    if (error instanceof SchemaError) return {};
    throw error;
  }
}

function containerLimits({
  memoryBytes,
  processors,
}: {
  readonly memoryBytes?: number | undefined;
  readonly processors?: number | undefined;
}): ContainerLimits {
  return {
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
    ...(processors === undefined ? {} : { processors }),
  };
}
