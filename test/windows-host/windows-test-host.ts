/** The whole test host of a run: the DLLs, their relay, and an emulated host with process guests behind it. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { connectEmulatedHost } from "@uvm-shim/hcs-bindings";
import { hostVariables } from "@uvm-shim/host-protocol";
import { processGuestKernel } from "@uvm-shim/host-protocol/guest";
import type { Spelling } from "../../packages/hcs-bindings/src/testing/respelling.ts";
import { buildTestHost } from "./build-test-host.ts";
import { Relay } from "./relay/relay.ts";
import { REPOSITORY, wineRoot } from "./wine-environment.ts";

export interface WindowsTestHostOptions {
  /** Devices that can be assigned, see the README of host-emulator. */
  readonly devices?: readonly { readonly instancePath: string; readonly functions?: number }[];
  /** How long the emulated host waits without systems and clients until it ends, in milliseconds; 5000 by default. */
  readonly idleMs?: number;
}

export class WindowsTestHost implements AsyncDisposable {
  /** For everything that programs under Wine see too. */
  readonly directory: string;
  /** The DLLs: `UVM_SHIM_HOST=libraries:<folder>`, with the folder as it is called there. */
  readonly libraries: string;
  /** Of the emulated host. */
  readonly socketPath: string;
  /** A kernel file that asks for a process guest, and the guest's agent. */
  readonly boot: { readonly KernelFilePath: string; readonly InitRdPath: string };
  readonly #relay: Relay;

  private constructor(directory: string, relay: Relay) {
    this.directory = directory;
    this.libraries = join(directory, "libraries");
    this.socketPath = socketOf(directory);
    this.boot = { KernelFilePath: join(directory, "kernel"), InitRdPath: agent };
    this.#relay = relay;
  }

  static async start({ devices = [], idleMs = 5_000 }: WindowsTestHostOptions = {}): Promise<WindowsTestHost> {
    const directory = mkdtempSync(join(tmpdir(), "uvm-test-host-"));
    mkdirSync(join(directory, "libraries"));
    writeFileSync(join(directory, "kernel"), `${processGuestKernel}\n`);
    writeFileSync(join(directory, "devices.json"), JSON.stringify({ devices }));
    await buildTestHost(join(directory, "libraries"));
    const relay = await Relay.start({
      folder: join(directory, "libraries"),
      host: {
        socketPath: socketOf(directory),
        start: {
          command: "/bin/sh",
          args: ["-c", `echo $$ >>${pidsOf(directory)}; exec "$@"`, "sh", process.execPath, emulator],
          env: {
            [hostVariables.idleMs]: String(idleMs),
            [hostVariables.devices]: join(directory, "devices.json"),
            [hostVariables.wine]: await wineRoot(),
          },
        },
      },
      loseService: () => endEmulators(directory, "SIGKILL"),
    });
    return new WindowsTestHost(directory, relay);
  }

  /** Has the DLLs of all programs answer with the names of documents in this case; absent: as in Microsoft's schemas. */
  spell(spelling: Spelling | undefined): void {
    this.#relay.spelling = spelling;
  }

  /** Takes the emulated host away, as a crash of the service does. The next call starts another. */
  loseService(): Promise<void> {
    return endEmulators(this.directory, "SIGKILL");
  }

  /** Ids of the containers that have a credential guard. */
  async credentialGuards(): Promise<readonly string[]> {
    const host = await connectEmulatedHost({ socketPath: this.socketPath });
    try {
      return (await host.windows.credentialGuards()).map(({ Id }) => Id);
    } finally {
      await host.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#relay[Symbol.asyncDispose]();
    await endEmulators(this.directory, "SIGTERM");
    rmSync(this.directory, { recursive: true, force: true });
  }
}

const agent = join(REPOSITORY, "packages/guest-agent/src/main.ts");
const emulator = join(REPOSITORY, "packages/host-emulator/src/main.ts");
const socketOf = (directory: string): string => join(directory, "state", "host.sock");
const pidsOf = (directory: string): string => join(directory, "pids");

/** Resolves when all emulators that were started for this directory have ended. */
async function endEmulators(directory: string, signal: "SIGKILL" | "SIGTERM"): Promise<void> {
  const running = runningEmulators(directory);
  for (const pid of running) process.kill(pid, signal);
  while (runningEmulators(directory).length > 0) await delay(pollMs);
}

const pollMs = 10;

function runningEmulators(directory: string): readonly number[] {
  if (!existsSync(pidsOf(directory))) return [];
  return readFileSync(pidsOf(directory), "utf8")
    .trim()
    .split("\n")
    .map(Number)
    .filter((pid) => existsSync(`/proc/${pid}`) && !readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z "));
}
