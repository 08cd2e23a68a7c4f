/** Processes of the VM itself: programs of the guest, outside any container. */
import { closeSync } from "node:fs";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import type { Children } from "@uvm-shim/guest-agent-common";
import type { LinuxProcessParameters } from "@uvm-shim/hcs-schema";
import { openTerminal, type ProcessExit } from "@uvm-shim/linux-calls";
import { GuestProcess, ProcessTable } from "./process.ts";
import type { StdioRelay } from "./stdio-relay.ts";

/** Programs of the VM itself. */
export class VmProcesses {
  readonly processes = new ProcessTable();
  readonly #children: Children;

  constructor(children: Children) {
    this.#children = children;
  }

  async execute(parameters: LinuxProcessParameters, relay: StdioRelay): Promise<GuestProcess> {
    const [command, ...rest] = parameters.CommandArgs ?? [];
    if (command === undefined || command === "") {
      throw new GuestFault("E_INVALIDARG", "ProcessParameters.CommandArgs is empty: expected a command of the guest");
    }
    const { WorkingDirectory: directory, Environment: environment } = parameters;
    const options = {
      ...(directory === undefined || directory === "" ? {} : { cwd: directory }),
      ...(environment === undefined ? {} : { env: environment }),
    };
    const { pid, exit } = parameters.EmulateConsole
      ? await this.#startInTerminal([command, ...rest], options, relay)
      : await this.#start(command, rest, options, relay);
    const process = new GuestProcess(pid, exit.then(reportedExit), relay);
    this.processes.add(process);
    return process;
  }

  async #start(command: string, rest: readonly string[], options: PlaceOfStart, relay: StdioRelay) {
    const started = await this.#children.start(command, rest, { ...options, stdio: [...relay.handOver()] });
    relay.close();
    return started;
  }

  async #startInTerminal(command: readonly string[], options: PlaceOfStart, relay: StdioRelay) {
    const terminal = openTerminal();
    try {
      const stdio = [terminal.process, terminal.process, terminal.process];
      const inTerminal = ["-c", takeTerminal, terminal.path, ...command];
      const started = await this.#children.start("/bin/sh", inTerminal, { ...options, stdio, detached: true });
      relay.startTerminal(terminal.controller);
      return started;
    } catch (error) {
      closeSync(terminal.controller);
      throw error;
    } finally {
      closeSync(terminal.process);
    }
  }
}

interface PlaceOfStart {
  readonly cwd?: string;
  readonly env?: { readonly [name: string]: string };
}

/** The leader of a session gets the terminal that it opens; then it becomes the program. */
const takeTerminal = 'exec "$@" <>"$0" >&0 2>&0';

/** The real guest reports -1 for a process of the VM that was ended by a signal. */
const endedBySignal = 0xffffffff;

function reportedExit(exit: ProcessExit): ProcessExit {
  return exit.signal === undefined ? exit : { ...exit, exitCode: endedBySignal };
}
