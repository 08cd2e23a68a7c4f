/** Processes of the VM itself: programs of the guest, outside any container. */
import { GuestFault } from "@uvm-shim/gcs-bridge";
import type { Children } from "@uvm-shim/guest-agent-common";
import type { LinuxProcessParameters } from "@uvm-shim/hcs-schema";
import type { ProcessExit } from "@uvm-shim/linux-calls";
import { GuestProcess, ProcessTable } from "./process.ts";
import type { StdioRelay } from "./stdio-relay.ts";

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
    if (parameters.EmulateConsole) {
      throw new GuestFault(
        "ERROR_NOT_SUPPORTED",
        "ProcessParameters.EmulateConsole: processes of the VM itself cannot have a terminal",
      );
    }
    const { WorkingDirectory: directory, Environment: environment } = parameters;
    const { pid, exit } = await this.#children.start(command, rest, {
      stdio: [...relay.handOver()],
      ...(directory === undefined || directory === "" ? {} : { cwd: directory }),
      ...(environment === undefined ? {} : { env: environment }),
    });
    relay.close();
    const process = new GuestProcess(pid, exit.then(reportedExit), relay);
    this.processes.add(process);
    return process;
  }
}

/** The real guest reports -1 for a process of the VM that was ended by a signal. */
const endedBySignal = 0xffffffff;

function reportedExit(exit: ProcessExit): ProcessExit {
  return exit.signal === undefined ? exit : { ...exit, exitCode: endedBySignal };
}
