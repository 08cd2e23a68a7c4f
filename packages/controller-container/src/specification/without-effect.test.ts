import { expect, it } from "vitest";
import { ContainerBench, overlayMount, specification } from "../testing/index.ts";

const basic = { args: ["sh"], cwd: "/" };

async function warned(changes: object): Promise<readonly string[]> {
  return (await new ContainerBench().created([overlayMount], specification({ hostname: "", ...changes }))).warnings;
}

it("hooks, AppArmor and SELinux of a specification cause warnings by name", async () => {
  const process = { ...basic, apparmorProfile: "cri-containerd.apparmor.d", selinuxLabel: "system_u" };
  const hooks = { prestart: [], createRuntime: [{ path: "/bin/hook" }], poststop: [{ path: "/bin/hook" }] };
  const ofHost = "has no effect: it refers to the host's kernel, and the guest has its own";
  expect(await warned({ process, hooks })).toEqual([
    "config.json: hooks.createRuntime has no effect: hooks are not run",
    "config.json: hooks.poststop has no effect: hooks are not run",
    `config.json: process.apparmorProfile ${ofHost}`,
    `config.json: process.selinuxLabel ${ofHost}`,
  ]);
});

it.each([
  [{ process: { ...basic, scheduler: { policy: "SCHED_BATCH" } } }, "process.scheduler"],
  [{ process: { ...basic, execCPUAffinity: { initial: "0" } } }, "process.execCPUAffinity"],
  [{ linux: { netDevices: { eth0: { name: "a" } } } }, "linux.netDevices"],
  [{ linux: { memoryPolicy: { mode: "MPOL_BIND" } } }, "linux.memoryPolicy"],
  [{ linux: { resources: { network: { classID: 1 } } } }, "linux.resources.network"],
  [{ linux: { personality: { domain: "LINUX32" } } }, "linux.personality"],
  [{ linux: { timeOffsets: { monotonic: { secs: 1 } } } }, "linux.timeOffsets"],
  [{ linux: { resources: { blockIO: { weight: 10 } } } }, "linux.resources.blockIO"],
  [{ linux: { resources: { hugepageLimits: [{ pageSize: "2MB", limit: 4096 }] } } }, "linux.resources.hugepageLimits"],
  [{ mounts: [{ destination: "/t", type: "tmpfs", uidMappings: [{ size: 1 }] }] }, "mounts[0].uidMappings"],
])("a field that does not cross causes a warning by name: %j", async (changes, field) => {
  expect(await warned(changes)).toEqual([`config.json: ${field} has no effect: it is not passed to the guest`]);
});

it("empty fields cause no warning", async () => {
  const process = { ...basic, apparmorProfile: "", scheduler: null };
  const resources = { blockIO: {}, hugepageLimits: [{ pageSize: "2MB", limit: 0 }], rdma: null };
  expect(await warned({ process, hooks: { prestart: [] }, linux: { resources, mountLabel: "" } })).toEqual([]);
});
