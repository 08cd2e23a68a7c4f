/** For tests of what happens where the descriptors of a process run out. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";

export interface FewDescriptors {
  /** How many the process may open beside those that it has. */
  readonly free: number;
  /** The module under test, by its URL, with the names that are taken of it. */
  readonly module: string;
  readonly names: readonly string[];
  /** Done before the others are used up: what opens for good at its first use. */
  readonly prepare: string;
  /** The body of an asynchronous function: what it returns is the answer. `release()` gives it all the others. */
  readonly body: string;
}

export interface FewDescriptorsResult {
  readonly answer: unknown;
  /** How many descriptors there are more than before the body. */
  readonly left: number;
}

/** Evaluates a body in a process of its own that has used up its descriptors but for a few. */
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
