/**
 * The containerd suite: `node test/src/e2e/main.ts [--runtime lcow|runc] [--guest process|qemu] [--containerd 1.6,1.7,2.1]
 * [--form <form>] [--only <pattern>] [--short | --stale]`. Prints a line for each case and, last, how many passed and failed; its exit code says whether all passed.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "@uvm-shim/lifecycle";
import { mustRun } from "@uvm-shim/test-support/command";
import { makeExt4 } from "@uvm-shim/test-support/disk";
import { describeCounts } from "../../../tools/counts.ts";
import { lackOfWine, wineRoot } from "../../windows-host/wine-environment.ts";
import { CriClient } from "../cri/client.ts";
import type { ContainerdBuild } from "../debian/containerds.ts";
import { shimScope } from "../leaks/shim-scope.ts";
import { GUEST_VARIABLE } from "../support/guest-kind.ts";
import { type Isolation, isolation, runIsolated } from "../support/isolate.ts";
import { DISTRIBUTION, HOST_ENVIRONMENT, WINDOWS_SHIM_PROGRAM } from "../support/programs.ts";
import { makeWindowsLayers } from "../support/windows-layers.ts";
import { type CriWindowsContext, criWindowsCases } from "./cases/cri-windows.ts";
import { declareDevices } from "./cases/devices.ts";
import { runProtocolCase } from "./cases/protocol.ts";
import {
  CASES,
  COMMON_CRI_CASES,
  CRI_CASES,
  PROTOCOL_CASES,
  SANDBOXER_CASES,
  unknownNames,
  WINDOWS_CASES,
} from "./cases.ts";
import { askedHandler, networkedHandler } from "./containerd.ts";
import { handlerName, makers } from "./cri-case.ts";
import { documentedTables } from "./documented.ts";
import { runHandedOver } from "./handed-over.ts";
import { makeImages, PAUSE_IMAGE } from "./images.ts";
import { reasonAgainst } from "./left-out.ts";
import { checkMachine } from "./machine.ts";
import { runInOneVm } from "./one-vm.ts";
import { hasCases, print, type Round, runCases, withContainerd } from "./round.ts";
import { SANDBOXER_PLUGIN, SandboxerProcess, sandboxerSocket } from "./sandboxer.ts";
import { endStrayProcesses } from "./scope.ts";
import { askedKind, type Selection, select } from "./selection.ts";
import { type Case, type CriCaseContext, leavingNothing, Report, RUNTIMES, type Runtime } from "./suite.ts";
import { runWarmPool } from "./warm-pool.ts";
import { CONFIGURED_HANDLER, importWindowsImage, SNAPSHOTTER, WINDOWS_RUNTIME } from "./windows/cri-image.ts";
import { WindowsSnapshotter } from "./windows/snapshotter.ts";
import { runWindowsCase } from "./windows/windows-pods.ts";

/** A completed pod's shim ends while a case can still wait for it, and long after other cases have removed theirs. */
const COMPLETED_SOON = { UVM_SHIM_LINGER_MS: "10000" };

async function inside({ directory, signal }: Isolation): Promise<number> {
  const selection = await select(() => undefined);
  const report = new Report(print, signal, {
    reasonAgainst: (name) => reasonAgainst(selection.kind, name),
    areTried: selection.extent === "stale",
  });
  for (const name of unknownNames()) report.fail(`${name} is in a list of cases, and no case has that name`, "");
  const images = await makeImages(join(directory, "images"));
  const environment = { ...HOST_ENVIRONMENT, ...declareDevices(directory) };
  const blockfileScratch = join(directory, "blockfile.ext4");
  await makeExt4(blockfileScratch, 64);
  if (selection.runtime.key === "lcow" && selection.form === undefined) {
    await runProtocol({ selection, images, report, directory, environment, signal });
    await runWindows({ selection, report, directory, environment, signal });
  }
  for (const build of selection.builds) {
    if (signal.aborted) break;
    const round = { build, selection, images, blockfileScratch, report, directory, environment, signal };
    if (selection.form === undefined) {
      await runAgainst(round);
      if (selection.kind !== "process") await runInOneVm(round);
    }
    if (isHandedOver(selection)) {
      await runHandedOver(round, "named");
      await runHandedOver(round, "found");
    }
    for (const forms of formsOf(build, selection)) await runCri(round, forms);
    if (isHandedOver(selection) && servesSandboxes(build, selection.runtime)) await runWarmPool(round);
    if (selection.form !== undefined) continue;
    if (build === selection.builds.at(-1) && servesSandboxes(build, selection.runtime)) await runCriWindows(round);
  }
  if (signal.aborted) print("interrupted");
  for (const failure of report.failures) print(`failed: ${failure}`);
  print(describeCounts({ passed: report.passed, failed: report.failures.length }));
  return report.failures.length === 0 && !signal.aborted ? 0 : 1;
}

/** The cases that speak to the shim directly. */
async function runProtocol(
  round: Pick<Round, "selection" | "images" | "report" | "directory" | "environment" | "signal">,
): Promise<void> {
  const { selection, images, report, environment, signal } = round;
  const executable = join(DISTRIBUTION, selection.runtime.program);
  const parent = join(round.directory, "p");
  mkdirSync(parent);
  if (!hasCases(selection, PROTOCOL_CASES)) return;
  print(`the shim protocol, ${selection.runtime.program}`);
  for (const [index, one] of PROTOCOL_CASES.entries()) {
    if (signal.aborted) return;
    if (!selection.takes(one.name)) continue;
    const context = { executable, environment, images, signal, directory: join(parent, `${index}`) };
    const passed = await report.run(
      one.name,
      () => leavingNothing(shimScope([parent]), signal, () => runProtocolCase(one, context)),
      () => "",
    );
    if (!passed) await endStrayProcesses(parent);
  }
}

/** Whether so many cases of Windows containers cannot be run, which is said, or are none. */
function isLeftOut({ kind }: Selection, count: number): boolean {
  if (count === 0) return true;
  const lack = lackOfWine();
  const reason = kind === "process" ? lack && `they need Wine: ${lack}` : `their guest is no VM of the kind ${kind}`;
  if (reason !== undefined) print(`left out: ${count} cases of Windows containers: ${reason}`);
  return reason !== undefined;
}

/** The cases of Windows containers, which no containerd for Linux asks for: its calls are made by the suite. */
async function runWindows(
  round: Pick<Round, "selection" | "report" | "directory" | "environment" | "signal">,
): Promise<void> {
  const { selection, report, environment, signal } = round;
  const cases = WINDOWS_CASES.filter(({ name }) => selection.takes(name));
  if (isLeftOut(selection, cases.length)) return;
  const parent = join(round.directory, "w");
  mkdirSync(parent);
  print(`Windows containers, ${WINDOWS_SHIM_PROGRAM}, by the calls of a containerd for Windows`);
  const layers = await makeWindowsLayers(join(round.directory, "windows-layers"));
  const executable = join(DISTRIBUTION, WINDOWS_SHIM_PROGRAM);
  for (const [index, one] of cases.entries()) {
    if (signal.aborted) return;
    const context = { executable, environment, layers, signal, directory: join(parent, `${index}`) };
    const passed = await report.run(
      one.name,
      () => leavingNothing(shimScope([parent]), signal, () => runWindowsCase(one, context)),
      () => "",
    );
    if (!passed) await endStrayProcesses(parent);
  }
}

/** All cases on one containerd, which is started for them and stopped after them. */
async function runAgainst(round: Round): Promise<void> {
  const { build, selection, images } = round;
  if (!hasCases(selection, CASES)) return;
  print(`containerd ${build.version}, runtime ${selection.runtime.name}`);
  await withContainerd(round, build.version, {}, async (containerd, context) => {
    await containerd.mustCtr(["image", "import", images.archive]);
    await runCases(round, CASES, context);
  });
}

/** Whether a sandboxer serves what `ctr run` makes. */
function isHandedOver({ runtime, form = "sandboxer" }: Selection): boolean {
  return runtime.key === "lcow" && form === "sandboxer";
}

function servesSandboxes({ major }: ContainerdBuild, { key }: Runtime): boolean {
  return major >= 2 && key === "lcow";
}

/** The forms of a containerd's pods, those of one round together; none where it is not asked for any. */
function formsOf(build: ContainerdBuild, { runtime, form }: Selection): readonly CriCaseContext["forms"][] {
  if (build.version.startsWith("1.6")) return [];
  const all: readonly CriCaseContext["forms"][] = servesSandboxes(build, runtime)
    ? [["shim", "containerd"], ["sandboxer"]]
    : [["containerd"]];
  if (form === undefined) return all;
  return all.some((forms) => forms.includes(form)) ? [[form]] : [];
}

function criCasesOf(forms: CriCaseContext["forms"]): readonly Case<CriCaseContext>[] {
  if (forms.includes("sandboxer")) return SANDBOXER_CASES;
  return forms.includes("shim") ? CRI_CASES : COMMON_CRI_CASES;
}

/** The cases that speak Kubernetes' runtime interface, on a containerd of their own. */
async function runCri(round: Round, forms: CriCaseContext["forms"]): Promise<void> {
  const { build, selection, images } = round;
  const { key, name, program } = selection.runtime;
  if (!hasCases(selection, criCasesOf(forms))) return;
  print(
    `containerd ${build.version}, Container Runtime Interface, runtime ${name}, pods made by ${forms.map((form) => makers[form]).join(" and ")}`,
  );
  // containerd's streaming server listens there.
  await mustRun("busybox", ["ip", "link", "set", "dev", "lo", "up"]);
  const handlers = forms.flatMap((form) => {
    const handler = { name: handlerName(name, form), runtime: name, form, hasPluginNetworks: false };
    const asked = { name: askedHandler(handler.name), runtime: RUNTIMES.runc.name, path: join(DISTRIBUTION, program) };
    return [
      handler,
      { ...handler, name: networkedHandler(handler.name), hasPluginNetworks: true },
      ...(form === "containerd" ? [{ ...handler, ...asked }] : []),
    ];
  });
  const isHosted = forms.includes("sandboxer");
  const directoryName = `${build.version}-${isHosted ? "sandboxer" : "cri"}`;
  const criRound = { ...round, environment: { ...round.environment, ...COMPLETED_SOON } };
  const options = {
    cri: { sandboxImage: PAUSE_IMAGE, handlers, restrictsOomScores: key === "runc" },
    tables: documentedTables(build.major),
    ...(isHosted && {
      sandboxer: { name: SANDBOXER_PLUGIN, socket: sandboxerSocket(join(round.directory, directoryName)) },
    }),
  };
  await withContainerd(criRound, directoryName, options, async (containerd, context) => {
    const cri = new CriClient(containerd.address);
    const sandboxer = isHosted
      ? new SandboxerProcess({
          executable: join(DISTRIBUTION, program),
          directory: join(round.directory, directoryName),
          containerd: containerd.address,
          environment: containerd.environment,
        })
      : undefined;
    try {
      await sandboxer?.start(round.signal);
      for (const archive of [images.archive, images.pauseArchive]) {
        await containerd.mustCtr(["image", "import", archive]);
      }
      await runCases(round, criCasesOf(forms), {
        ...{ ...context, cri, forms },
        ...(sandboxer && { sandboxer }),
      });
    } finally {
      await sandboxer?.stop();
      cri.close();
    }
  });
}

/** The cases of Windows pods that a containerd for Linux makes through Kubernetes' runtime interface. */
async function runCriWindows(round: Round): Promise<void> {
  const { build, selection, directory } = round;
  if (isLeftOut(selection, criWindowsCases.filter(({ name }) => selection.takes(name)).length)) return;
  print(`containerd ${build.version}, Container Runtime Interface, runtime ${WINDOWS_RUNTIME}, pods made by the shim`);
  await mustRun("busybox", ["ip", "link", "set", "dev", "lo", "up"]);
  const layers = await makeWindowsLayers(join(directory, "windows-image"));
  const [programs = "", base = ""] = layers;
  const snapshots = { socket: join(directory, "windows.sock"), directory: join(directory, "windows-snapshots") };
  using snapshotter = await WindowsSnapshotter.serve({ ...snapshots, baseLayer: base });
  const handler = {
    ...({ name: WINDOWS_RUNTIME, runtime: WINDOWS_RUNTIME, form: "shim", hasPluginNetworks: false } as const),
    snapshotter: SNAPSHOTTER,
  };
  const configured = {
    ...handler,
    name: CONFIGURED_HANDLER,
    options: { SandboxIsolation: 1, SandboxPlatform: "windows/amd64", BootFilesRootPath: base },
  };
  const options = {
    cri: { sandboxImage: PAUSE_IMAGE, handlers: [handler, configured], restrictsOomScores: false },
    snapshotters: [{ name: SNAPSHOTTER, ...snapshots }],
  };
  await withContainerd(round, `${build.version}-windows`, options, async (containerd, context) => {
    const cri = new CriClient(containerd.address);
    try {
      const image = await importWindowsImage(containerd, join(directory, "windows-image"), programs);
      const windows: CriWindowsContext = { ...context, cri, forms: ["shim"], image, baseLayer: base, snapshotter };
      await runCases(round, criWindowsCases, windows);
    } finally {
      cri.close();
    }
  });
}

async function main(): Promise<number> {
  const isolated = isolation();
  if (isolated !== undefined) return await inside(isolated);
  // What is run, and how long is waited for it, is told by it: also inside, where all is loaded anew.
  process.env[GUEST_VARIABLE] = askedKind();
  const { runtime, kind } = await select(print);
  checkMachine(runtime, kind);
  if (kind === "process" && runtime.key === "lcow" && lackOfWine() === undefined) await wineRoot();
  return await runIsolated(import.meta.url, process.argv.slice(2), { inMemory: true });
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`e2e: ${messageOf(error)}\n`);
  process.exitCode = 1;
}
