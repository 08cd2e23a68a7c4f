import type { Refuse } from "@uvm-shim/lifecycle";

/** The runtime options of a container's own request, as far as they concern it. */
export interface ContainerRuntimeOptions {
  readonly sandboxPlatform?: string;
  readonly sandboxIsolation?: "PROCESS" | "HYPERVISOR";
  readonly bootFilesRootPath?: string;
  readonly vmProcessorCount?: number;
  readonly vmMemorySizeInMb?: number;
  readonly NCProxyAddr?: string;
  readonly scaleCpuLimitsToSandbox?: boolean;
  readonly defaultContainerAnnotations?: { readonly [key: string]: string };
}

/** A system, an architecture, or both, as containerd writes them. */
const platform = /^(windows(\([^()]*\))?(\/[a-z0-9_]+){0,2}|amd64|x86_64|arm64|aarch64)$/i;

/**
 * Whether the request asks for isolation by a VM. Options that say nothing leave it to the specification; any other
 * must not contradict it.
 */
export function asksForVm(options: ContainerRuntimeOptions, hasHyperv: boolean, refuse: Refuse): boolean {
  const { sandboxPlatform = "", sandboxIsolation = "PROCESS" } = options;
  if (sandboxPlatform !== "" && !platform.test(sandboxPlatform)) {
    const given = JSON.stringify(sandboxPlatform.slice(0, 60));
    throw refuse("InvalidArgument", `option sandbox_platform is ${given}, expected windows/amd64`);
  }
  const isAny = Object.values(options).some((value) => !isUnset(value));
  if (sandboxIsolation === "PROCESS" && isAny && hasHyperv) {
    const expected = "expected HYPERVISOR, as config.json has windows.hyperv";
    throw refuse("InvalidArgument", `option sandbox_isolation is PROCESS, ${expected}`);
  }
  return sandboxIsolation === "HYPERVISOR" || hasHyperv;
}

/** Annotations that options stand for, unless the specification has them. */
export function annotationsOfOptions(options: ContainerRuntimeOptions): { readonly [key: string]: string } {
  const vm = "io.microsoft.virtualmachine.";
  const given: readonly (readonly [string, string | number | undefined])[] = [
    [`${vm}bootfilesrootpath`, options.bootFilesRootPath],
    [`${vm}computetopology.processor.count`, options.vmProcessorCount],
    [`${vm}computetopology.memory.sizeinmb`, options.vmMemorySizeInMb],
    ["io.microsoft.network.ncproxy", options.NCProxyAddr],
  ];
  const set = given.filter(([, value]) => !isUnset(value)).map(([key, value]) => [key, String(value)] as const);
  return { ...options.defaultContainerAnnotations, ...Object.fromEntries(set) };
}

/** Enumeration values that are not on the wire, since they are the first ones. */
const firstValues = ["PROCESS", "NPIPE"];

function isUnset(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return Object.keys(value).length === 0;
  return ["", 0, false, undefined, ...firstValues].includes(value as string);
}
