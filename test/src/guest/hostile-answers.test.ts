/** Answers of a hostile guest, taken by a host whose memory is limited, from the bytes to what a client is answered. */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { attackNames, type Outcome } from "./hostile-answers.ts";

const directory = mkdtempSync(join(tmpdir(), "hostile-answers-"));
const program = join(directory, "main.mjs");

beforeAll(async () => {
  const entryPoint = join(import.meta.dirname, "hostile-answers.ts");
  await build({ entryPoints: [entryPoint], bundle: true, platform: "node", format: "esm", outfile: program });
});
afterAll(() => rmSync(directory, { recursive: true }));

/** 4 GB of addresses, most of which Node takes for itself, and 64 MB of objects. */
async function attacked(name: string, signal: AbortSignal): Promise<Outcome> {
  const limited = 'ulimit -v 4000000; exec "$@"';
  const node = [process.execPath, "--max-old-space-size=64", program, name];
  const { stdout } = await promisify(execFile)("sh", ["-c", limited, "sh", ...node], { signal, killSignal: "SIGKILL" });
  return JSON.parse(stdout);
}

const invalid = "GcsError: GCS getProperties c: invalid answer from the guest: ";

describe("a guest's answer, taken by a host with little memory", () => {
  const cases: { readonly [name: string]: readonly [came: number | string, isBridgeOpen: boolean] } = {
    // The message has its empty part `memory`, and nothing of what stood in it.
    "bytes for a message": [2, true],
    "many fields": [`${invalid}Properties: expected at most 16384 fields`, true],
    "many levels": [`${invalid}Properties: expected at most 16 levels`, true],
    "many processes": [`${invalid}Properties: expected at most 32768 list elements`, true],
    "empty processes": [`${invalid}Properties: expected at most 32768 list elements`, true],
    "records of errors": [`${invalid}body of 3145761 bytes, expected at most 2097152`, true],
    "a notification of empty objects": [
      "GcsError: GCS getProperties c: the bridge is closed: GCS: invalid notification from the guest: body of 3145779 bytes, expected at most 16384",
      false,
    ],
    // Passed over, and then the answer.
    "answers to nothing": [4, true],
  };

  it.for(Object.entries(cases))("of %s", async ([name, [came, isBridgeOpen]], { signal }) => {
    const outcome = await attacked(name, signal);
    expect(outcome).toMatchObject({ came, isBridgeOpen });
    expect(outcome.mostMebibytes).toBeLessThan(200);
  });

  it("is tried in every way that the guest has", () => {
    expect(Object.keys(cases)).toEqual(attackNames);
  });
});
