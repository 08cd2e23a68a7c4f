import type { Duplex } from "node:stream";
import type { HcsType } from "@uvm-shim/hcs-schema/tables";
import { hostStructures } from "../native/host-structures.ts";
import { OpenHandles } from "../native/open-handles.ts";
import { outputPointer } from "../native/output-parameters.ts";
import { callError, failed, type Subject, unlessAborted } from "./call-results.ts";
import type { ComputeCore } from "./compute-core.ts";
import type { HostSockets } from "./host-dependencies.ts";
import { HostProcess, type ProcessStdio } from "./host-process.ts";
import type { Operations } from "./operations.ts";

/** The document of a process in a compute system, by HCS's schema. */
export type ProcessParameters = HcsType<"ProcessParameters">;

const { HCS_PROCESS_INFORMATION: informationStructure } = hostStructures;

/** GENERIC_ALL, the access that the service requires. */
export const allAccess = 0x10000000;

/** Open handles of the processes in a compute system. */
export class ProcessHandles {
  readonly #core: ComputeCore;
  readonly #sockets: HostSockets;
  readonly #operations: Operations;
  readonly #system: bigint;
  readonly #open = new OpenHandles<HostProcess>();

  constructor(core: ComputeCore, sockets: HostSockets, operations: Operations, system: bigint) {
    this.#core = core;
    this.#sockets = sockets;
    this.#operations = operations;
    this.#system = system;
  }

  create(subject: Subject, parameters: ProcessParameters, signal?: AbortSignal): Promise<HostProcess> {
    const { library } = this.#core;
    const document = JSON.stringify(parameters);
    const begin: Begin = async (handle, information) => {
      await this.#operations.perform(
        subject,
        (operation) => library.run("HcsCreateProcess", this.#system, document, operation, null, handle),
        information,
      );
    };
    // The caller has no handle of this process, so nobody else would end it.
    const abandon: Abandon = async (process) => await process.terminate().finally(() => process.close());
    return unlessAborted(signal, subject, () => this.#adopt(begin, abandon), abandon);
  }

  open(subject: Subject, processId: number, signal?: AbortSignal): Promise<HostProcess> {
    const { library } = this.#core;
    const begin: Begin = async (handle, information) => {
      const hresult = await this.#operations.call(subject, () =>
        library.run("HcsOpenProcess", this.#system, processId, allAccess, handle),
      );
      if (failed(hresult)) throw callError(subject, hresult);
      await this.#operations.perform(
        subject,
        (operation) => library.run("HcsGetProcessInfo", handle.readBigUInt64LE(), operation),
        information,
      );
    };
    const abandon: Abandon = (process) => process.close();
    return unlessAborted(signal, subject, () => this.#adopt(begin, abandon), abandon);
  }

  lost(): void {
    for (const process of this.#open) process.lost();
  }

  close(): Promise<void> {
    return this.#open.close();
  }

  #adopt(begin: Begin, abandon: Abandon): Promise<HostProcess> {
    return this.#open.make(async () => {
      const process = await this.#take(begin);
      try {
        await process.watch();
        return process;
      } catch (error) {
        await abandon(process).catch(() => {});
        throw error;
      }
    });
  }

  async #take(begin: Begin): Promise<HostProcess> {
    const output = outputPointer();
    const information = Buffer.alloc(informationStructure.size);
    try {
      // A failed call may have returned handles nevertheless.
      await begin(output, information).catch((error: unknown) => {
        for (const handle of stdioOf(information)) this.#core.closeHandle(handle);
        throw error;
      });
      const { ProcessId: processId } = informationStructure.decode(information);
      const stdio = this.#takeStdio(information);
      const closing = (process: HostProcess): void => this.#open.forget(process);
      return new HostProcess(this.#core, output.readBigUInt64LE(), processId, stdio, closing);
    } catch (error) {
      const handle = output.readBigUInt64LE();
      if (handle !== 0n) await this.#core.library.run("HcsCloseProcess", handle);
      throw error;
    }
  }

  /** Opens a stream for each handle. On failure all handles are closed. */
  #takeStdio(information: Buffer): ProcessStdio {
    const left = [...stdioOf(information)];
    const streams: Duplex[] = [];
    const { StdInput, StdOutput, StdError } = informationStructure.decode(information);
    const take = (handle: bigint, way: "in" | "out"): Duplex | undefined => {
      if (handle === 0n) return undefined;
      left.shift();
      const stream = this.#sockets.streamOf(handle, way);
      streams.push(stream);
      return stream;
    };
    try {
      const [stdin, stdout, stderr] = [take(StdInput, "out"), take(StdOutput, "in"), take(StdError, "in")];
      return {
        ...(stdin !== undefined && { stdin }),
        ...(stdout !== undefined && { stdout }),
        ...(stderr !== undefined && { stderr }),
      };
    } catch (error) {
      for (const stream of streams) stream.destroy();
      for (const handle of left) this.#core.closeHandle(handle);
      throw error;
    }
  }
}

/** The existing handles: stdin, stdout, stderr. */
function stdioOf(information: Buffer): readonly bigint[] {
  const { StdInput, StdOutput, StdError } = informationStructure.decode(information);
  return [StdInput, StdOutput, StdError].filter((handle) => handle !== 0n);
}

/** Writes a handle of a process and the information about it into the buffers. */
type Begin = (handle: Buffer, information: Buffer) => Promise<void>;

/** Releases a process whose caller has aborted. */
type Abandon = (process: HostProcess) => Promise<void>;
