import { rmSync } from "node:fs";
import { afterAll, beforeAll } from "vitest";
import { type Fixtures, makeFixtures } from "./fixtures.ts";
import { Machine } from "./machine.ts";

/**
 * Boots a machine that all tests of a suite have in common, and takes it away after them.
 *
 * @param hasBooted is given it before the first of them.
 * @param prepare changes what it is made of.
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
