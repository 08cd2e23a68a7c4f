import { mkdirSync } from "node:fs";
import { constants, getPriority, setPriority } from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import { parseArgs } from "node:util";
import { messageOf } from "@uvm-shim/lifecycle";
import { lockFile, unblockSignal } from "@uvm-shim/linux-calls";
import { EmulatedHost } from "../emulated-host.ts";
import { ProcessGuestKind } from "../process-guest/kind.ts";
import { type CpuGroups, readCpuGroups } from "../system/topology.ts";
import { askHost } from "./ask-host.ts";
import { HostServer } from "./server.ts";
import { dumpState } from "./state-dump.ts";

export interface EmulatorSettings {
  readonly socketPath: string;
  readonly stateDirectory: string;
  /** The file that declares what devices can be assigned to VMs. */
  readonly devicesFile?: string;
  /** How long the program waits without systems and clients until it ends, in milliseconds. */
  readonly idleMs: number;
  readonly cpuGroups: CpuGroups;
  /** Not to serve, but to have the host that runs freeze a system's guest, or thaw it. */
  readonly fault?: { readonly system: string; readonly isFrozen: boolean };
}

const defaultSocket = "/run/uvm-shim-host/host.sock";
const defaultIdleMs = 5_000;
const bootTimeoutMs = 30_000;
const usage =
  "usage: hcs-emulator [--socket /path/of/socket] [--state /path/of/directory] [--devices /path/of/file]\n" +
  "       hcs-emulator --freeze <system> | --thaw <system> [--socket /path/of/socket]";

class UsageError extends Error {}

/** Settings from the command line, UVM_SHIM_HOST_DEVICES, UVM_SHIM_HOST_IDLE_MS and UVM_SHIM_HOST_CPU_GROUPS. */
export function readSettings(
  argv: readonly string[],
  env: { readonly [name: string]: string | undefined },
): EmulatorSettings {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      socket: { type: "string" },
      state: { type: "string" },
      devices: { type: "string" },
      freeze: { type: "string" },
      thaw: { type: "string" },
    },
    strict: true,
  });
  const socketPath = values.socket ?? defaultSocket;
  const stateDirectory = values.state ?? dirname(socketPath);
  const devicesFile = values.devices ?? (env.UVM_SHIM_HOST_DEVICES || undefined);
  for (const [name, path] of [
    ["--socket", socketPath],
    ["--state", stateDirectory],
    [values.devices === undefined ? "UVM_SHIM_HOST_DEVICES" : "--devices", devicesFile],
  ] as const) {
    if (path !== undefined && !isAbsolute(path))
      throw new UsageError(`${name}: expected an absolute path, got ${JSON.stringify(path)}`);
  }
  const idle = env.UVM_SHIM_HOST_IDLE_MS ?? "";
  if (!/^\d{0,9}$/.test(idle)) {
    throw new UsageError(`UVM_SHIM_HOST_IDLE_MS: expected milliseconds, got ${JSON.stringify(idle)}`);
  }
  return {
    socketPath,
    stateDirectory,
    idleMs: idle === "" ? defaultIdleMs : Number(idle),
    cpuGroups: cpuGroupsOf(env.UVM_SHIM_HOST_CPU_GROUPS ?? ""),
    ...(devicesFile === undefined ? {} : { devicesFile }),
    ...faultOf(values),
  };
}

function cpuGroupsOf(text: string): CpuGroups {
  try {
    return readCpuGroups(text);
  } catch (error) {
    throw new UsageError(`UVM_SHIM_HOST_CPU_GROUPS: ${(error as Error).message}`);
  }
}

function faultOf({
  freeze,
  thaw,
}: {
  readonly freeze?: string;
  readonly thaw?: string;
}): Pick<EmulatorSettings, "fault"> {
  if (freeze !== undefined && thaw !== undefined) throw new UsageError("--freeze and --thaw: expected one of them");
  const system = freeze ?? thaw;
  return system === undefined ? {} : { fault: { system, isFrozen: freeze !== undefined } };
}

/**
 * Runs the emulated host until nobody needs it or a signal ends it, and resolves to the exit code. A second one for
 * the same state directory ends at once with 0: the first serves.
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
    report("it makes namespaces, mounts and loop devices, and so has to run as root");
    return 1;
  }
  try {
    if (settings.fault !== undefined) {
      await askHost(settings.socketPath, "freeze", settings.fault);
      return 0;
    }
    return await serve(settings, report);
  } catch (error) {
    report(error instanceof Error ? (error.stack ?? error.message) : String(error));
    return 1;
  }
}

/**
 * Has this process be preferred to all that runs beside it, as what it stands for is: a hypervisor and its services, whose
 * answers all pods of the machine wait for, and which need little. Returns the priority that it was started with.
 */
function goFirst(report: (message: string) => void): number {
  const usual = getPriority();
  try {
    setPriority(constants.priority.PRIORITY_HIGHEST);
  } catch (error) {
    report(`it has to do with the priority that it was started with, ${usual}: ${(error as Error).message}`);
  }
  return usual;
}

async function serve(settings: EmulatorSettings, report: (message: string) => void): Promise<number> {
  const { socketPath, stateDirectory, idleMs, devicesFile, cpuGroups } = settings;
  mkdirSync(stateDirectory, { recursive: true, mode: 0o700 });
  const lock = lockFile(join(stateDirectory, "lock"));
  if (lock === undefined) return 0;
  const host = new EmulatedHost({
    stateDirectory,
    ...(devicesFile === undefined ? {} : { devicesFile }),
    cpuGroups,
    kinds: [new ProcessGuestKind({ stateDirectory, bootTimeoutMs, guestPriority: goFirst(report), report })],
    report,
  });
  const server = new HostServer({ host, socketPath, idleMs });
  // For as long as the process lives: without a listener the signal ends it, or opens a debugger.
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
