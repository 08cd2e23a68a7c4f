import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { OciLinuxResources } from "@uvm-shim/hcs-schema";
import { withMountNamespace } from "@uvm-shim/linux-calls";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { expect, it } from "vitest";
import type { Machine } from "../testing/machine.ts";
import { machineForSuite } from "../testing/suite-machine.ts";

describeWith("root", "crun", "runc", "busybox", "mkfs.ext4").each(["crun", "runc"] as const)(
  "limits of a container, with %s",
  (runtime) => {
    let machine: Machine;
    let containers = 0;

    machineForSuite(runtime, (booted) => {
      machine = booted;
    });

    /** A limit in the container's cgroup, in either version. */
    function limitOf(id: string, ...files: readonly string[]): string | undefined {
      return withMountNamespace(machine.init, () => {
        const folders = ["cpu", "pids", ""].map((name) => join("/sys/fs/cgroup", name, "containers", id));
        const found = folders.flatMap((folder) => files.map((file) => join(folder, file))).find(existsSync);
        return found && readFileSync(found, "utf8").trim().split(" ")[0]?.replace(/^-1$/, "max");
      });
    }
    const quotaOf = (id: string) => limitOf(id, "cpu.cfs_quota_us", "cpu.max");
    const processesOf = (id: string) => limitOf(id, "pids.max");

    async function running(resources: OciLinuxResources): Promise<string> {
      const id = `limited-${containers++}`;
      await machine.createContainer(id, { args: ["sleep", "1000"] }, { resources });
      await machine.execute(id);
      return id;
    }

    async function update(id: string, resources: OciLinuxResources): Promise<void> {
      const Settings = { Linux: resources };
      const Request = { RequestType: "Update" as const, ResourceType: "ContainerConstraints", Settings };
      await machine.client.request("modifySettings", id, { Request });
    }

    it.each([-1, 0, -2])("a CPU quota of %i means no limit", async (quota) => {
      expect(quotaOf(await running({ cpu: { quota, period: 100_000 } }))).toBe("max");
    });

    it("an update of the CPU quota to -1 removes it, and one to 0 leaves it as it is", async () => {
      const id = await running({ cpu: { quota: 20_000, period: 100_000 } });
      await update(id, { cpu: { quota: 0, shares: 512 } });
      expect(quotaOf(id)).toBe("20000");
      await update(id, { cpu: { quota: -1, period: 50_000 } });
      expect(quotaOf(id)).toBe("max");
    });

    it("-1 for memory and processes means no limit", async () => {
      const memory = { limit: -1, swap: -1, reservation: -1 };
      expect(processesOf(await running({ memory, pids: { limit: -1 } }))).toBe("max");
      const id = await running({ memory: { limit: 32 * 1024 * 1024 }, pids: { limit: 10 } });
      expect(processesOf(id)).toBe("10");
      await update(id, { memory, pids: { limit: -1 } });
      expect(processesOf(id)).toBe("max");
    });

    it.each([
      ["RLIMIT_NOFILE", 3],
      ["RLIMIT_FSIZE", 0],
    ])("rlimits too low for the runtime are reported with their field: %s of %i", async (type, limit) => {
      const rlimits = [{ type, hard: limit, soft: limit }];
      const id = `limited-${containers++}`;
      const failure = await machine.createContainer(id, { args: ["true"], rlimits }).then(
        () => "",
        (error: Error) => error.message,
      );
      // runc applies the limit of file sizes only once it has nothing more to write.
      if (runtime === "crun" || type === "RLIMIT_NOFILE") expect(failure).toContain("process.rlimits [");
      else expect(failure).toBe("");
    });

    it("a limit that the guest's kernel does not support is reported with its field", async () => {
      const id = await running({});
      const blockIO = { throttleReadBpsDevice: [{ major: 99, minor: 99, rate: 100 }] };
      const answer = await update(id, { blockIO }).then(
        () => "",
        (error: Error) => error.message,
      );
      // runc skips what it cannot write.
      expect(answer).toMatch(runtime === "crun" ? /OciSpecification\.linux\.resources\.blockIO \{/ : /^$/);
    });

    it("files of version 2 are refused in a guest with version 1, at the creation and in an update", async () => {
      const isVersion1 = withMountNamespace(machine.init, () => existsSync("/sys/fs/cgroup/cpu"));
      const unified = { "memory.high": "100000000" };
      const answer = (work: Promise<unknown>): Promise<string> =>
        work.then(
          () => "",
          (error: Error) => error.message,
        );
      const said = [await answer(running({ unified })), await answer(update(await running({}), { unified }))];
      for (const message of said) expect(message).toMatch(isVersion1 ? /unified \{/ : /^$/);
    });

    it("a script whose interpreter does not exist is refused at the creation", async () => {
      writeFileSync(join(machine.fixtures.rootfs, "bin/crlf"), "#!/bin/sh\r\necho\r\n", { mode: 0o755 });
      const id = `limited-${containers++}`;
      await expect(machine.createContainer(id, { args: ["crlf"] })).rejects.toThrow(
        'exec /bin/crlf: no such file or directory: its interpreter "/bin/sh\\r" does not exist',
      );
    });
  },
);
