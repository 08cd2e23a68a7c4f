import { chmod, writeFile } from "node:fs/promises";
import path from "node:path";
import {
  needOfPod,
  type PodSettings,
  type ProgramArchitecture,
  type SandboxHost,
  sandboxOfOne,
  sandboxRootEntries,
  sandboxSpecification,
} from "@uvm-shim/controller-container";
import type { ComputeSystemDocument } from "@uvm-shim/hcs-schema";
import { ControllerError, systemClock } from "@uvm-shim/lifecycle";
import { type ContainerRequest, makeDirectories, type SandboxRequest, withinBound } from "@uvm-shim/shim";

const noStdio = { stdin: "", stdout: "", stderr: "", terminal: false };

/** Below the bundle, with which it goes. */
const rootFolder = "sandbox-root";

export interface SandboxContainerSettings {
  readonly document: ComputeSystemDocument;
  readonly architecture: ProgramArchitecture;
  readonly host: SandboxHost;
  /** Whether the guest has a policy that says which containers there may be. */
  readonly hasPolicy: boolean;
  readonly defaultAnnotations: { readonly [key: string]: string };
}

/**
 * The container that the shim makes for a sandbox to which nobody brings one, its root file system ready to be shared.
 * One that is made for a single task has none, unless the task asks for what guests give to pods alone; then the
 * container has an id beside the task's.
 */
export async function makeSandboxContainer(
  request: SandboxRequest,
  settings: SandboxContainerSettings,
): Promise<ContainerRequest | undefined> {
  const { id, annotations, pod, spec } = request;
  if (request.makesContainer) return await make(request, settings, id, pod?.specification ?? spec, annotations);
  if (settings.hasPolicy || needOfPod(spec, settings.defaultAnnotations) === undefined) return undefined;
  const own = sandboxOfOne(spec);
  return await make(request, settings, `${id}-pod`, own.specification, own.annotations);
}

/**
 * What containers have of a pod whose sandbox container the shim makes: its resolv.conf from a file in its bundle, with
 * which it goes, and its /dev/shm. A security policy says itself what is mounted there.
 */
export async function podSettings(
  { pod, bundle, makesContainer }: SandboxRequest,
  hasPolicy: boolean,
): Promise<PodSettings | undefined> {
  if (!makesContainer && pod === undefined) return undefined;
  const sharesMemory = !hasPolicy;
  const resolvConf = pod?.resolvConf;
  if (resolvConf === undefined) return { sharesMemory };
  const resolvConfPath = path.join(bundle, "resolv.conf");
  const write = (): Promise<void> => writeFile(resolvConfPath, resolvConf, { mode: 0o644 });
  await withinBound({ path: resolvConfPath, subject: `${resolvConfPath} cannot be written` }, write, () => {}, {
    clock: systemClock,
  });
  return { sharesMemory, resolvConfPath };
}

async function make(
  { id: sandboxId, bundle }: SandboxRequest,
  { document, architecture, host }: SandboxContainerSettings,
  id: string,
  specification: unknown,
  annotations: { readonly [key: string]: string },
): Promise<ContainerRequest> {
  if (document.VirtualMachine?.Devices?.Plan9 === undefined) {
    const message =
      "a VM that can be migrated has no Plan9 shares, through which the sandbox's own container would get its root file system: expected a pod with a pause container of its own, made without the Sandbox API, or a VM that cannot be migrated";
    throw new ControllerError("FailedPrecondition", message, { operation: "create sandbox", id: sandboxId });
  }
  const rootPath = path.join(bundle, rootFolder);
  const write = (): Promise<void> => writeRoot(rootPath, architecture, host);
  await withinBound({ path: rootPath, subject: `${rootPath} cannot be written` }, write, () => {}, {
    clock: systemClock,
  });
  return {
    id,
    bundle,
    spec: sandboxSpecification({ rootPath, host, annotations, specification }),
    rootfs: [],
    stdio: noStdio,
    onOutOfMemory: () => {},
  };
}

/** For every user to read, as it is not said which one the container has. */
async function writeRoot(rootPath: string, architecture: ProgramArchitecture, host: SandboxHost): Promise<void> {
  await makeDirectories(rootPath);
  await chmod(rootPath, 0o755);
  for (const entry of sandboxRootEntries(architecture, host)) {
    const place = path.join(rootPath, entry.path);
    if (entry.kind === "directory") await makeDirectories(place);
    else await writeFile(place, entry.content);
    await chmod(place, entry.kind === "directory" || entry.isProgram ? 0o755 : 0o644);
  }
}
