import { readSync } from "node:fs";
import { ShimError } from "../errors.ts";
import { decodeAny, encodeAny, longestStartInput, type RuntimeOptions } from "./bootstrap.ts";

/** The number of bytes of runtime options on the standard input of the serving process. */
const lengthVariable = "UVM_SHIM_OPTIONS_BYTES";

/**
 * Runtime options may hold credentials, so `start` passes them to the serving process through a pipe: files,
 * environments and command lines are copied and displayed.
 */
export function prepareOptionsPipe(options: RuntimeOptions | undefined): {
  readonly variables: { readonly [name: string]: string | undefined };
  readonly bytes?: Buffer;
} {
  if (options === undefined) return { variables: { [lengthVariable]: undefined } };
  const bytes = encodeAny(options.typeUrl, options.value);
  return { variables: { [lengthVariable]: `${bytes.length}` }, bytes };
}

/** Reads the options that `start` passes, waiting for them; undefined when somebody runs the serving mode by hand. */
export function readOptionsPipe(nodeProcess: NodeJS.Process): RuntimeOptions | undefined {
  const text = nodeProcess.env[lengthVariable];
  delete nodeProcess.env[lengthVariable];
  if (text === undefined) return undefined;
  const length = Number(text);
  if (!/^[0-9]+$/.test(text) || length > longestStartInput) {
    const expected = `a byte count up to ${longestStartInput}`;
    throw new ShimError(
      "InvalidArgument",
      `invalid ${lengthVariable} of ${text.length} characters: expected ${expected}`,
    );
  }
  const bytes = Buffer.alloc(length);
  for (let filled = 0; filled < length; ) {
    const count = readSome(bytes, filled);
    if (count === 0) {
      const message = `runtime options are incomplete: start wrote ${filled} of ${length} bytes`;
      throw new ShimError("Unavailable", message);
    }
    filled += count;
  }
  return decodeAny(bytes);
}

function readSome(bytes: Buffer, from: number): number {
  try {
    return readSync(0, bytes, from, bytes.length - from, null);
  } catch (error) {
    // Windows reports the end of a pipe as an error.
    if ((error as NodeJS.ErrnoException).code === "EOF") return 0;
    throw error;
  }
}
