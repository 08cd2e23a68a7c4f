import { execFileSync } from "node:child_process";
import { constants, openSync } from "node:fs";
import { Socket } from "node:net";
import { guestAllowance } from "../../../../packages/shim/src/system/limited-log.ts";

/** One line as logrus writes it, quoted where it is more than a word, with nothing in it that is no text. */
const line =
  /^time="[0-9TZ:.-]+" level=[a-z]+ msg=(?:"(?:[^"\\]|\\.)*"|[^\s"=]+)(?: [^\s"=]+=(?:"(?:[^"\\]|\\.)*"|[^\s"]+))*$/u;
/** One that was cut to what a pipe takes whole. */
const cutLine = /^time="[0-9TZ:.-]+" level=[a-z]+ msg=.*\.\.\.$/su;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
const unprintable = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\ufeff]/u;
const shownCharacters = 160;
const mostKept = 5;

const minuteMs = 60_000;

/** What has come of a log, and at which moment, in milliseconds. */
export interface Logged {
  readonly at: number;
  readonly bytes: number;
}

/**
 * What a log comes to in its worst minute. One that was looked at for less than that is taken to go on as it was; but what
 * may be written at once, after which a guest has to be quiet for most of a minute to have it again, comes once in it.
 */
export function bytesInWorstMinute(logged: readonly Logged[], lookedAtMs: number): number {
  if (lookedAtMs < minuteMs) {
    const bytes = sumOf(logged);
    const atOnce = Math.min(bytes, guestAllowance.burst);
    return atOnce + (bytes - atOnce) * (minuteMs / lookedAtMs);
  }
  const minutes = logged.map(({ at: end }) => logged.filter(({ at }) => at > end - minuteMs && at <= end));
  return Math.max(0, ...minutes.map(sumOf));
}

function sumOf(logged: readonly Logged[]): number {
  return logged.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** The reading end of a shim's log, which containerd holds in reality. Reports what is wrong with the lines. */
export class ShimLogReader {
  readonly problems: string[] = [];
  readonly #logged: Logged[] = [];
  readonly #opened = performance.now();
  readonly #socket: Socket;
  readonly #identity: { readonly id: string; readonly namespace: string };
  #rest = "";

  private constructor(descriptor: number, identity: { readonly id: string; readonly namespace: string }) {
    this.#identity = identity;
    this.#socket = new Socket({ fd: descriptor, readable: true, writable: false });
    this.#socket.on("data", (chunk: Buffer) => this.#take(chunk));
    this.#socket.on("error", () => {});
  }

  /** Makes the FIFO of a bundle and reads it from now on. */
  static open(path: string, identity: { readonly id: string; readonly namespace: string }): ShimLogReader {
    execFileSync("mkfifo", ["-m", "600", path]);
    // With a writing end of its own it does not end when the shim lets go of its end.
    return new ShimLogReader(openSync(path, constants.O_RDWR | constants.O_NONBLOCK), identity);
  }

  close(): void {
    this.#socket.destroy();
  }

  get bytes(): number {
    return sumOf(this.#logged);
  }

  /** Up to now, in its worst minute. */
  get bytesPerMinute(): number {
    return bytesInWorstMinute(this.#logged, performance.now() - this.#opened);
  }

  #take(chunk: Buffer): void {
    this.#logged.push({ at: performance.now(), bytes: chunk.length });
    const lines = (this.#rest + chunk.toString("latin1")).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const bytes of lines)
      if (this.problems.length < mostKept) this.#check(Buffer.from(bytes, "latin1").toString("utf8"));
  }

  #check(text: string): void {
    const shown = JSON.stringify(text.slice(0, shownCharacters));
    if (unprintable.test(text)) this.problems.push(`a line of the log has what is no text: ${shown}`);
    else if (!line.test(text) && !cutLine.test(text)) this.problems.push(`a line of the log is none: ${shown}`);
    else if (fieldsOfItsOwn(text) !== 3) this.problems.push(`a line of the log was forged: ${shown}`);
    else {
      for (const [name, value] of Object.entries(this.#identity)) {
        const given = [...text.matchAll(new RegExp(` ${name}=("(?:[^"\\\\]|\\\\.)*"|\\S+)`, "g"))].map(
          (match) => match[1],
        );
        if (given.some((one) => one !== value))
          this.problems.push(`${name} of a line of the log is not the shim's: ${shown}`);
      }
    }
  }
}

/** How often time, level and message stand there as keys. */
function fieldsOfItsOwn(text: string): number {
  const bare = text.replace(/"(?:[^"\\]|\\.)*"/g, "Q").replace(/".*$/, "");
  return [...` ${bare}`.matchAll(/ (?:time|level|msg)=/g)].length;
}
