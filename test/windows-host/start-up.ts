import { statSync } from "node:fs";
import { WindowsMachine } from "./windows-machine.ts";
import { hasWine } from "./wine-environment.ts";

const RUNS = 5;

/** Size and start-up time of a shim's executable, in words. The time is that of `-v` under Wine, where Wine is there. */
export async function measureExecutable(program: string): Promise<string> {
  const size = `${(statSync(program).size / 2 ** 20).toFixed(1)} MiB`;
  if (!hasWine())
    return `${size}; start-up not measured, since Wine is not in the cache (npm run e2e:windows puts it there)`;
  await using machine = await WindowsMachine.start();
  const times: number[] = [];
  for (let run = 0; run < RUNS; run++) {
    const started = performance.now();
    const { status, stderr } = await machine.run({ program, args: ["-v"] });
    if (status !== 0) throw new Error(`${program} -v: exit code ${status}: ${stderr}`);
    times.push(performance.now() - started);
  }
  return `${size}; starts in ${Math.round(Math.min(...times))} ms under Wine`;
}
