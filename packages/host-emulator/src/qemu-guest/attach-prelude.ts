/** What a 9p client says before it has attached to a share (9P2000.L, Documentation/filesystems/9p.rst of Linux). */

const headerBytes = 7;
const version = 100;
const attach = 104;
/** fid and afid, before the two texts. */
const attachTextsAt = headerBytes + 8;
const lengthBytes = 2;
/** Version and attachment are short, but for names. */
const longestMessage = 8192;

/** What a piece of the prelude makes known. */
export interface PreludePart {
  /** For the server; what comes after the attachment is not looked at. */
  readonly forward: Buffer;
  /** The name that the client attaches to, once it is known. */
  readonly attached?: string;
}

/**
 * Replaces the name of the first attachment by a path of the server, which finds shares by paths, where guests name them.
 * The server's answers are not the prelude's, as they stay the same.
 */
export class AttachPrelude {
  readonly #pathOf: (name: string) => string;
  #pending = Buffer.alloc(0);
  #isOver = false;

  constructor(pathOf: (name: string) => string) {
    this.#pathOf = pathOf;
  }

  /** Throws an error for what no client begins with. */
  push(chunk: Buffer): PreludePart {
    if (this.#isOver) return { forward: chunk };
    this.#pending = Buffer.concat([this.#pending, chunk]);
    const forward: Buffer[] = [];
    for (let message = this.#take(); message !== undefined; message = this.#take()) {
      if (message.readUInt8(4) === version) {
        forward.push(message);
        continue;
      }
      const { name, rewritten } = rewrite(message, this.#pathOf);
      this.#isOver = true;
      return { forward: Buffer.concat([...forward, rewritten, this.#pending]), attached: name };
    }
    return { forward: Buffer.concat(forward) };
  }

  #take(): Buffer | undefined {
    if (this.#pending.length < headerBytes) return undefined;
    const size = this.#pending.readUInt32LE();
    const type = this.#pending.readUInt8(4);
    if ((type !== version && type !== attach) || size < headerBytes || size > longestMessage) {
      throw new Error(`the guest began 9p with a message of type ${type} and ${size} bytes: expected an attachment`);
    }
    if (this.#pending.length < size) return undefined;
    const message = this.#pending.subarray(0, size);
    this.#pending = this.#pending.subarray(size);
    return message;
  }
}

function rewrite(message: Buffer, pathOf: (name: string) => string) {
  const nameAt = endOfText(message, attachTextsAt);
  const restAt = endOfText(message, nameAt);
  const name = message.toString("utf8", nameAt + lengthBytes, restAt);
  const path = Buffer.from(pathOf(name));
  const length = Buffer.alloc(lengthBytes);
  length.writeUInt16LE(path.length);
  const rewritten = Buffer.concat([message.subarray(0, nameAt), length, path, message.subarray(restAt)]);
  rewritten.writeUInt32LE(rewritten.length);
  return { name, rewritten };
}

function endOfText(message: Buffer, at: number): number {
  const end = at + lengthBytes <= message.length ? at + lengthBytes + message.readUInt16LE(at) : message.length + 1;
  if (end <= message.length) return end;
  throw new Error("the guest attached by 9p with a text that exceeds its message");
}
