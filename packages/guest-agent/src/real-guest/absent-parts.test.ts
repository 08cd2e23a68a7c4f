/** Parts of a specification that the real guest dereferences without a check. */
import { rmSync } from "node:fs";
import { infiniteTimeout, uvmContainerId } from "@uvm-shim/gcs-bridge";
import type { OciSpec } from "@uvm-shim/hcs-schema";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Fixtures, makeFixtures } from "../testing/fixtures.ts";
import { Machine } from "../testing/machine.ts";

describeWith(
  "root",
  "crun",
  "busybox",
  "mkfs.ext4",
)("parts of a specification whose absence crashes the real guest", () => {
  let fixtures: Fixtures;

  beforeAll(async () => {
    fixtures = await makeFixtures("crun");
  });

  afterAll(() => rmSync(fixtures.folder, { recursive: true }));

  /** Makes a container in a new machine, which must crash; returns its console. */
  async function lastWords(make: (machine: Machine) => Promise<void>): Promise<string> {
    const machine = await Machine.boot(fixtures);
    try {
      await expect(make(machine)).rejects.toThrow();
      expect(await machine.off).toBe(1);
      return machine.console;
    } finally {
      await machine.powerOff();
      await machine.removeCgroups();
    }
  }

  const withoutResources = (machine: Machine, linux: OciSpec["linux"], more: Partial<OciSpec> = {}) =>
    machine.createContainer("box", { args: ["true"] }, { ...linux, resources: undefined } as never, more);

  it("include linux.resources for a workload with a device node", async () => {
    const words = await lastWords((machine) => withoutResources(machine, { devices: [{ path: "/dev/null" }] }));
    expect(words).toContain("container box: OciSpecification.linux.resources");
  });

  it("include linux.resources for a privileged workload", async () => {
    const annotations = { "io.microsoft.virtualmachine.lcow.privileged": "true" };
    const words = await lastWords((machine) => withoutResources(machine, {}, { annotations }));
    expect(words).toContain("container box: OciSpecification.linux.resources");
  });

  it.each(["linux", "process", "root"])("include %s for every container", async (part) => {
    const words = await lastWords((machine) => machine.createContainer("box", {}, {}, { [part]: undefined }));
    expect(words).toContain(`container box: OciSpecification.${part} is absent`);
  });

  it("do not include linux.resources for a container that needs no device rules", async () => {
    const machine = await Machine.boot(fixtures);
    try {
      await withoutResources(machine, { sysctl: {} });
      const { exit, pid } = await machine.execute("box");
      expect(await exit).toBe(0);
      const again = { ProcessId: pid, TimeoutInMs: infiniteTimeout };
      expect(await machine.client.request("waitForProcess", "box", again)).toMatchObject({ ExitCode: 0 });
      expect(await machine.client.request("dumpStacks", uvmContainerId, {})).toHaveProperty("GuestStacks");
    } finally {
      await machine.powerOff();
      await machine.removeCgroups();
    }
  });
});
