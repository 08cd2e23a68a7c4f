import { mkdirSync } from "node:fs";
import { constants, getPriority, setPriority } from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import { defaultHostSocket, type HostSettings, hostSocketOption, readHostSettings } from "@uvm-shim/host-protocol";
import { messageOf } from "@uvm-shim/lifecycle";
import { lockFile, unblockSignal } from "@uvm-shim/linux-calls";
import { EmulatedHost } from "../emulated-host.ts";
import { ProcessGuestKind } from "../process-guest/process-guest-kind.ts";
import { machineKind } from "../qemu-guest/machine-kind.ts";
import type { CpuGroups } from "../system/topology.ts";
import { defaultIdleMs, exitCodes } from "./constants.ts";
import { isHelp, isVersion, parseFlags, UsageError } from "./flags.ts";
import { requestHost } from "./host-request.ts";
import { HostServer } from "./server.ts";
import { dumpState } from "./state-dump.ts";

/** What `hcs-emulator` was told by options and variables. */
export interface EmulatorSettings {
  readonly socketPath: string;
  readonly stateDirectory: string;
  /** The file that declares assignable devices. */
  readonly devicesFile?: string;
  /** Milliseconds without systems and clients until the program ends. */
  readonly idleMs: number;
  readonly cpuGroups: CpuGroups;
  /** Root folder of a Linux with Wine, for Windows guests. */
  readonly wine?: string;
  /** Folder with `usr` that has QEMU and the server of Plan9 shares. */
  readonly qemu?: string;
  /** Instead of serving: asks the running host to freeze or thaw the guest of a system. */
  readonly fault?: { readonly system: string; readonly isFrozen: boolean };
}

const bootTimeoutMs = 30_000;

/** Reads the settings from the command line and the environment ({@link hostVariables}). */
export function readSettings(
  argv: readonly string[],
  env: { readonly [name: string]: string | undefined },
): EmulatorSettings {
  const values = parseFlags(argv);
  const socketPath = values[hostSocketOption] ?? defaultHostSocket;
  const stateDirectory = values.state ?? dirname(socketPath);
  const { idleMs = defaultIdleMs, cpuGroups, wine, qemu, devicesFile: declared } = readVariables(env);
  const devicesFile = values.devices ?? declared;
  for (const [name, path] of [
    [`--${hostSocketOption}`, socketPath],
    ["--state", stateDirectory],
    ["--devices", devicesFile],
  ] as const) {
    if (path !== undefined && !isAbsolute(path))
      throw new UsageError(`${name}: expected an absolute path, got ${JSON.stringify(path)}`);
  }
  return {
    socketPath,
    stateDirectory,
    idleMs,
    cpuGroups,
    ...(devicesFile === undefined ? {} : { devicesFile }),
    ...(wine === undefined ? {} : { wine }),
    ...(qemu === undefined ? {} : { qemu }),
    ...faultOf(values),
  };
}

function readVariables(env: { readonly [name: string]: string | undefined }): HostSettings {
  try {
    return readHostSettings(env);
  } catch (error) {
    throw new UsageError(messageOf(error), { cause: error });
  }
}

function faultOf({
  freeze,
  thaw,
}: {
  readonly freeze?: string;
  readonly thaw?: string;
}): Pick<EmulatorSettings, "fault"> {
  if (freeze !== undefined && thaw !== undefined)
    throw new UsageError("--freeze and --thaw: expected only one of them");
  const system = freeze ?? thaw;
  return system === undefined ? {} : { fault: { system, isFrozen: freeze !== undefined } };
}

/**
 * Runs the emulated host until it is idle or a signal ends it; resolves to the exit code. A second host for the same state
 * directory exits at once with 0.
 */
export async function runEmulator(
  argv: readonly string[],
  env: { readonly [name: string]: string | undefined },
  {
    stderr = process.stderr,
    stdout = process.stdout,
  }: { readonly stderr?: { write(text: string): unknown }; readonly stdout?: { write(text: string): unknown } } = {},
): Promise<number> {
  if (isHelp(argv)) {
    const { emulatorHelp } = await import("./manual.ts");
    stdout.write(emulatorHelp());
    return exitCodes.done;
  }
  if (isVersion(argv)) {
    const { emulatorVersion } = await import("./version.ts");
    stdout.write(emulatorVersion(process.version));
    return exitCodes.done;
  }
  const report = (message: string): void => void stderr.write(`hcs-emulator: ${message}\n`);
  let settings: EmulatorSettings;
  try {
    settings = readSettings(argv, env);
  } catch (error) {
    report(`${messageOf(error)}; --help tells more`);
    return exitCodes.refused;
  }
  if (process.getuid?.() !== 0) {
    report(`runs as user ${process.getuid?.()}, expected root: it makes namespaces, mounts and loop devices`);
    return exitCodes.failed;
  }
  try {
    if (settings.fault !== undefined) {
      await requestHost(settings.socketPath, "freeze", settings.fault);
      return exitCodes.done;
    }
    return await serve(settings, report);
  } catch (error) {
    report(error instanceof Error ? (error.stack ?? error.message) : String(error));
    return exitCodes.failed;
  }
}

/**
 * Raises the priority of this process, like that of a hypervisor and its services: all pods wait for their answers, and
 * they need little processor time. Returns the previous priority.
 */
function goFirst(report: (message: string) => void): number {
  const usual = getPriority();
  try {
    setPriority(constants.priority.PRIORITY_HIGHEST);
  } catch (error) {
    report(`cannot raise the priority from ${usual}: ${(error as Error).message}`);
  }
  return usual;
}

async function serve(settings: EmulatorSettings, report: (message: string) => void): Promise<number> {
  const { socketPath, stateDirectory, idleMs, devicesFile, cpuGroups, wine, qemu } = settings;
  mkdirSync(stateDirectory, { recursive: true, mode: 0o700 });
  const lock = lockFile(join(stateDirectory, "lock"));
  if (lock === undefined) return exitCodes.done;
  const host = new EmulatedHost({
    stateDirectory,
    ...(devicesFile === undefined ? {} : { devicesFile }),
    cpuGroups,
    kinds: [
      new ProcessGuestKind({
        stateDirectory,
        bootTimeoutMs,
        guestPriority: goFirst(report),
        report,
        ...(wine === undefined ? {} : { wine }),
      }),
      machineKind({ ...(qemu === undefined ? {} : { qemu }), bootTimeoutMs, report }),
    ],
    report,
  });
  const server = new HostServer({ host, socketPath, idleMs });
  // Never removed: without a listener the signal would end the process or open a debugger.
  process.on("SIGUSR1", () => dumpState(host, server.clients, report));
  unblockSignal("SIGUSR1");
  const signalled = Promise.withResolvers<void>();
  const onSignal = (): void => signalled.resolve();
  process.on("SIGTERM", onSignal).on("SIGINT", onSignal);
  try {
    await host.removeLeftovers();
    await server.listen();
    await Promise.race([server.idle, signalled.promise]);
  } finally {
    server.close();
    await host.close();
    process.off("SIGTERM", onSignal).off("SIGINT", onSignal);
    lock.release();
  }
  return exitCodes.done;
}
