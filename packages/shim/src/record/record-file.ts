import { closeSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs";
import { type FileHandle, mkdir, open, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { type OmittedLine, parseRecordLine } from "./lines.ts";

/** In bytes. */
export const fileBounds = { all: 1024 * 1024, beginning: 256 * 1024, end: 256 * 1024 };

/** Lines that wait this long are written together; a shim that is killed loses them. In milliseconds. */
const gatheringMilliseconds = 20;

/** What a `RecordFile` is made from. */
export interface RecordFileOptions {
  readonly path: string;
  /** Makes the folder in which those of the namespaces are, if others could have made it first. */
  readonly makeFolder?: () => Promise<void>;
  readonly now: () => Date;
  readonly bounds?: typeof fileBounds;
  /** Told once, of a file that cannot be written. Recording goes on in memory. */
  readonly onProblem: (error: unknown) => void;
}

/** A pod's record on disk. Written beside the event loop; what has been written survives the shim. */
export class RecordFile {
  readonly #options: RecordFileOptions;
  readonly #bounds: typeof fileBounds;
  #waiting = "";
  #writing: Promise<void> | undefined;
  #handle: FileHandle | undefined;
  #isClosing = false;
  /** Ends the wait for more lines. */
  #hurry: () => void = () => {};
  #size = 0;
  #isOver = false;

  constructor(options: RecordFileOptions) {
    this.#options = options;
    this.#bounds = options.bounds ?? fileBounds;
  }

  add(line: string): void {
    if (this.#isOver) return;
    this.#waiting += `${line}\n`;
    this.#writing ??= this.#write();
  }

  /** Writes what waits. */
  async close(): Promise<void> {
    this.#isClosing = true;
    this.#hurry();
    await this.#writing;
    this.#isOver = true;
    await this.#closeHandle();
  }

  /** `close` for a shim that ends at once. */
  closeNow(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    try {
      const descriptor = this.#handle?.fd ?? create(this.#options.path);
      writeSync(descriptor, this.#waiting);
      this.#waiting = "";
      if (this.#handle === undefined) closeSync(descriptor);
      else if (this.#writing === undefined) void this.#closeHandle();
    } catch {
      // It was told before, or the shim has worse to tell now.
    }
  }

  /** Not that of a successor with the same id, which may serve already. */
  async remove(): Promise<void> {
    const { path: file } = this.#options;
    this.#isClosing = true;
    this.#hurry();
    await this.#writing;
    const own = await this.#handle?.stat();
    const there = await stat(file).catch(() => undefined);
    await this.close();
    if (own !== undefined && own.ino === there?.ino) await rm(file, { force: true });
  }

  async #write(): Promise<void> {
    try {
      while (this.#waiting !== "" && !this.#isOver) {
        await this.#gather();
        // Another writer would begin the file anew.
        if (this.#isOver) break;
        this.#handle ??= await this.#create();
        const text = this.#waiting;
        this.#waiting = "";
        await this.#handle.appendFile(text);
        this.#size += Buffer.byteLength(text);
        if (this.#size > this.#bounds.all) await this.#shorten();
      }
    } catch (error) {
      if (!this.#isOver) this.#options.onProblem(error);
      this.#isOver = true;
    } finally {
      this.#writing = undefined;
      if (this.#isOver) await this.#closeHandle();
    }
  }

  /** A race with a promise that lasts as long as the pod would add to that promise with every write. */
  async #gather(): Promise<void> {
    if (this.#isClosing) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, gatheringMilliseconds).unref();
      this.#hurry = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async #closeHandle(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    await handle?.close().catch(() => {});
  }

  async #create(): Promise<FileHandle> {
    const { path: file, makeFolder } = this.#options;
    await makeFolder?.();
    await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
    await rm(file, { force: true });
    return await open(file, "ax", 0o600);
  }

  async #shorten(): Promise<void> {
    const { path: file, now } = this.#options;
    const text = shortened(await readFile(file, "utf8"), this.#bounds, now());
    const next = `${file}.new`;
    try {
      await writeFile(next, text, { mode: 0o600 });
      await rename(next, file);
    } catch (error) {
      // On a full disk, what was begun of it would stay for good.
      await rm(next, { force: true }).catch(() => {});
      throw error;
    }
    await this.#handle?.close();
    this.#handle = await open(file, "a");
    this.#size = Buffer.byteLength(text);
  }
}

/** Keeps the beginning and the end, with a line between them that says how many were left out. */
export function shortened(text: string, bounds: Pick<typeof fileBounds, "beginning" | "end">, now: Date): string {
  const lines = text.trimEnd().split("\n");
  const marks = lines.map((line) => (line.includes('"omitted"') ? parseRecordLine(line) : undefined));
  const mark = marks.findIndex((line) => line?.type === "omitted");
  const before = mark === -1 ? 0 : (marks[mark] as OmittedLine).lines;
  const first = mark === -1 ? within(lines, bounds.beginning) : mark;
  const rest = lines.slice(mark === -1 ? first : mark + 1);
  const last = within(rest.toReversed(), bounds.end);
  const omitted: OmittedLine = {
    ...{ seq: seqOf(rest[rest.length - last]), time: now.toISOString(), type: "omitted" },
    lines: before + rest.length - last,
  };
  return `${[...lines.slice(0, first), JSON.stringify(omitted), ...rest.slice(rest.length - last)].join("\n")}\n`;
}

/** It sorts with the first line after the gap. */
function seqOf(line: string | undefined): number {
  return parseRecordLine(line ?? "")?.seq ?? 0;
}

/** How many lines fit. */
function within(lines: readonly string[], most: number): number {
  let bytes = 0;
  const over = lines.findIndex((line) => {
    bytes += Buffer.byteLength(line) + 1;
    return bytes > most;
  });
  return over === -1 ? lines.length : over;
}

function create(file: string): number {
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  rmSync(file, { force: true });
  return openSync(file, "ax", 0o600);
}

/** Appends to a record that another process wrote, or begins one. */
export function appendNow(file: string, lines: readonly string[]): void {
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  const descriptor = openSync(file, "a", 0o600);
  try {
    // A killed process may have left half a line.
    writeSync(descriptor, `\n${lines.join("\n")}\n`);
  } finally {
    closeSync(descriptor);
  }
}
