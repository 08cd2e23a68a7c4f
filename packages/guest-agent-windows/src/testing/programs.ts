/** Programs and documents as a host asks for them. */
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import type { WindowsProcess } from "@uvm-shim/guest-wcow";
import type { WindowsProcessParameters } from "@uvm-shim/hcs-schema";

export function documentOf(root: string, more: object = {}): object {
  const Storage = { Layers: [], Path: root };
  return { SchemaVersion: { Major: 2, Minor: 1 }, Container: { Storage, ...more } };
}

export function asked(CommandLine: string, more: Partial<WindowsProcessParameters> = {}): WindowsProcessParameters {
  const pipes = { CreateStdInPipe: false, CreateStdOutPipe: true, CreateStdErrPipe: true, EmulateConsole: false };
  return { CommandLine, ...pipes, ...more };
}

export async function finished(process: WindowsProcess): Promise<{ code: number; output: string; errors: string }> {
  const read = (stream: WindowsProcess["stdout"]): Promise<string> =>
    stream === undefined ? Promise.resolve("") : text(stream);
  const [code, output, errors] = await Promise.all([process.wait(), read(process.stdout), read(process.stderr)]);
  await process.close();
  return { code, output, errors };
}

/** What moves the cursor of a terminal. */
const controlSequences = new RegExp(`${String.fromCharCode(27)}\\[[0-9;?]*[A-Za-z]`, "g");

/** What a program writes until it matches; the rest stays to be read. */
export function says(stream: Readable | undefined, pattern: RegExp): Promise<string> {
  if (stream === undefined) throw new Error("the program has no output");
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let said = "";
  const onData = (chunk: Buffer): void => {
    said += chunk.toString("latin1");
    const plain = said.replaceAll(controlSequences, "");
    if (!pattern.test(plain)) return;
    stream.off("data", onData).off("end", onEnd).pause();
    resolve(plain);
  };
  const onEnd = (): void => reject(new Error(`the output ended with ${JSON.stringify(said)}: expected ${pattern}`));
  stream.on("data", onData).once("end", onEnd).resume();
  return promise;
}
