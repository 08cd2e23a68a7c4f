import { closeSync } from "node:fs";
import type { Duplex } from "node:stream";
import { DescriptorSocket, unixSocketPair } from "@uvm-shim/linux-calls";
import type { ProgramInstallation } from "./installation.ts";
import { type ProgramEnd, startInOwnRoot } from "./own-root.ts";
import { Tail } from "./tail.ts";

/** What a confined QEMU is started with. */
export interface ConfinedStart {
  readonly installation: ProgramInstallation;
  readonly parameters: readonly string[];
  /** Descriptors from 6 on, which the caller keeps; copies of them are all that the program gets. */
  readonly descriptors: readonly number[];
  /** The cgroup.procs files of its cgroups. */
  readonly entrances: readonly string[];
  /** A folder that this makes and removes; the program's root appears in it for nobody else. */
  readonly mountPoint: string;
  /** User and group id, which nobody else should have. */
  readonly user: number;
  readonly withKvm: boolean;
  /** Ends the start, not the program. */
  readonly signal: AbortSignal;
}

/** A QEMU that has been started. */
export interface RunningQemu {
  /** Of its monitor; the caller owns it. */
  readonly monitor: DescriptorSocket;
  /** The end of what the guest has written to its console. */
  readonly console: Tail;
  /** The end of what QEMU itself has said. */
  readonly diagnostics: Tail;
  /** Resolves when it has ended and all its output has come. */
  readonly ended: Promise<ProgramEnd>;
  /** Ends it at once. Repeatable. */
  kill(): void;
}

const consoleDescriptor = 5;
const consoleTailBytes = 4_000;
/** /dev/kvm, which a confined QEMU opens by this name. */
export const kvmDevice = { name: "kvm", major: 10, minor: 232 } as const;
const powerless = ["--clear-groups", "--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all"];

/**
 * Starts a QEMU with namespaces and a root of its own. It has no user or group of this machine, no capabilities, and cannot
 * get any. It ends when this process does in any way.
 */
export async function startConfined(start: ConfinedStart): Promise<RunningQemu> {
  const { installation, parameters, descriptors, entrances, mountPoint, user, withKvm, signal } = start;
  const [ours, theirs] = unixSocketPair();
  const monitor = new DescriptorSocket(ours, 1);
  try {
    const { streams, diagnostics, ended, kill } = await startInOwnRoot({
      installation,
      parameters,
      stdio: ["ignore", "pipe", "pipe", theirs, "pipe", ...descriptors],
      identity: [`--reuid=${user}`, `--regid=${user}`, ...powerless],
      entrances,
      mountPoint,
      devices: withKvm ? [kvmDevice] : [],
      // Where it finds the descriptors of kernel and initrd by path.
      withProc: true,
      shown: [],
      signal,
    });
    const console = new Tail(consoleTailBytes);
    console.follow(streams[consoleDescriptor] as Duplex);
    return { monitor, console, diagnostics, ended, kill };
  } catch (error) {
    monitor.close();
    throw error;
  } finally {
    closeSync(theirs);
  }
}
