/** The programs that a host has started in a container, or in the virtual machine itself. */
import { GuestFault, infiniteTimeout, type StdioRelaySettings } from "@uvm-shim/gcs-bridge";
import { type HresultName, isMistyped, type WindowsSignal } from "@uvm-shim/hcs-schema";
import { abortable, systemClock, withDeadline } from "@uvm-shim/lifecycle";
import type { ContainerProgram, WindowsContainer } from "../container/container.ts";
import { WindowsError, type WindowsProgram } from "../container/program.ts";
import { type DialService, StdioRelay } from "./stdio-relay.ts";

interface GuestProgram {
  readonly program: WindowsProgram;
  /** Resolves with the exit code, also when the container has ended under it. */
  readonly exit: Promise<number>;
  hasEnded: boolean;
}

/** What Windows says of a program that its container took with it. */
const endedWithContainer = 0xc000013a;

/** Errors of Windows by which it does not start a program. */
const startErrors: ReadonlyMap<number, HresultName> = new Map([
  [2, "ERROR_FILE_NOT_FOUND"],
  [3, "ERROR_PATH_NOT_FOUND"],
  [5, "E_ACCESSDENIED"],
  [193, "ERROR_BAD_EXE_FORMAT"],
  [267, "ERROR_DIRECTORY"],
]);

const longestProgram = 260;

export class GuestPrograms {
  readonly #programs = new Map<number, GuestProgram>();

  async execute(
    container: WindowsContainer,
    start: ContainerProgram,
    services: StdioRelaySettings,
    dial: DialService,
    signal: AbortSignal,
  ): Promise<number> {
    const relay = await StdioRelay.connect(start, services, dial, signal);
    let program: WindowsProgram;
    try {
      program = await container.run(start);
    } catch (error) {
      relay.close();
      throw startFault(error, start);
    }
    const entry: GuestProgram = {
      program,
      exit: program.exited
        .catch(() => endedWithContainer)
        .finally(() => {
          entry.hasEnded = true;
        }),
      hasEnded: false,
    };
    this.#programs.set(program.processId, entry);
    void Promise.all([relay.carry(program), entry.exit]).then(() => program.release());
    return program.processId;
  }

  /** Resolves with the exit code; throws a GuestFault after the timeout. */
  async wait(processId: number, timeoutMs: number, signal: AbortSignal): Promise<number> {
    const { exit } = this.#get(processId);
    if (timeoutMs === infiniteTimeout) return await exit;
    return await withDeadline((until) => abortable(exit, until), {
      ...{ clock: systemClock, milliseconds: timeoutMs, signal },
      error: () =>
        new GuestFault("HCS_E_CONNECTION_TIMEOUT", `process ${processId} did not end within ${timeoutMs} ms`),
    });
  }

  /** Resolves only when the process has ended, as on Server Core. */
  async raise(processId: number, event: WindowsSignal): Promise<void> {
    const running = this.#running(processId);
    await unlessEnded(running, running.program.raise(event));
    await running.exit;
  }

  async terminate(processId: number): Promise<void> {
    const running = this.#running(processId);
    await unlessEnded(running, running.program.terminate());
  }

  async resize(processId: number, width: number, height: number): Promise<void> {
    const running = this.#running(processId);
    await unlessEnded(running, running.program.resize(width, height));
  }

  /** Raises an event in all that still run; resolves when they have ended. */
  async raiseAll(event: WindowsSignal): Promise<void> {
    const running = [...this.#programs.values()].filter(({ hasEnded }) => !hasEnded);
    await Promise.all(running.map((entry) => unlessEnded(entry, entry.program.raise(event)).then(() => entry.exit)));
  }

  #get(processId: number): GuestProgram {
    const found = this.#programs.get(processId);
    if (found !== undefined) return found;
    throw new GuestFault("ERROR_NOT_FOUND", `ProcessId: process ${processId} does not exist`);
  }

  #running(processId: number): GuestProgram {
    const found = this.#get(processId);
    if (!found.hasEnded) return found;
    throw new GuestFault("HCS_E_PROCESS_ALREADY_STOPPED", `ProcessId: process ${processId} has ended`);
  }
}

/** What was asked of a program that ended meanwhile has no answer. */
async function unlessEnded({ exit }: GuestProgram, asked: Promise<void>): Promise<void> {
  try {
    await Promise.race([asked, exit]);
  } catch (error) {
    if (!(error instanceof WindowsError)) throw error;
    throw new GuestFault("E_FAIL", error.message, { cause: error });
  }
}

function startFault(error: unknown, { commandLine, workingDirectory }: ContainerProgram): unknown {
  if (!(error instanceof WindowsError)) return error;
  const name = startErrors.get(error.number) ?? "E_FAIL";
  const where = workingDirectory === "" ? "" : ` in ${workingDirectory}`;
  const program = shownProgram(commandLine);
  return new GuestFault(name, `cannot start ${program}${where}: Windows error ${error.number}`, { cause: error });
}

/** Arguments may be secrets, and so may be what stands in the place of a program. */
function shownProgram(commandLine: string): string {
  const [, quoted, bare = ""] = /^(?:"([^"]*)"|(\S*))/.exec(commandLine) ?? [];
  const program = quoted ?? bare;
  const isShown = isMistyped(program) || (program.length <= longestProgram && /\.(exe|com|cmd|bat)$/i.test(program));
  return isShown ? program : `the program of a command line of ${commandLine.length} characters`;
}
