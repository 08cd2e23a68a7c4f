/** For tests in a process that runs out of descriptors. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";

export interface FewDescriptors {
  /** The number of descriptors that the process may still open. */
  readonly free: number;
  /** The URL of the module under test, and the names that are imported from it. */
  readonly module: string;
  readonly names: readonly string[];
  /** Code that runs before the descriptors are used up, for what stays open after its first use. */
  readonly prepare: string;
  /** The body of an async function that returns the answer. `release()` frees all other descriptors. */
  readonly body: string;
}

export interface FewDescriptorsResult {
  readonly answer: unknown;
  /** The number of descriptors that the body has left open. */
  readonly left: number;
}

/** Evaluates a body in a new process that has only a few descriptors left. */
export function withFewDescriptors({ free, module, names, prepare, body }: FewDescriptors): FewDescriptorsResult {
  const program = `
    import { closeSync, openSync, readdirSync } from "node:fs";
    import { ${names.join(", ")} } from ${JSON.stringify(fileURLToPath(module))};
    const descriptors = () => readdirSync("/proc/self/fd").length;
    ${prepare}
    const before = descriptors();
    const fillers = [];
    try { for (;;) fillers.push(openSync("/dev/null", "r")); } catch {}
    const release = (count = fillers.length) => {
      for (const filler of fillers.splice(0, count)) closeSync(filler);
    };
    release(${free});
    const answer = await (async () => { ${body} })();
    release();
    console.log(JSON.stringify({ answer, left: descriptors() - before }));
    process.exit();`;
  const command = ["-c", 'ulimit -n 64 && exec "$0" "$@"', process.execPath, "--input-type=module", "--eval", program];
  const { stdout, stderr } = spawnSync("sh", command, { encoding: "utf8" });
  expect(stderr).toBe("");
  return JSON.parse(stdout) as FewDescriptorsResult;
}
