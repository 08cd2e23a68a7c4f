import { mkdirSync } from "node:fs";
import { constants, getPriority, setPriority } from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import { parseArgs } from "node:util";
import { defaultHostSocket, hostSocketOption, hostVariables } from "@uvm-shim/host-protocol";
import { messageOf } from "@uvm-shim/lifecycle";
import { lockFile, unblockSignal } from "@uvm-shim/linux-calls";
import { EmulatedHost } from "../emulated-host.ts";
import { ProcessGuestKind } from "../process-guest/process-guest-kind.ts";
import { type CpuGroups, readCpuGroups } from "../system/topology.ts";
import { requestHost } from "./host-request.ts";
import { HostServer } from "./server.ts";
import { dumpState } from "./state-dump.ts";

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
  /** Instead of serving: asks the running host to freeze or thaw the guest of a system. */
  readonly fault?: { readonly system: string; readonly isFrozen: boolean };
}

const defaultIdleMs = 5_000;
const bootTimeoutMs = 30_000;
const usage =
  "usage: hcs-emulator [--socket /path/of/socket] [--state /path/of/directory] [--devices /path/of/file]\n" +
  "       hcs-emulator --freeze <system> | --thaw <system> [--socket /path/of/socket]";

class UsageError extends Error {}

/** Reads the settings from the command line and the environment ({@link hostVariables}). */
export function readSettings(
  argv: readonly string[],
  env: { readonly [name: string]: string | undefined },
): EmulatorSettings {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      [hostSocketOption]: { type: "string" },
      state: { type: "string" },
      devices: { type: "string" },
      freeze: { type: "string" },
      thaw: { type: "string" },
    },
    strict: true,
  });
  const socketPath = values[hostSocketOption] ?? defaultHostSocket;
  const stateDirectory = values.state ?? dirname(socketPath);
  const devicesFile = values.devices ?? (env[hostVariables.devices] || undefined);
  const wine = env[hostVariables.wine] || undefined;
  for (const [name, path] of [
    [`--${hostSocketOption}`, socketPath],
    ["--state", stateDirectory],
    [values.devices === undefined ? hostVariables.devices : "--devices", devicesFile],
    [hostVariables.wine, wine],
  ] as const) {
    if (path !== undefined && !isAbsolute(path))
      throw new UsageError(`${name}: expected an absolute path, got ${JSON.stringify(path)}`);
  }
  const idle = env[hostVariables.idleMs] ?? "";
  if (!/^\d{0,9}$/.test(idle)) {
    throw new UsageError(`${hostVariables.idleMs}: expected milliseconds, got ${JSON.stringify(idle)}`);
  }
  return {
    socketPath,
    stateDirectory,
    idleMs: idle === "" ? defaultIdleMs : Number(idle),
    cpuGroups: cpuGroupsOf(env[hostVariables.cpuGroups] ?? ""),
    ...(devicesFile === undefined ? {} : { devicesFile }),
    ...(wine === undefined ? {} : { wine }),
    ...faultOf(values),
  };
}

function cpuGroupsOf(text: string): CpuGroups {
  try {
    return readCpuGroups(text);
  } catch (error) {
    throw new UsageError(`${hostVariables.cpuGroups}: ${(error as Error).message}`);
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
  stderr: { write(text: string): unknown } = process.stderr,
): Promise<number> {
  const report = (message: string): void => void stderr.write(`hcs-emulator: ${message}\n`);
  let settings: EmulatorSettings;
  try {
    settings = readSettings(argv, env);
  } catch (error) {
    report(`${messageOf(error)}\n${usage}`);
    return 2;
  }
  if (process.getuid?.() !== 0) {
    report("must run as root: it creates namespaces, mounts and loop devices");
    return 1;
  }
  try {
    if (settings.fault !== undefined) {
      await requestHost(settings.socketPath, "freeze", settings.fault);
      return 0;
    }
    return await serve(settings, report);
  } catch (error) {
    report(error instanceof Error ? (error.stack ?? error.message) : String(error));
    return 1;
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
  const { socketPath, stateDirectory, idleMs, devicesFile, cpuGroups, wine } = settings;
  mkdirSync(stateDirectory, { recursive: true, mode: 0o700 });
  const lock = lockFile(join(stateDirectory, "lock"));
  if (lock === undefined) return 0;
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
  return 0;
}
