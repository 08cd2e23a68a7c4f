import { rmSync } from "node:fs";
import { afterAll, beforeAll } from "vitest";
import { type Fixtures, makeFixtures } from "./fixtures.ts";
import { Machine } from "./machine.ts";

/**
 * Boots a machine for all tests of a suite, and removes it after them.
 *
 * @param hasBooted receives the machine before the first test.
 * @param prepare changes the files that it is made of.
 */
export function machineForSuite(
  runtime: "crun" | "runc",
  hasBooted: (machine: Machine) => void | Promise<void>,
  prepare: (fixtures: Fixtures) => void = () => {},
): void {
  let fixtures: Fixtures | undefined;
  let machine: Machine | undefined;
  beforeAll(async () => {
    fixtures = await makeFixtures(runtime);
    prepare(fixtures);
    machine = await Machine.boot(fixtures);
    await hasBooted(machine);
  });
  afterAll(async () => {
    await machine?.powerOff();
    await machine?.removeCgroups();
    if (fixtures !== undefined) rmSync(fixtures.folder, { recursive: true });
  });
}
