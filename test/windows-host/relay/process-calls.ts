import { hresults } from "@uvm-shim/hcs-schema";
import { Refusal } from "./refusal.ts";
import { type Handler, hcsEvents, relayEvents, type Session } from "./session.ts";

interface ProcessParameters {
  readonly CommandLine?: string;
  readonly CreateStdInPipe?: boolean;
  readonly CreateStdOutPipe?: boolean;
  readonly CreateStdErrPipe?: boolean;
}

/** A process of a compute system: the emulated host has none, so they are no more than these rows. */
interface EmulatedProcess {
  readonly pid: number;
  readonly system: string;
  readonly parameters: ProcessParameters;
  /** Handles on it, by the DLL's numbers. */
  readonly handles: Set<string>;
  exitCode: number | undefined;
}

const terminated = 0xffffffff;
const interrupted = 0xc000013a;
const firstPid = 1000;

class ProcessTable {
  readonly #processes = new Map<number, EmulatedProcess>();
  #lastPid = firstPid;

  add(system: string, parameters: ProcessParameters): EmulatedProcess {
    this.#lastPid += 4;
    const created = { pid: this.#lastPid, system, parameters, handles: new Set<string>(), exitCode: undefined };
    this.#processes.set(created.pid, created);
    return created;
  }

  find(system: string, pid: number): EmulatedProcess {
    const found = this.#processes.get(pid);
    if (found?.system !== system) throw new Refusal("ERROR_NOT_FOUND", `${system} has no process ${pid}`);
    return found;
  }

  of(handle: string | undefined): EmulatedProcess {
    for (const found of this.#processes.values()) if (found.handles.has(handle ?? "")) return found;
    throw new Refusal("E_INVALIDARG", `no handle ${handle} of a process is open`);
  }

  close(handle: string): void {
    for (const [pid, { handles, exitCode }] of this.#processes) {
      if (handles.delete(handle) && handles.size === 0 && exitCode !== undefined) this.#processes.delete(pid);
    }
  }
}

const tables = new WeakMap<Session, ProcessTable>();

function tableOf(session: Session): ProcessTable {
  const table = tables.get(session) ?? new ProcessTable();
  tables.set(session, table);
  return table;
}

function statusOf({ pid, exitCode }: EmulatedProcess): object {
  return {
    ProcessId: pid,
    Exited: exitCode !== undefined,
    ...(exitCode !== undefined && { ExitCode: exitCode }),
    LastWaitResult: 0,
  };
}

function end(session: Session, ended: EmulatedProcess, exitCode: number): void {
  if (ended.exitCode !== undefined) {
    throw new Refusal(hresults.HCS_E_PROCESS_ALREADY_STOPPED, `process ${ended.pid} has exited`);
  }
  ended.exitCode = exitCode;
  for (const handle of ended.handles)
    session.sendEvent(handle, hcsEvents.processExited, JSON.stringify(statusOf(ended)));
}

/** The code that `exit <code>` ends with at once; undefined for any other command, which lives until it is ended. */
function exitCodeOf({ CommandLine = "" }: ProcessParameters): number | undefined {
  const code = /^exit (\d+)$/.exec(CommandLine)?.[1];
  return code === undefined ? undefined : Number(code);
}

/** What the DLL makes its streams from: the pid, which streams it has, and whether it ends at once. */
function streamsOf({ pid, parameters }: EmulatedProcess): string {
  const { CreateStdInPipe, CreateStdOutPipe, CreateStdErrPipe } = parameters;
  const flags = [CreateStdInPipe, CreateStdOutPipe, CreateStdErrPipe, exitCodeOf(parameters) !== undefined];
  return [pid, ...flags.map((flag) => (flag === true ? 1 : 0))].join(" ");
}

/** The functions of computecore.h that have to do with processes. */
export const processCalls: { readonly [name: string]: Handler } = {
  HcsCreateProcess: async (session, handle = "", system, parameters = "{}") => {
    const { id, client, handle: opened } = await session.system(system);
    const { State } = await client.call("properties", { handle: opened.handle, types: [] });
    if (State !== "Running") throw new Refusal("HCS_E_INVALID_STATE", `${id} is ${State}, expected Running`);
    const created = tableOf(session).add(id, JSON.parse(parameters) as ProcessParameters);
    created.handles.add(handle);
    return streamsOf(created);
  },

  HcsOpenProcess: async (session, handle = "", pid, system) => {
    const found = tableOf(session).find((await session.system(system)).id, Number(pid));
    found.handles.add(handle);
    return `${found.pid} 0 0 0 0`;
  },

  HcsCloseProcess: async (session, handle = "") => {
    tableOf(session).close(handle);
    return undefined;
  },

  HcsTerminateProcess: async (session, handle) => {
    end(session, tableOf(session).of(handle), terminated);
    return undefined;
  },

  HcsSignalProcess: async (session, handle) => {
    end(session, tableOf(session).of(handle), interrupted);
    return undefined;
  },

  HcsGetProcessInfo: async (session, handle) => {
    tableOf(session).of(handle);
    return undefined;
  },

  HcsGetProcessProperties: async (session, handle) => JSON.stringify(statusOf(tableOf(session).of(handle))),

  HcsModifyProcess: async (session, handle = "", settings = "{}") => {
    const modified = tableOf(session).of(handle);
    const { Operation, CloseHandle } = JSON.parse(settings) as {
      Operation?: string;
      CloseHandle?: { Handle?: string };
    };
    if (modified.exitCode !== undefined) {
      throw new Refusal(hresults.HCS_E_PROCESS_ALREADY_STOPPED, `process ${modified.pid} has exited`);
    }
    if (Operation === "CloseHandle" && CloseHandle?.Handle === "StdIn") {
      session.sendEvent(handle, relayEvents.standardInputClosed, "");
    } else if (Operation !== "ConsoleSize") {
      throw new Refusal("E_INVALIDARG", `Operation: ${Operation} of ${CloseHandle?.Handle} is not emulated`);
    }
    return undefined;
  },

  /** The DLL has given back all that the process was given. */
  processFinished: async (session, handle) => {
    const finished = tableOf(session).of(handle);
    if (finished.exitCode === undefined) end(session, finished, exitCodeOf(finished.parameters) ?? 0);
    return undefined;
  },
};
