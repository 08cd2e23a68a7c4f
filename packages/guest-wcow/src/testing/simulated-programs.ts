/** Programs of a simulated guest: it knows what `cmd /c` does with the few commands of the contract. */
import { GuestFault, type StdioRelaySettings } from "@uvm-shim/gcs-bridge";
import type { checkWindowsProcessParameters } from "@uvm-shim/hcs-schema";

interface Program {
  readonly exit: Promise<number>;
  hasEnded: boolean;
  end(code: number): void;
}

/** The programs of a container, by id. */
export class ProgramTable {
  readonly #dial: (service: string | undefined) => NodeJS.WritableStream;
  readonly #programs = new Map<number, Program>();

  constructor(dial: (service: string | undefined) => NodeJS.WritableStream) {
    this.#dial = dial;
  }

  start(parameters: ReturnType<typeof checkWindowsProcessParameters>, services: StdioRelaySettings): number {
    const line = parameters.CommandLine ?? "";
    if (!line.startsWith("cmd")) throw new GuestFault("ERROR_FILE_NOT_FOUND", `cannot start ${line}`);
    const output = parameters.CreateStdOutPipe === true ? this.#dial(services.StdOut) : undefined;
    const { promise, resolve } = Promise.withResolvers<number>();
    const id = 100 + this.#programs.size * 4;
    const program: Program = {
      exit: promise,
      hasEnded: false,
      end: (code) => {
        program.hasEnded = true;
        output?.end();
        resolve(code);
      },
    };
    this.#programs.set(id, program);
    const text = /echo (\w+)/.exec(line)?.[1];
    if (text !== undefined) output?.write(`${text}\r\n`);
    if (!line.includes("ping")) program.end(Number(/exit (\d+)/.exec(line)?.[1] ?? 0));
    return id;
  }

  get(id: number): Program {
    const program = this.#programs.get(id);
    if (program === undefined) throw new GuestFault("ERROR_NOT_FOUND", `process ${id} does not exist`);
    return program;
  }

  running(id: number): Program {
    const program = this.get(id);
    if (program.hasEnded) throw new GuestFault("HCS_E_PROCESS_ALREADY_STOPPED", `process ${id} has ended`);
    return program;
  }

  list(): readonly { readonly ProcessId: number; readonly ImageName: string }[] {
    return [...this.#programs]
      .filter(([, { hasEnded }]) => !hasEnded)
      .map(([ProcessId]) => ({ ProcessId, ImageName: "cmd.exe" }));
  }

  async endAll(code: number): Promise<void> {
    for (const program of this.#programs.values()) if (!program.hasEnded) program.end(code);
    await Promise.resolve();
  }
}
