import { checkOciLinuxResources, type OciLinuxResources, SchemaError } from "@uvm-shim/hcs-schema";
import { type ContainerLimits, fieldsOf, refuse, SandboxError } from "@uvm-shim/sandbox-common";

/** The limits of all containers of a pod together. */
export interface PodLimits extends ContainerLimits {
  /** cpu.shares of all containers of the pod together. */
  readonly shares?: number;
}

const prefix = "io.kubernetes.cri.";
/** Annotations that containerd's CRI plugin sets on sandbox containers: sums over the pod's containers. */
const keys = {
  memory: `${prefix}sandbox-memory`,
  quota: `${prefix}sandbox-cpu-quota`,
  period: `${prefix}sandbox-cpu-period`,
  shares: `${prefix}sandbox-cpu-shares`,
} as const;
const defaultPeriod = 100_000;

/**
 * The pod's limits: from CRI's annotations, else from the resources of the pod's or the single container's
 * specification. Throws SandboxError.
 */
export function podLimits(annotations: { readonly [key: string]: string }, specification: unknown): PodLimits {
  if (Object.values(keys).some((key) => annotations[key] !== undefined)) {
    return limitsOf({
      memory: { limit: whole(annotations, keys.memory) },
      cpu: {
        quota: whole(annotations, keys.quota),
        period: whole(annotations, keys.period),
        shares: whole(annotations, keys.shares),
      },
    });
  }
  return limitsOf(resourcesOf(specification));
}

/** Callers write 0 or -1 for no limit. */
export function limitsOf({ memory, cpu }: OciLinuxResources): PodLimits {
  const { limit = 0 } = memory ?? {};
  const { quota = 0, period = 0, shares = 0 } = cpu ?? {};
  return {
    ...(limit > 0 && { memoryBytes: limit }),
    ...(quota > 0 && { processors: quota / (period > 0 ? period : defaultPeriod) }),
    ...(shares > 0 && { shares }),
  };
}

/** `linux.resources` of a specification. Throws SandboxError. */
export function resourcesOf(specification: unknown): OciLinuxResources {
  const { resources } = fieldsOf(fieldsOf(specification).linux);
  if (resources === undefined || resources === null) return {};
  try {
    return checkOciLinuxResources(resources, "linux.resources");
  } catch (error) {
    if (!(error instanceof SchemaError)) throw error;
    throw new SandboxError("InvalidArgument", error.path, error.message.slice(error.path.length + 2));
  }
}

function whole(annotations: { readonly [key: string]: string }, key: string): number {
  const text = annotations[key] ?? "0";
  if (!/^-?\d{1,19}$/.test(text)) refuse(key, text, "a whole number");
  return Number(text);
}
