import type { Duplex } from "node:stream";
import { LineSplitter, parseLogLine } from "./log-lines.ts";
import type { GuestLogLine } from "./types.ts";

const rememberedLines = 20;
const rememberedCharacters = 300;

/** Passes the guest's log on, and remembers its last lines for error messages. */
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
    stream.on("data", (chunk: Buffer) => lines.push(chunk));
    stream.once("close", () => lines.end());
    // The guest only writes here; when it is done, so is the host.
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
      // A line that the host's log cannot take must not end the guest's log, let alone the shim.
    }
  }
}
