/** `npm run faults [-- <pattern>]`: every failure of every call to host and guest, on fakes that keep the host's contract. */
import { problemsOf, runScenario, type ScenarioResult, summary } from "./harness.ts";
import { scenarios } from "./scenarios.ts";

const pattern = new RegExp(process.argv[2] ?? "");
const results: ScenarioResult[] = [];
for (const scenario of scenarios) {
  if (pattern.test(`${scenario.controller}, ${scenario.name}`)) results.push(await runScenario(scenario));
}
const problems = problemsOf(results);
for (const problem of problems) process.stdout.write(`${problem}\n`);
process.stdout.write(`${summary(results)}\n`);
process.exitCode = problems.length === 0 && results.length > 0 ? 0 : 1;
