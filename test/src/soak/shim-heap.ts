import { once } from "node:events";
import { poll } from "../support/wait.ts";

/** What a shim's heap holds after a collection, in bytes. */
export interface ShimHeap {
  readonly objects: number;
  /** Functions, compiled and optimised the more the more often they ran. */
  readonly code: number;
  /** What belongs to objects but lies beside the heap. */
  readonly buffers: number;
}

interface Holdings {
  readonly spaces: readonly (readonly [name: string, bytes: number])[];
  readonly buffers: number;
}

/** Where Node's inspector listens once SIGUSR1 has woken it. */
const INSPECTOR = "http://127.0.0.1:9229/json/list";
const ANSWER_MS = 10_000;
const CODE_SPACE = /code|trusted/;
const QUESTION = `(() => {
  const spaces = process.getBuiltinModule("node:v8").getHeapSpaceStatistics();
  return { spaces: spaces.map((space) => [space.space_name, space.space_used_size]), buffers: process.memoryUsage().external };
})()`;

/** Asks a shim for its heap as a debugger does, so that the shim need not know of it. */
export class HeapReader {
  readonly #socket: WebSocket;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
  }

  /** The loopback interface has to be up, and no other program's inspector to listen. */
  static async open(pid: number, signal: AbortSignal): Promise<HeapReader> {
    process.kill(pid, "SIGUSR1");
    const address = await poll("the shim's inspector", debuggerAddress, { timeoutMs: ANSWER_MS, signal });
    const socket = new WebSocket(address);
    await once(socket, "open", { signal: AbortSignal.timeout(ANSWER_MS) });
    return new HeapReader(socket);
  }

  async read(): Promise<ShimHeap> {
    // The first collection lets go of what only finalizers held, the second takes it.
    for (const _ of ["once", "again"]) await this.#ask("HeapProfiler.collectGarbage", {});
    const answer = await this.#ask("Runtime.evaluate", { expression: QUESTION, returnByValue: true });
    const { spaces, buffers } = JSON.parse(answer).result.result.value as Holdings;
    const used = (isCode: boolean): number =>
      spaces.reduce((sum, [name, bytes]) => (CODE_SPACE.test(name) === isCode ? sum + bytes : sum), 0);
    return { objects: used(false), code: used(true), buffers };
  }

  close(): void {
    this.#socket.close();
  }

  /** Nothing is asked before the last answer is there. */
  async #ask(method: string, params: object): Promise<string> {
    const answered = once(this.#socket, "message", { signal: AbortSignal.timeout(ANSWER_MS) });
    this.#socket.send(JSON.stringify({ id: 1, method, params }));
    const [{ data }] = (await answered) as [MessageEvent];
    return String(data);
  }
}

/** Undefined while nothing listens. */
async function debuggerAddress(): Promise<string | undefined> {
  try {
    const targets = (await (await fetch(INSPECTOR)).json()) as { webSocketDebuggerUrl: string }[];
    return targets[0]?.webSocketDebuggerUrl;
  } catch {
    return undefined;
  }
}
