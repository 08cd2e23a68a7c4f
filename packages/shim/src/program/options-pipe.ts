import { readSync } from "node:fs";
import { ShimError } from "../errors.ts";
import { decodeAny, encodeAny, longestStartInput, type RuntimeOptions } from "./bootstrap.ts";

/** Says how many bytes of runtime options the serving process finds on its standard input. */
const lengthVariable = "UVM_SHIM_OPTIONS_BYTES";

/**
 * Options may hold credentials: they go from `start` to the serving process through a pipe, so that neither a file nor an
 * environment or a command line, which are copied and shown, has them.
 */
export function optionsToGive(options: RuntimeOptions | undefined): {
  readonly variables: { readonly [name: string]: string | undefined };
  readonly bytes?: Buffer;
} {
  if (options === undefined) return { variables: { [lengthVariable]: undefined } };
  const bytes = encodeAny(options.typeUrl, options.value);
  return { variables: { [lengthVariable]: `${bytes.length}` }, bytes };
}

/** Those that `start` gives; none when the serving mode was run by hand. Waits for them, they are on their way. */
export function givenOptions(host: NodeJS.Process): RuntimeOptions | undefined {
  const told = host.env[lengthVariable];
  delete host.env[lengthVariable];
  if (told === undefined) return undefined;
  const length = Number(told);
  if (!/^[0-9]+$/.test(told) || length > longestStartInput) {
    const expected = `a number of bytes up to ${longestStartInput}`;
    throw new ShimError("InvalidArgument", `${lengthVariable} has ${told.length} characters, expected ${expected}`);
  }
  const bytes = Buffer.alloc(length);
  for (let filled = 0; filled < length; ) {
    const count = readSome(bytes, filled);
    if (count === 0) {
      const message = `start gave ${filled} of ${length} bytes of runtime options and ended`;
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
    // Windows tells the end of a pipe as an error.
    if ((error as NodeJS.ErrnoException).code === "EOF") return 0;
    throw error;
  }
}
