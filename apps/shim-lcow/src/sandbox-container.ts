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
import { type ContainerRequest, callFileSystem, makeDirectories, type SandboxRequest } from "@uvm-shim/shim";

const noStdio = { stdin: "", stdout: "", stderr: "", terminal: false };

/** In the bundle, so that it is removed with it. */
const rootFolder = "sandbox-root";

export interface SandboxContainerSettings {
  readonly document: ComputeSystemDocument;
  readonly architecture: ProgramArchitecture;
  readonly host: SandboxHost;
  /** Whether a security policy decides which containers the guest runs. */
  readonly hasPolicy: boolean;
  readonly defaultAnnotations: { readonly [key: string]: string };
}

/**
 * The container that holds the namespaces of a sandbox for which no client creates one, with its root file system ready
 * to be shared. A sandbox for a single task needs none, unless the task uses a feature that guests offer only to pods; the
 * container then gets an id of its own.
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
 * What containers inherit from a pod whose sandbox container the shim makes: its resolv.conf, as a file in its bundle, and
 * its /dev/shm. A security policy decides the mount there itself.
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
  await callFileSystem({ path: resolvConfPath, subject: `${resolvConfPath} cannot be written` }, write, () => {}, {
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
      "a migratable VM has no Plan9 shares for the root file system of the sandbox's container: use a pod with a pause container, created without the Sandbox API, or a VM that is not migratable";
    throw new ControllerError("FailedPrecondition", message, { operation: "create sandbox", id: sandboxId });
  }
  const rootPath = path.join(bundle, rootFolder);
  const write = (): Promise<void> => writeRoot(rootPath, architecture, host);
  await callFileSystem({ path: rootPath, subject: `${rootPath} cannot be written` }, write, () => {}, {
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

/** Readable for every user: the user of the container is not known. */
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
