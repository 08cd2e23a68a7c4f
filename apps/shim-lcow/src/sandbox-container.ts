import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { type ProgramArchitecture, sandboxRootEntries, sandboxSpecification } from "@uvm-shim/controller-container";
import type { ComputeSystemDocument } from "@uvm-shim/hcs-schema";
import { ControllerError } from "@uvm-shim/lifecycle";
import type { ContainerRequest, SandboxRequest } from "@uvm-shim/shim";

const noStdio = { stdin: "", stdout: "", stderr: "", terminal: false };

/** Below the bundle, with which it goes. */
const rootFolder = "sandbox-root";

/** The container that the shim makes for a sandbox to which nobody brings one, its root file system ready to be shared. */
export function makeSandboxContainer(
  { id, bundle, annotations, pod, spec }: SandboxRequest,
  document: ComputeSystemDocument,
  architecture: ProgramArchitecture,
): ContainerRequest {
  if (document.VirtualMachine?.Devices?.Plan9 === undefined) {
    const message =
      "a VM that can be migrated has no Plan9 shares, through which the sandbox's own container would get its root file system: let the caller bring a container of type sandbox, or make a VM that cannot be migrated";
    throw new ControllerError("FailedPrecondition", message, { operation: "create sandbox", id });
  }
  const rootPath = path.join(bundle, rootFolder);
  writeRoot(rootPath, architecture);
  return {
    id,
    bundle,
    spec: sandboxSpecification({ rootPath, annotations, specification: pod?.specification ?? spec }),
    rootfs: [],
    stdio: noStdio,
    onOutOfMemory: () => {},
  };
}

/** For every user to read, as it is not said which one the container has. */
function writeRoot(rootPath: string, architecture: ProgramArchitecture): void {
  mkdirSync(rootPath, { recursive: true });
  chmodSync(rootPath, 0o755);
  for (const entry of sandboxRootEntries(architecture)) {
    const place = path.join(rootPath, entry.path);
    if (entry.kind === "directory") mkdirSync(place, { recursive: true });
    else writeFileSync(place, entry.content);
    chmodSync(place, entry.kind === "directory" || entry.isProgram ? 0o755 : 0o644);
  }
}
