/** Frames between the agent and the starter of one program, whose kinds `starter/starter.c` explains. */
import type { Readable } from "node:stream";

export interface StarterFrame {
  readonly kind: string;
  readonly payload: Buffer;
}

const headLength = 5;

export function encodeFrame(kind: string, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(headLength);
  head.write(kind, "latin1");
  head.writeUInt32LE(payload.length, 1);
  return Buffer.concat([head, payload]);
}

export function encodeNumber(kind: string, number: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32LE(number);
  return encodeFrame(kind, payload);
}

/** Cuts what the starter writes into frames. */
export async function* readFrames(stream: Readable): AsyncGenerator<StarterFrame, void> {
  let bytes = Buffer.alloc(0);
  for await (const chunk of stream) {
    bytes = Buffer.concat([bytes, chunk as Buffer]);
    while (bytes.length >= headLength) {
      const end = headLength + bytes.readUInt32LE(1);
      if (bytes.length < end) break;
      yield { kind: bytes.toString("latin1", 0, 1), payload: bytes.subarray(headLength, end) };
      bytes = bytes.subarray(end);
    }
  }
}

/** How a program is to be started. */
export interface ProgramStart {
  readonly commandLine: string;
  /** Empty: the folder of the starter. */
  readonly workingDirectory: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly hasInput: boolean;
  readonly hasOutput: boolean;
  readonly hasError: boolean;
  /** With the size in characters, 0 for the usual one; undefined for pipes. */
  readonly console: { readonly width: number; readonly height: number } | undefined;
}

const flags = { input: 1, output: 2, error: 4, console: 8 };

export function encodeStart(start: ProgramStart): Buffer {
  const { console, environment } = start;
  const numbers = Buffer.alloc(6);
  numbers.writeUInt16LE(
    (start.hasInput ? flags.input : 0) |
      (start.hasOutput ? flags.output : 0) |
      (start.hasError ? flags.error : 0) |
      (console === undefined ? 0 : flags.console),
  );
  numbers.writeUInt16LE(console?.width ?? 0, 2);
  numbers.writeUInt16LE(console?.height ?? 0, 4);
  const variables = Object.entries(environment).map(([name, value]) => `${name}=${value}\0`);
  const texts = [`${start.commandLine}\0`, `${start.workingDirectory}\0`, `${variables.join("")}\0`];
  const fields = [numbers, ...texts.map((text) => Buffer.from(text, "utf16le"))];
  return encodeFrame("S", Buffer.concat(fields.flatMap((field) => [lengthOf(field), field])));
}

function lengthOf({ length }: Buffer): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(length);
  return bytes;
}
