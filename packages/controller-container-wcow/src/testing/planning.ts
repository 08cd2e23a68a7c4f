import { refusing, windowsPaths } from "@uvm-shim/lifecycle";
import type { ResolvedContainer } from "../document/resolved.ts";
import type { WindowsPlanOptions, WindowsPlanRequest } from "../plan/options.ts";
import { planWindowsContainer, type WindowsContainerPlan } from "../plan/plan.ts";

type Kind = "file" | "directory" | "block" | "other";

/** Files of the host that every plan finds. */
const usualFiles: readonly (readonly [string, Kind])[] = [
  ["C:\\layers\\base", "directory"],
  ["C:\\layers\\ctr\\sandbox.vhdx", "file"],
  ["C:\\shim\\device-util.exe", "file"],
  ["C:\\data", "directory"],
  ["C:\\data\\file.txt", "file"],
  ["C:\\data\\disk.vhdx", "file"],
  ["C:\\data\\socket", "other"],
  ["C:\\drivers", "directory"],
  ["C:\\snapshots\\1\\layer.bcim", "file"],
  ["C:\\snapshots\\2\\layer.bcim", "file"],
  ["C:\\snapshots\\3\\merged.bcim", "file"],
];

/** The files of a host on which a plan finds the usual ones. */
export class PlanFiles {
  readonly kinds = new Map<string, Kind>(usualFiles);
  readonly texts = new Map<string, string>();

  async kind(path: string): Promise<Kind | undefined> {
    const plain = path.replace(/[\\/]+$/, "");
    return this.texts.has(path) ? "file" : this.kinds.get(/^C:/.test(plain) ? plain.replaceAll("/", "\\") : plain);
  }

  async readText(path: string): Promise<string> {
    return this.texts.get(path) ?? "";
  }
}

/** The annotations of a container in a pod. */
export const memberAnnotations = {
  "io.kubernetes.cri.container-type": "container",
  "io.kubernetes.cri.sandbox-id": "pod",
};

/** Parts of a specification, over one that is right. */
export interface SpecificationParts {
  readonly annotations?: { readonly [key: string]: string };
  readonly windows?: object;
  readonly [field: string]: unknown;
}

/** A specification that is right, changed in these parts. */
export function windowsSpecification({ annotations, windows, ...rest }: SpecificationParts = {}): object {
  return {
    ociVersion: "1.1.0",
    process: { args: ["cmd.exe"], cwd: "C:\\" },
    annotations: { ...memberAnnotations, ...annotations },
    windows: { layerFolders: ["C:\\layers\\base", "C:\\layers\\ctr"], hyperv: {}, ...windows },
    ...rest,
  };
}

/** Plans containers of a host in memory. */
export class PlanBench {
  readonly files = new PlanFiles();
  readonly warnings: string[] = [];
  options: WindowsPlanOptions = {
    id: "ctr",
    podId: "pod",
    role: "workload",
    podAnnotations: {},
    runtimeOptions: { sandboxIsolation: "HYPERVISOR" },
    vm: { processors: 2, isConfidential: false, supportsHostProcesses: true, noWritableFileShares: false },
    processors: 4,
    paths: windowsPaths,
    pathGrammar: "windows",
    files: this.files,
    deviceUtilPath: "C:\\shim\\device-util.exe",
    warn: (sentence) => this.warnings.push(sentence),
  };

  plan(parts: SpecificationParts = {}, rootfs: WindowsPlanRequest["rootfs"] = []): Promise<WindowsContainerPlan> {
    return this.planOf({ spec: windowsSpecification(parts), rootfs });
  }

  planOf(request: WindowsPlanRequest): Promise<WindowsContainerPlan> {
    return planWindowsContainer(request, this.options, refusing("create container", this.options.id));
  }

  /** The options with these changes, also of the VM. */
  with({ vm, ...changes }: Partial<Omit<WindowsPlanOptions, "vm">> & { vm?: Partial<WindowsPlanOptions["vm"]> }): this {
    this.options = { ...this.options, ...changes, vm: { ...this.options.vm, ...vm } };
    return this;
  }
}

/** What an acquisition would have resolved: each part to a path that says which it is. */
export function resolved(plan: WindowsContainerPlan): ResolvedContainer {
  return {
    root: { path: "C:\\root", layers: [{ Id: "d0b0a127-3f32-520d-a7a3-6ec17acb5fbe", Path: "layer" }] },
    mounts: plan.mounts.map((_mount, index) => `guest ${index}`),
    devices: plan.devices.map((_device, index) => [`location ${index}`]),
    ...(plan.credential !== undefined && { credentialGuard: { Cookie: "cookie" } }),
    ...(plan.network.kind === "unnamed" && { networkNamespace: "new" }),
  };
}
