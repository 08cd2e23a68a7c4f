import { keyOf } from "../annotations/shared-annotations.ts";
import { fieldsOf } from "../fields.ts";

/** Limits of one container, or of all containers of a pod together; absent for no limit. */
export interface ContainerLimits {
  readonly memoryBytes?: number;
  /** Processor time per time; may be a fraction. */
  readonly processors?: number;
}

const mebibyte = 2 ** 20;
const containerTypeKey = "io.kubernetes.cri.container-type";

/** Memory that a VM needs besides its containers' limits, in MB. */
export interface MemoryNeeds {
  /** For the guest's kernel and agent, including what the agent reserves from containers. */
  readonly guest: number;
  /** For the guest and all containers without a limit together. */
  readonly withoutLimits: number;
}

/** In MB, a multiple of 2 as HCS requires. The kernel's page tables grow with the memory. */
export function memoryFor(containers: readonly ContainerLimits[], needs: MemoryNeeds): number {
  const limited = containers.reduce((sum, { memoryBytes = 0 }) => sum + memoryBytes, 0);
  const isUnlimited = containers.some(({ memoryBytes }) => memoryBytes === undefined);
  const size = (isUnlimited ? needs.withoutLimits : needs.guest) + Math.ceil((limited / mebibyte) * (1 + tablesPart));
  return size + (size % 2);
}

/** 64 bytes for each page of 4096, and as much again for other data of the kernel about memory in use. */
const tablesPart = 1 / 32;

/** What a pod's size follows from, beside its containers. */
export interface PodSizeOptions {
  /** The VM's processors, whose number never changes. */
  readonly processors: number;
  readonly hostProcessors: number;
  /** In MB; absent if unknown: then only the host refuses sizes. */
  readonly hostMemory?: number | undefined;
  readonly needs: MemoryNeeds;
  /** Why the VM's memory is fixed; absent where it follows its containers. */
  readonly fixedMemory?: string | undefined;
  /** Whether the number of processors was set explicitly. */
  readonly areProcessorsFixed: boolean;
}

/** What a new container, or new limits of one, mean for the VM. */
export type SizeVerdict =
  | { readonly kind: "enough"; readonly warning?: string }
  /** `isDemanded`: a limit guarantees the memory. Other containers can run with less. */
  | { readonly kind: "grow"; readonly memoryInMb: number; readonly isDemanded: boolean; readonly warning?: string }
  | { readonly kind: "refused"; readonly reason: string };

/** Whether a container fits, when it is made or given other limits. Sizes in MB. */
export interface SizeQuestion {
  /** Limits of all containers, including the one in question. */
  readonly containers: readonly ContainerLimits[];
  readonly container: ContainerLimits;
  /** Its limits until now; absent for a new container. */
  readonly before?: ContainerLimits | undefined;
  /** The VM's current size. */
  readonly memoryInMb: number;
  /** Why that size is fixed, where it has been fixed since the VM was created. */
  readonly fixedSince?: string | undefined;
}

/** Decides whether a VM is large enough for its containers, and how large it must be. */
export abstract class PodSize {
  readonly #options: PodSizeOptions;

  constructor(options: PodSizeOptions) {
    this.#options = options;
  }

  /** Undefined for a pod's sandbox container, which uses nothing. Invalid limits are refused by the container. */
  limitsOf({ spec }: { readonly spec: unknown }): ContainerLimits | undefined {
    if (fieldsOf(fieldsOf(spec).annotations)[containerTypeKey] === "sandbox") return undefined;
    try {
      return this.specified(spec);
    } catch {
      return {};
    }
  }

  /** Limits that an update does not set stay as they are. Invalid ones are refused by the container. */
  abstract updated(before: ContainerLimits, resources: unknown): ContainerLimits;

  /** The limits in a container's specification. May throw. */
  protected abstract specified(spec: unknown): ContainerLimits;

  judge(question: SizeQuestion): SizeVerdict {
    return this.#judgeProcessors(question) ?? this.#judgeMemory(question);
  }

  /** A limit above the host's processors guarantees nothing, as on any host. */
  #judgeProcessors({ container: { processors = 0 }, before }: SizeQuestion): SizeVerdict | undefined {
    const { processors: count, hostProcessors, areProcessorsFixed } = this.#options;
    if (processors <= count || count >= hostProcessors || isNoMore(processors, before?.processors)) return undefined;
    const reason = `its limit of ${processors} processors is more than the VM's ${count}, which cannot change`;
    if (areProcessorsFixed && before === undefined) return { kind: "enough", warning: reason };
    const accepted = `at most ${count}, or a pod created with more processors, by its limits or by ${keyOf("processorCount")}`;
    return { kind: "refused", reason: `${reason}: expected ${accepted}` };
  }

  /**
   * As with processors: a limit above the host's memory is accepted with a warning, since no other runtime refuses it.
   */
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
    const stays = `the VM's ${memoryInMb} MB for the guest and all containers are fixed: ${fixed}`;
    const reason = `${beyondHost.warning ?? limit}, and ${stays}`;
    return asked > memoryInMb && !isBeyondHost ? { kind: "refused", reason } : { kind: "enough", warning: reason };
  }
}

/** A limit that is not raised needs nothing more: the update may be about something else. */
function isNoMore(limit: number, before: number | undefined): boolean {
  return before !== undefined && limit <= before;
}

/** Limits without those that are absent. */
export function containerLimits({
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
