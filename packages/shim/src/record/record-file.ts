import { closeSync, mkdirSync, openSync, renameSync, rmSync, statSync, writeSync } from "node:fs";
import { type FileHandle, mkdir, open, rm, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { type OmittedLine, parseRecordLine } from "./lines.ts";

/** In bytes; `waiting` in characters, for a disk that is slower than what is observed. */
export const fileBounds = { all: 1024 * 1024, beginning: 256 * 1024, end: 256 * 1024, waiting: 1024 * 1024 };

/** Lines that wait this long are written together; a shim that is killed loses them. In milliseconds. */
const gatheringMilliseconds = 20;

/** What a `RecordFile` is made from. */
export interface RecordFileOptions {
  readonly path: string;
  /** Makes the folder in which those of the namespaces are, if others could have made it first. */
  readonly makeFolder?: () => Promise<void>;
  readonly now: () => Date;
  readonly bounds?: Partial<typeof fileBounds>;
  /** Told once, of a file that cannot be written. Recording goes on in memory. */
  readonly onProblem: (error: unknown) => void;
}

/** A pod's record on disk. Written beside the event loop; what has been written survives the shim. */
export class RecordFile {
  readonly #options: RecordFileOptions;
  readonly #bounds: typeof fileBounds;
  #waiting = "";
  #writing: Promise<void> | undefined;
  #isMade = false;
  /** Its own file, also where a successor has made another one at the same path. */
  #handle: FileHandle | undefined;
  #isClosing = false;
  /** Ends the wait for more lines. */
  #hurry: () => void = () => {};
  #size = 0;
  #isOver = false;

  constructor(options: RecordFileOptions) {
    this.#options = options;
    this.#bounds = { ...fileBounds, ...options.bounds };
  }

  get path(): string {
    return this.#options.path;
  }

  add(line: string): void {
    if (this.#isOver) return;
    this.#waiting += `${line}\n`;
    if (this.#waiting.length > this.#bounds.waiting) {
      this.#waiting = shortened(this.#waiting, this.#bounds, this.#options.now());
    }
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
      const { path: file } = this.#options;
      const descriptor = this.#handle?.fd ?? (this.#isMade ? openSync(file, "a", 0o600) : create(file));
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
    this.#isClosing = true;
    this.#hurry();
    await this.#writing;
    const isOwn = await this.#isOwn();
    await this.close();
    if (isOwn) await rm(this.#options.path, { force: true });
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
        if (this.#size > this.#bounds.all) await this.#shorten(this.#handle);
      }
      if (this.#isOver) await this.#closeHandle();
    } catch (error) {
      if (!this.#isOver) this.#options.onProblem(error);
      this.#isOver = true;
      this.#waiting = "";
    } finally {
      this.#writing = undefined;
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

  /** While its handle is open, no other file can have its number. */
  async #isOwn(): Promise<boolean> {
    const own = await this.#handle?.stat();
    const there = await stat(this.#options.path).catch(() => undefined);
    return own !== undefined && own.ino === there?.ino;
  }

  async #create(): Promise<FileHandle> {
    const { path: file, makeFolder } = this.#options;
    await makeFolder?.();
    await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
    // At once: what `closeNow` has written meanwhile must not be removed again.
    if (!this.#isOver) closeSync(create(file));
    this.#isMade = true;
    return await open(file, "a+", 0o600);
  }

  async #shorten(handle: FileHandle): Promise<void> {
    const { path: file, now } = this.#options;
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(this.#size), 0, this.#size, 0);
    const text = shortened(buffer.toString("utf8", 0, bytesRead), this.#bounds, now());
    const next = newOf(file);
    try {
      await writeFile(next, text, { mode: 0o600 });
      if (!(await this.#isOwn())) this.#isOver = true;
      // Windows replaces no file that is open.
      await this.#closeHandle();
      // At once: what `closeNow` has written meanwhile must not be replaced.
      if (this.#isOver) rmSync(next, { force: true });
      else renameSync(next, file);
      this.#size = Buffer.byteLength(text);
    } catch (error) {
      // On a full disk, what was begun of it would stay for good.
      await rm(next, { force: true }).catch(() => {});
      throw error;
    } finally {
      if (!this.#isOver) this.#handle ??= await open(file, "a+", 0o600);
    }
  }
}

/** Keeps the beginning and the end, with a line between them that says how many were left out. */
export function shortened(text: string, bounds: Pick<typeof fileBounds, "beginning" | "end">, now: Date): string {
  const lines = text.trimEnd().split("\n");
  const marks = lines.map(omittedIn);
  const mark = marks.findIndex((omitted) => omitted > 0);
  const first = mark === -1 ? within(lines, bounds.beginning) : mark;
  const last = lines.length - within(lines.slice(first).toReversed(), bounds.end);
  const omitted: OmittedLine = {
    ...{ seq: seqOf(lines[last] ?? lines.at(-1)), time: now.toISOString(), type: "omitted" },
    lines: marks.slice(first, last).reduce((sum, before) => sum + Math.max(1, before), 0),
  };
  return `${[...lines.slice(0, first), JSON.stringify(omitted), ...lines.slice(last)].join("\n")}\n`;
}

/** How many lines a line stands for; 0 for one that stands for itself. */
function omittedIn(line: string): number {
  const parsed = line.includes('"omitted"') ? parseRecordLine(line) : undefined;
  return parsed?.type === "omitted" ? parsed.lines : 0;
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

/** Where the shortened text of a record is before it takes the record's place. A shim that is killed may leave it. */
export function newOf(file: string): string {
  return `${file}.new`;
}

function create(file: string): number {
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  for (const left of [file, newOf(file)]) rmSync(left, { force: true });
  return openSync(file, "ax", 0o600);
}

/** Appends to a record that another process wrote, or begins one; also in place of one that has grown too long. */
export function appendNow(file: string, lines: readonly string[], longest = fileBounds.all): void {
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  const { size } = statSync(file, { throwIfNoEntry: false }) ?? { size: 0 };
  const descriptor = openSync(file, size > longest ? "w" : "a", 0o600);
  try {
    // A killed process may have left half a line.
    writeSync(descriptor, `\n${lines.join("\n")}\n`);
  } finally {
    closeSync(descriptor);
  }
}
