/**
 * Pods of Windows containers. Without Wine the emulated host has no guest for them, so that what a guest refuses is left
 * out there. No host but Hyper-V has layers of CIMs, and so pods with a policy.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { baseLayer } from "@uvm-shim/guest-agent-windows";
import { hostVariables } from "@uvm-shim/host-protocol";
import { windowsGuestBoot } from "@uvm-shim/host-protocol/guest";
import { startCommand } from "@uvm-shim/test-support/command";
import { appendVhdFooter, makeExt4 } from "@uvm-shim/test-support/disk";
import { thisMachine } from "../../../apps/uvm-diag/src/why/facts.ts";
import { hasWine } from "../../windows-host/wine-environment.ts";
import type { ContainerOptions, PodOptions } from "../shim-client/pod.ts";
import { utilityVmAnnotation, windowsLayers, windowsSpecs } from "../shim-client/windows-spec.ts";
import { DISTRIBUTION, WINDOWS_SHIM } from "../support/programs.ts";
import { poll } from "../support/wait.ts";
import type { Bench } from "./bench.ts";
import type { Provocation } from "./provocation.ts";

const vm = "io.microsoft.virtualmachine.";

function ofWindows(options: Partial<PodOptions> = {}): Partial<PodOptions> {
  return { executable: WINDOWS_SHIM, specs: windowsSpecs, ...options };
}

const annotated = (annotations: { readonly [key: string]: string }) => (bench: Bench) =>
  bench.failingPod(ofWindows({ annotations }));

interface VmParts {
  /** Of the disk that the VM writes to, or no disk. */
  readonly template?: "disk" | "VHDX";
  /** What the boot manager contains; without it there is none, but the folder for it. */
  readonly bootManager?: string;
  readonly hasFiles?: boolean;
}

/** A base layer with parts of a utility VM. */
async function baseWith(bench: Bench, { template = "disk", bootManager, hasFiles = true }: VmParts): Promise<string> {
  const base = bench.folder("base");
  const files = join(bench.folder("base/UtilityVM"), "Files");
  const disk = join(base, "UtilityVM", "SystemTemplate.vhdx");
  if (template === "VHDX") writeFileSync(disk, "vhdxfile".padEnd(1 << 16, "\0"));
  else {
    await makeExt4(disk, 8);
    appendVhdFooter(disk);
  }
  if (!hasFiles) return base;
  const boot = join(files, "EFI", "Microsoft", "Boot");
  mkdirSync(boot, { recursive: true });
  if (bootManager !== undefined) writeFileSync(join(boot, "bootmgfw.efi"), bootManager);
  return base;
}

const bootingFrom =
  (parts: VmParts, more: Partial<PodOptions> = {}) =>
  async (bench: Bench) =>
    bench.failingPod(ofWindows({ annotations: { [utilityVmAnnotation]: await baseWith(bench, parts) }, ...more }));

/** An emulated host of the bench's own, which finds no Wine. */
async function hostWithoutWine(bench: Bench): Promise<{ readonly [variable: string]: string }> {
  const socket = join(bench.folder("h"), "s");
  const host = startCommand(join(DISTRIBUTION, "hcs-emulator"), ["--socket", socket, "--state", bench.folder("h")], {
    environment: { ...process.env, [hostVariables.wine]: "/no/wine" },
  });
  bench.atEnd(async () => {
    host.process.kill();
    await host.finished;
  });
  const accepts = async (): Promise<true | undefined> => (await thisMachine.accepts(socket)) || undefined;
  await poll("the host", accepts, { timeoutMs: 10_000, signal: bench.signal });
  return { UVM_SHIM_HOST: `unix:${socket}` };
}

const lackOfWine = (): string | undefined => (hasWine() ? undefined : "Wine, which npm run e2e:windows fetches");

/** A container that fails in a pod which runs, with these in place of what is usual. */
async function failingContainer(
  bench: Bench,
  {
    commandLine = "cmd /c exit 0",
    layers,
    ...more
  }: Partial<ContainerOptions> & {
    readonly commandLine?: string;
    readonly layers?: readonly string[];
  },
): Promise<void> {
  const base = [await baseLayer()];
  const scratch = (name: string, parents: readonly string[]) => [windowsLayers(bench.folder(name), parents)];
  await bench.failingContainer(
    {
      args: [],
      rootfs: scratch("scratch-c1", layers ?? base),
      ...more,
      fields: { args: undefined, commandLine, ...more.fields },
    },
    ofWindows({ form: "Task API", rootfs: scratch("scratch-pod", base) }),
  );
}

export const windowsEnds: readonly Provocation[] = [
  {
    cause: "annotation-invalid",
    name: "of a Windows pod",
    says: /^The pod's VM was not created: annotation io\.\S+memory\.sizeinmb is invalid: got "lots"/,
    run: annotated({ [`${vm}computetopology.memory.sizeinmb`]: "lots" }),
  },
  {
    cause: "windows-layers-missing",
    name: "a Windows pod without layers",
    says: /^The pod's VM was not created: it names no layers to boot from \(/,
    run: annotated({}),
  },
  {
    cause: "windows-base-layer",
    name: "layers without a utility VM",
    says: /^Container pod was not created: its layers have no whole utility VM to boot \(none of them has a folder UtilityVM\)\.$/,
    run: (bench) => {
      const rootfs = [windowsLayers(bench.folder("scratch"), [bench.folder("layer")])];
      return bench.failingPod(ofWindows({ form: "Task API", rootfs }));
    },
  },
  {
    cause: "windows-base-layer",
    name: "a base layer without the VM's scratch disk",
    says: /^The pod's VM was not created: its layers have no whole utility VM to boot \(there is no file \S+SystemTemplate\.vhdx\)\.$/,
    run: (bench) => {
      const base = bench.folder("base");
      bench.folder("base/UtilityVM/Files");
      return bench.failingPod(ofWindows({ annotations: { [utilityVmAnnotation]: base } }));
    },
  },
  {
    cause: "windows-base-layer",
    name: "a base layer without the VM's files",
    says: /^The pod's VM was not created: its layers have no whole utility VM to boot \(\S+\/UtilityVM\/Files does not exist\)\.$/,
    proof: /createComputeSystem failed/,
    run: bootingFrom({ hasFiles: false }),
  },
  {
    cause: "windows-base-layer",
    name: "a base layer without a boot manager",
    says: /^The pod's VM was not created: its layers have no whole utility VM to boot \(\S+bootmgfw\.efi does not exist in the share "os"/,
    proof: /createComputeSystem failed/,
    run: bootingFrom({}),
  },
  {
    cause: "boot-files-unusable",
    name: "the boot manager of Windows, for which there is no processor here",
    says: /^The pod's VM was not created: the host cannot boot it \(unsupported boot manager \S+bootmgfw\.efi\)\.$/,
    run: bootingFrom({ bootManager: "MZ" }),
  },
  {
    cause: "disk-format",
    name: "a scratch disk that is a VHDX",
    says: /^The pod's VM was not created: its disk \S+sandbox\.vhdx is a VHDX, and this host takes only a raw image or a fixed VHD\.$/,
    run: bootingFrom({ template: "VHDX", bootManager: windowsGuestBoot }),
  },
  {
    cause: "program-of-machine-missing",
    name: "no Wine for a Windows guest",
    says: /^The pod's VM did not start: Windows guests need Wine in \/no\/wine\.$/,
    run: async (bench) =>
      bootingFrom({ bootManager: windowsGuestBoot }, { environment: await hostWithoutWine(bench) })(bench),
  },
  {
    cause: "namespace-gone",
    name: "a Windows pod whose network namespace HCN does not know",
    says: /its network namespace is gone \(namespace 0f0f0f0f-/,
    lacks: lackOfWine,
    run: async (bench) => {
      const rootfs = [windowsLayers(bench.folder("scratch"), [await baseLayer()])];
      const networkNamespace = "0f0f0f0f-1111-4222-8333-444444444444";
      await bench.failingPod(ofWindows({ form: "Task API", rootfs, networkNamespace }));
    },
  },
  {
    cause: "program-not-found",
    name: "a command that is not in the Windows image",
    says: /^Container c1 (?:was not created|did not start): the program C:\\none\.exe is not in its image\.$/,
    lacks: lackOfWine,
    run: (bench) => failingContainer(bench, { commandLine: "C:\\none.exe" }),
  },
  {
    cause: "working-directory",
    name: "a folder that is not in the Windows image",
    says: /^Container c1 (?:was not created|did not start): it cannot work in C:\\none \(no folder\)\.$/,
    lacks: lackOfWine,
    run: (bench) => failingContainer(bench, { fields: { cwd: "C:\\none" } }),
  },
  {
    cause: "user-not-in-image",
    name: "an account that Windows does not have",
    says: /^Container c1 (?:was not created|did not start): its image has no such account\.$/,
    lacks: lackOfWine,
    run: (bench) => failingContainer(bench, { fields: { user: { uid: 0, gid: 0, username: "Nobody" } } }),
  },
  {
    cause: "mount-source-missing",
    name: "a mount of nothing in a Windows container",
    says: /^Container c1 was not created: "?\/no\/such"?, which it mounts, does not exist on the host\.$/,
    lacks: lackOfWine,
    run: (bench) =>
      failingContainer(bench, {
        change: (all) => ({ ...all, mounts: [{ destination: "C:\\x", source: "/no/such", options: [] }] }),
      }),
  },
  {
    cause: "disk-missing",
    name: "a Windows container without its layer",
    says: /^Container c1 was not created: layer \/no\/layer does not exist\.$/,
    lacks: lackOfWine,
    run: (bench) => failingContainer(bench, { layers: ["/no/layer"] }),
  },
];
