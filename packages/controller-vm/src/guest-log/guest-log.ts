import type { Duplex } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import type { GuestLogLine } from "../types.ts";
import { LineSplitter, parseLogLine } from "./log-lines.ts";

const rememberedLines = 20;
const rememberedCharacters = 300;

/**
 * Bytes of a connection that are parsed in one turn of the event loop. Small enough for lines of one character each and
 * for eight connections at a time.
 */
export const bytesPerTurn = 1024;

/** Forwards the guest's log, and keeps its last lines for error messages. */
export class GuestLog {
  readonly #onLine: (line: GuestLogLine) => void;
  #last: string[] = [];

  constructor(onLine: (line: GuestLogLine) => void) {
    this.#onLine = onLine;
  }

  /** The last lines, oldest first, shortened. */
  get lastLines(): readonly string[] {
    return this.#last;
  }

  readonly serve = (stream: Duplex): void => {
    const lines = new LineSplitter((text, truncated) => this.#relay(parseLogLine(text, truncated)));
    let reading: Promise<void> = Promise.resolve();
    // Back pressure: what the guest writes meanwhile stays in the guest.
    stream.on("data", (chunk: Buffer) => {
      stream.pause();
      reading = readInTurns(chunk, lines).then(() => void stream.resume());
    });
    stream.once("close", () => void reading.then(() => lines.end()));
    // The host writes nothing here, so the end of the guest's side ends the connection.
    stream.once("end", () => stream.destroy());
  };

  #relay(line: GuestLogLine): void {
    if (line.message === "" && Object.keys(line.fields).length === 0) return;
    this.#last = [...this.#last, `${line.level}: ${line.message.slice(0, rememberedCharacters)}`].slice(
      -rememberedLines,
    );
    try {
      this.#onLine(line);
    } catch {
      // A line that the host's log rejects must not end the guest's log or the shim.
    }
  }
}

async function readInTurns(chunk: Buffer, lines: LineSplitter): Promise<void> {
  for (let start = 0; start < chunk.length; start += bytesPerTurn) {
    if (start > 0) await turn();
    lines.push(chunk.subarray(start, start + bytesPerTurn));
  }
}
