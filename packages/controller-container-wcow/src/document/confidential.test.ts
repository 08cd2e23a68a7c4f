import { expect, it } from "vitest";
import { memberAnnotations, PlanBench, resolved, type SpecificationParts } from "../testing/planning.ts";

async function specificationOf(parts: SpecificationParts): Promise<unknown> {
  const plan = await new PlanBench().with({ vm: { isConfidential: true } }).plan(parts);
  const document = plan.document(resolved(plan));
  expect(document).toMatchObject({ CWCOWHostedSystem: { SchemaVersion: { Major: 2, Minor: 1 } } });
  return "Spec" in document ? document.Spec : undefined;
}

const windows = { layerFolders: ["C:\\layers\\base", "C:\\layers\\ctr"], hyperv: {} };
const process = { user: { uid: 0, gid: 0 }, args: ["cmd.exe"], cwd: "C:\\" };

it("a confidential guest gets the specification with the root that it has", async () => {
  expect(await specificationOf({ root: { path: "rootfs" }, more: 1 })).toEqual({
    ociVersion: "1.1.0",
    process,
    root: { path: "C:\\root" },
    annotations: memberAnnotations,
    windows,
  });
});

it("it is written as policies are: without zeros, but with pointers to them", async () => {
  const resources = { cpu: { count: 0, affinity: [{ mask: 0, group: 1 }] }, memory: { limit: 0 }, storage: {} };
  const parts = {
    hostname: "",
    process: { user: { username: "" }, args: [], env: ["A="], terminal: false, consoleSize: { height: 1 } },
    mounts: [{ source: "C:\\data", destination: "C:\\in", options: [] }],
    windows: { resources, network: { networkNamespace: "n", allowUnqualifiedDNSQuery: false }, servicing: false },
  };
  const { consoleSize: _left, ...withoutSize } = parts.process;
  expect(await specificationOf({ ...parts, process: withoutSize })).toEqual({
    ociVersion: "1.1.0",
    process: { user: { uid: 0, gid: 0 }, env: ["A="], cwd: "" },
    root: { path: "C:\\root" },
    mounts: [{ source: "C:\\data", destination: "C:\\in" }],
    annotations: memberAnnotations,
    windows: {
      ...windows,
      resources: { cpu: { count: 0, affinity: [{ group: 1 }] }, memory: { limit: 0 }, storage: {} },
      network: { networkNamespace: "n" },
    },
  });
});

it("it has what the client wrote for other systems too", async () => {
  const more = {
    capabilities: { bounding: ["CAP_X"], ambient: [] },
    rlimits: [{ type: "RLIMIT_NOFILE", hard: 1 }],
    noNewPrivileges: true,
    apparmorProfile: "p",
    oomScoreAdj: 0,
    scheduler: { policy: "SCHED_OTHER", nice: 0, flags: [] },
    selinuxLabel: "",
    ioPriority: { class: "IOPRIO_CLASS_IDLE" },
    execCPUAffinity: { initial: "0", final: "" },
  };
  const uidMappings = [{ containerID: 1, size: 2 }];
  const written = await specificationOf({
    process: { ...process, ...more },
    mounts: [{ source: "C:\\data", destination: "C:\\in", uidMappings, gidMappings: [] }],
    hooks: { prestart: [{ path: "C:\\hook", args: ["a"], timeout: 0 }], poststop: [] },
  });
  expect(written).toMatchObject({
    process: {
      ...process,
      capabilities: { bounding: ["CAP_X"] },
      rlimits: [{ type: "RLIMIT_NOFILE", hard: 1, soft: 0 }],
      noNewPrivileges: true,
      apparmorProfile: "p",
      oomScoreAdj: 0,
      scheduler: { policy: "SCHED_OTHER" },
      ioPriority: { class: "IOPRIO_CLASS_IDLE", priority: 0 },
      execCPUAffinity: { initial: "0" },
    },
    mounts: [{ source: "C:\\data", destination: "C:\\in", uidMappings: [{ containerID: 1, hostID: 0, size: 2 }] }],
    hooks: { prestart: [{ path: "C:\\hook", args: ["a"], timeout: 0 }] },
  });
  expect(JSON.stringify(written)).not.toMatch(/ambient|nice|flags|selinuxLabel|gidMappings|poststop|"final"/);
});

it("it says nothing of a VM that only the pod's specification names", async () => {
  const bench = new PlanBench().with({ vm: { isConfidential: true }, runtimeOptions: {} });
  const plan = await bench.plan({ windows: { hyperv: undefined } });
  expect(plan.document(resolved(plan))).toMatchObject({ Spec: { windows: { layerFolders: windows.layerFolders } } });
  expect(plan.document(resolved(plan))).not.toHaveProperty("Spec.windows.hyperv");
});

it("it names assigned devices as the guest knows them", async () => {
  const devices = [{ id: "PCIP\\A", idType: "gpu" }];
  expect(await specificationOf({ windows: { devices } })).toMatchObject({
    windows: { devices: [{ id: "location 0", idType: "vpci-location-path" }] },
  });
});

it.each<[object, object]>([
  [{ args: ["powershell", "-c"] }, { args: ["cmd", "/c", "powershell", "-c"] }],
  [{ args: ["C:\\CMD.exe"] }, { args: ["C:\\CMD.exe"] }],
  [{ commandLine: "dir /s" }, { commandLine: "cmd /c dir /s" }],
  [{ commandLine: "cmd /c dir" }, { commandLine: "cmd /c dir" }],
])("it has host processes as they are run: %j as %j", async (given, expected) => {
  const annotations = {
    "microsoft.com/hostprocess-container": "true",
    "microsoft.com/hostprocess-inherit-user": "true",
  };
  expect(await specificationOf({ annotations, process: given })).toMatchObject({
    process: { ...expected, user: { username: "NT AUTHORITY\\SYSTEM" } },
  });
});
