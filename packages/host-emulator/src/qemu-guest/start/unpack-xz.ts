import { once } from "node:events";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { startProgram } from "@uvm-shim/child-processes";
import { findProgram } from "../../process-guest/guest-image.ts";
import type { ProgramInstallation } from "./installation.ts";
import type { XzUnpacking } from "./kernel-payload.ts";

/** Bytes of what the program says that an error has. */
const mostSaid = 500;

/** Unpacks with the program `xz` beside QEMU, or that of this machine. */
export function xzOf({ program, libraryFolder }: ProgramInstallation): XzUnpacking {
  return async (packed, mostBytes) => {
    const beside = join(dirname(program), "xz");
    const isBeside = libraryFolder !== undefined && existsSync(beside);
    const xz = isBeside ? beside : findProgram("xz");
    if (xz === undefined) throw new Error("program xz not found: install the Debian package xz-utils");
    return await unpack(xz, isBeside ? { LD_LIBRARY_PATH: libraryFolder } : {}, packed, mostBytes);
  };
}

async function unpack(
  xz: string,
  env: Readonly<Record<string, string>>,
  packed: Uint8Array,
  mostBytes: number,
): Promise<Buffer> {
  const child = await startProgram(xz, ["--decompress", "--stdout"], { env, stdio: ["pipe", "pipe", "pipe"] });
  const ended = once(child, "close");
  const [input, output, errors] = [child.stdin as Writable, child.stdout as Readable, child.stderr as Readable];
  // A program that has ended early says why.
  input.on("error", () => {});
  input.end(packed);
  const said = text(errors);
  const kernel = Buffer.allocUnsafeSlow(mostBytes);
  let length = 0;
  output.on("data", (chunk: Buffer) => {
    if (length + chunk.length > mostBytes) child.kill("SIGKILL");
    else length += chunk.copy(kernel, length);
  });
  const [code, signal] = await ended;
  if (code === 0) return kernel.subarray(0, length);
  const reason = (await said).trim().slice(0, mostSaid);
  throw new Error(`xz ended with ${signal ?? `exit code ${code}`}${reason === "" ? "" : `: ${reason}`}`);
}
