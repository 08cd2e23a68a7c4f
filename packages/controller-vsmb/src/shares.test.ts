import { posixPaths } from "@uvm-shim/lifecycle";
import { ScriptedCalls, scriptedError } from "@uvm-shim/lifecycle/testing";
import { describe, expect, it } from "vitest";
import type { ShareConfig } from "./index.ts";
import { vsmbOn } from "./testing/index.ts";

const root = "\\\\?\\VMSMB\\VSMB-{dcc079ae-60ba-4d07-847c-3493609c0870}";
const data: ShareConfig = { hostPath: "C:\\data", kind: "directory", readOnly: true };
const file = (name: string, readOnly = true): ShareConfig => ({
  hostPath: `C:\\data\\${name}`,
  kind: "file",
  readOnly,
});
const readOnlyOptions = { ReadOnly: true, ShareRead: true, CacheIo: true, PseudoOplocks: true };
const fileOptions = { RestrictFileAccess: true, SingleFileMapping: true };

type Vsmb = ReturnType<typeof vsmbOn>["vsmb"];

async function mapped(vsmb: Vsmb, config: ShareConfig): Promise<{ readonly id: string; readonly path: string }> {
  const id = await vsmb.reserve(config);
  return { id, path: await vsmb.mapToGuest(id) };
}

describe("one directory", () => {
  it("is added under the first name, and removed where it is not mapped directly", async () => {
    const { vm, vsmb } = vsmbOn(undefined, { noDirectMap: true });
    const { id, path } = await mapped(vsmb, data);
    expect(path).toBe(`${root}\\s1`);
    expect(vsmb.shares).toEqual([{ hostPath: "C:\\data", name: "s1", allowedFiles: [], holders: 1, state: "Added" }]);
    await vsmb.unmapFromGuest(id);
    expect(vm.script.names).toEqual(["addVsmbShare", "removeVsmbShare"]);
    expect(vm.shares.size).toBe(0);
    expect(vsmb.shares).toEqual([]);
  });

  it("stays without users where it may be mapped directly, and is used again", async () => {
    const { vm, vsmb } = vsmbOn();
    const first = await mapped(vsmb, data);
    await vsmb.unmapFromGuest(first.id);
    expect(vsmb.shares).toMatchObject([{ name: "s1", holders: 0, state: "Added" }]);
    const second = await mapped(vsmb, { ...data, hostPath: "c:/DATA/" });
    expect(second.path).toBe(first.path);
    expect(vsmb.shares).toMatchObject([{ holders: 1 }]);
    expect(vm.script.names).toEqual(["addVsmbShare"]);
  });

  it.each<[string, ShareConfig, object, object]>([
    ["read-only", data, {}, readOnlyOptions],
    ["writable", { ...data, readOnly: false }, {}, {}],
    ["a layer", { ...data, takeBackupPrivilege: true }, {}, { ...readOnlyOptions, TakeBackupPrivilege: true }],
    ["without direct mapping", data, { noDirectMap: true }, { ...readOnlyOptions, NoDirectmap: true }],
    [
      "on a file system without ids of files",
      { ...data, readOnly: false },
      { refusesDirectMap: async (path: string) => path === "C:\\data" },
      { NoDirectmap: true },
    ],
    ["on a file system with them", data, { refusesDirectMap: async () => false }, readOnlyOptions],
  ])("is told to the host with its options: %s", async (_, config, options, expected) => {
    const { vm, vsmb } = vsmbOn(undefined, options);
    await mapped(vsmb, config);
    expect([...vm.shares.values()]).toEqual([{ Name: "s1", Path: "C:\\data", Options: expected }]);
  });

  it("is told by its clean path", async () => {
    const { vm, vsmb } = vsmbOn();
    await mapped(vsmb, { ...data, hostPath: "C:/layers/./x/../Base/" });
    expect(vm.shares.get("s1")).toMatchObject({ Path: "C:\\layers\\Base" });
  });

  it("can be mapped and unmapped repeatedly", async () => {
    const { vm, vsmb } = vsmbOn(undefined, { noDirectMap: true });
    const id = await vsmb.reserve(data);
    expect(await vsmb.mapToGuest(id)).toBe(await vsmb.mapToGuest(id));
    await Promise.all([vsmb.unmapFromGuest(id), vsmb.unmapFromGuest(id)]);
    await vsmb.unmapFromGuest(id);
    await vsmb.unmapFromGuest("never reserved");
    expect(vm.script.calls).toHaveLength(2);
    await expect(vsmb.mapToGuest(id)).rejects.toMatchObject({ code: "NotFound" });
  });

  it("is not touched when a reservation is given back unused", async () => {
    const { vm, vsmb } = vsmbOn();
    await vsmb.unmapFromGuest(await vsmb.reserve(data));
    expect(vm.script.calls).toEqual([]);
    expect(vsmb.shares).toEqual([]);
  });
});

describe("sharing", () => {
  it.each<[string, ShareConfig]>([
    ["another case", { ...data, hostPath: "c:\\DATA" }],
    ["slashes", { ...data, hostPath: "C:/data/" }],
    ["a detour", { ...data, hostPath: "C:\\other\\..\\data" }],
    ["a literal prefix", { ...data, hostPath: "\\\\?\\C:\\data" }],
    ["a default spelled out", { ...data, takeBackupPrivilege: false }],
  ])("gives one share to two spellings: %s", async (_, other) => {
    const { vsmb } = vsmbOn();
    const paths = [(await mapped(vsmb, data)).path, (await mapped(vsmb, other)).path];
    expect(paths).toEqual([`${root}\\s1`, `${root}\\s1`]);
    expect(vsmb.shares).toMatchObject([{ holders: 2 }]);
  });

  it.each<[string, ShareConfig]>([
    ["writable", { ...data, readOnly: false }],
    ["as a layer", { ...data, takeBackupPrivilege: true }],
    ["by its files", file("hosts")],
    ["below", { ...data, hostPath: "C:\\data\\hosts" }],
  ])("makes another share for the directory %s", async (_, other) => {
    const { vsmb } = vsmbOn();
    await mapped(vsmb, data);
    expect((await mapped(vsmb, other)).path).toContain(`${root}\\s2`);
  });

  it("compares by the host's rules", async () => {
    const { vsmb } = vsmbOn(undefined, { paths: posixPaths });
    await mapped(vsmb, { ...data, hostPath: "/data" });
    expect((await mapped(vsmb, { ...data, hostPath: "/Data" })).path).toBe(`${root}\\s2`);
    expect((await mapped(vsmb, { ...data, kind: "file", hostPath: "/data/hosts" })).path).toBe(`${root}\\s3\\hosts`);
  });

  it("removes a share with its last user, however often one gives it back", async () => {
    const { vm, vsmb } = vsmbOn(undefined, { noDirectMap: true });
    const [first, second] = [await mapped(vsmb, data), await mapped(vsmb, data)];
    await Promise.all([vsmb.unmapFromGuest(first.id), vsmb.unmapFromGuest(first.id)]);
    expect(vm.shares.size).toBe(1);
    await vsmb.unmapFromGuest(second.id);
    expect(vm.shares.size).toBe(0);
  });

  it("counts names in hexadecimal, and leaves out those of the document", async () => {
    const { vsmb } = vsmbOn(undefined, { names: ["os", "S2", "sb"] });
    const names: string[] = [];
    for (let number = 0; number < 15; number++) {
      const { path } = await mapped(vsmb, { ...data, hostPath: `C:\\${number}` });
      names.push(path.slice(root.length + 1));
    }
    expect(names.join(" ")).toBe("s1 s3 s4 s5 s6 s7 s8 s9 sa sc sd se sf s10 s11");
  });

  it("never uses a name twice", async () => {
    const { vsmb } = vsmbOn(undefined, { noDirectMap: true });
    await vsmb.unmapFromGuest((await mapped(vsmb, data)).id);
    expect((await mapped(vsmb, data)).path).toBe(`${root}\\s2`);
  });

  it("maps anew for who reserved it while the host removed it", async () => {
    const { vm, vsmb } = vsmbOn(undefined, { noDirectMap: true });
    const first = await mapped(vsmb, data);
    const unmapping = vsmb.unmapFromGuest(first.id);
    await Promise.resolve();
    const second = await vsmb.reserve(data);
    await unmapping;
    const path = await vsmb.mapToGuest(second);
    expect(vm.canOpen(path)).toBe(true);
    await vsmb.unmapFromGuest(second);
    expect(vsmb.shares).toEqual([]);
  });

  it("does not let one directory hold up another", async () => {
    const abort = new AbortController();
    const { vsmb } = vsmbOn(new ScriptedCalls(new Map([[0, "hang"]])));
    const slow = vsmb.mapToGuest(await vsmb.reserve(data), abort.signal);
    expect((await mapped(vsmb, { ...data, hostPath: "C:\\fast" })).path).toBe(`${root}\\s2`);
    abort.abort();
    await expect(slow).rejects.toMatchObject({ code: "Cancelled" });
  });
});

describe("single files", () => {
  it("are allowed in a share of their directory, which a further file updates", async () => {
    const { vm, vsmb } = vsmbOn();
    expect((await mapped(vsmb, file("hosts", false))).path).toBe(`${root}\\s1\\hosts`);
    const share = { Name: "s1", Path: "C:\\data", AllowedFiles: ["C:\\data\\hosts"], Options: fileOptions };
    expect([...vm.shares.values()]).toEqual([share]);
    expect((await mapped(vsmb, file("two.txt", false))).path).toBe(`${root}\\s1\\two.txt`);
    expect([...vm.shares.values()]).toEqual([{ ...share, AllowedFiles: ["C:\\data\\hosts", "C:\\data\\two.txt"] }]);
    expect(vm.script.names).toEqual(["addVsmbShare", "updateVsmbShare"]);
  });

  it("are counted by directory, flag and all", async () => {
    const { vm, vsmb } = vsmbOn();
    await mapped(vsmb, file("hosts", false));
    await mapped(vsmb, file("hosts"));
    expect(vm.shares.get("s2")).toMatchObject({ Options: { ...readOnlyOptions, ...fileOptions } });
    await mapped(vsmb, { ...file("hosts"), hostPath: "C:\\other\\hosts" });
    expect(vm.shares.get("s3")).toMatchObject({ Path: "C:\\other" });
  });

  it("are on the list once, in the spelling of their directory", async () => {
    const { vm, vsmb } = vsmbOn();
    await mapped(vsmb, file("hosts"));
    expect((await mapped(vsmb, { ...file(""), hostPath: "c:/DATA/Hosts" })).path).toBe(`${root}\\s1\\Hosts`);
    await mapped(vsmb, { ...file(""), hostPath: "c:\\DATA\\two" });
    expect(vm.shares.get("s1")).toMatchObject({ AllowedFiles: ["C:\\data\\hosts", "C:\\data\\two"] });
    expect(vm.script.names).toEqual(["addVsmbShare", "updateVsmbShare"]);
  });

  it("of a root are in the root", async () => {
    const { vm, vsmb } = vsmbOn();
    expect((await mapped(vsmb, { ...file(""), hostPath: "C:\\pagefile.sys" })).path).toBe(`${root}\\s1\\pagefile.sys`);
    expect(vm.shares.get("s1")).toMatchObject({ Path: "C:\\", AllowedFiles: ["C:\\pagefile.sys"] });
  });

  it("are still allowed for the next user of a share that stays", async () => {
    const { vm, vsmb } = vsmbOn();
    await vsmb.unmapFromGuest((await mapped(vsmb, file("hosts"))).id);
    await mapped(vsmb, file("hosts"));
    expect(vm.script.names).toEqual(["addVsmbShare"]);
  });
});

describe("failures", () => {
  it.each(["fail", "lose"] as const)(
    "an addition that did %s is undone before the next, which has a new name",
    async (fault) => {
      const { vm, vsmb } = vsmbOn(new ScriptedCalls(new Map([[0, fault]])));
      const id = await vsmb.reserve(data);
      await expect(vsmb.mapToGuest(id)).rejects.toMatchObject({ code: "Unavailable" });
      expect(vsmb.shares).toMatchObject([{ name: "s1", state: "Invalid" }]);
      expect(await vsmb.mapToGuest(id)).toBe(`${root}\\s2`);
      expect(vm.script.calls).toMatchObject([
        { name: "addVsmbShare" },
        { name: "removeVsmbShare", detail: "s1" },
        { name: "addVsmbShare" },
      ]);
      expect([...vm.shares.keys()]).toEqual(["s2"]);
    },
  );

  it("an addition that was lost is removed with its last user, though it might be mapped directly", async () => {
    const { vm, vsmb } = vsmbOn(new ScriptedCalls(new Map([[0, "lose"]])));
    const id = await vsmb.reserve(data);
    await expect(vsmb.mapToGuest(id)).rejects.toMatchObject({ code: "Unavailable" });
    await vsmb.unmapFromGuest(id);
    expect(vm.shares.size).toBe(0);
    expect(vsmb.shares).toEqual([]);
  });

  it.each(["fail", "lose"] as const)(
    "an update that did %s leaves the files of before, and can be repeated",
    async (fault) => {
      const { vm, vsmb } = vsmbOn(new ScriptedCalls(new Map([[1, fault]])));
      const { path } = await mapped(vsmb, file("one"));
      const two = await vsmb.reserve(file("two"));
      await expect(vsmb.mapToGuest(two)).rejects.toMatchObject({ code: "Unavailable" });
      expect(vsmb.shares).toMatchObject([{ state: "Stale", allowedFiles: ["C:\\data\\one"] }]);
      expect(vm.canOpen(path)).toBe(true);
      await mapped(vsmb, file("one"));
      expect(vm.script.names).toHaveLength(2);
      expect((await mapped(vsmb, file("three"))).path).toBe(`${root}\\s1\\three`);
      expect(vm.shares.get("s1")?.AllowedFiles).toEqual(["C:\\data\\one", "C:\\data\\three"]);
      expect(vm.canOpen(await vsmb.mapToGuest(two))).toBe(true);
      expect(vsmb.shares).toMatchObject([{ state: "Added" }]);
    },
  );

  it.each(["fail", "lose"] as const)(
    "a removal that did %s can be repeated, and no one else gets the share",
    async (fault) => {
      const { vm, vsmb } = vsmbOn(new ScriptedCalls(new Map([[1, fault]])), { noDirectMap: true });
      const { id } = await mapped(vsmb, data);
      await expect(vsmb.unmapFromGuest(id)).rejects.toMatchObject({ code: "Unavailable" });
      expect(vsmb.shares).toMatchObject([{ holders: 1, state: "Invalid" }]);
      expect((await mapped(vsmb, data)).path).toBe(`${root}\\s2`);
      await vsmb.unmapFromGuest(id);
      expect([...vm.shares.keys()]).toEqual(["s2"]);
    },
  );

  it("nothing is added where the host cannot say whether direct mapping works", async () => {
    const missing = scriptedError("NotFound", "no such directory");
    const { vm, vsmb } = vsmbOn(undefined, { refusesDirectMap: () => Promise.reject(missing) });
    const id = await vsmb.reserve(data);
    await expect(vsmb.mapToGuest(id)).rejects.toMatchObject({ code: "NotFound", operation: "map share" });
    await vsmb.unmapFromGuest(id);
    expect(vm.script.calls).toEqual([]);
    expect(vsmb.shares).toEqual([]);
  });

  it("everything can be given back to a VM that has ended", async () => {
    const gone = Object.assign(scriptedError("FailedPrecondition", "the VM has ended"), { gone: true });
    const { vm } = vsmbOn();
    const { vsmb } = vsmbOn(undefined, {
      noDirectMap: true,
      host: {
        addVsmbShare: (...call) => vm.addVsmbShare(...call),
        updateVsmbShare: (...call) => vm.updateVsmbShare(...call),
        removeVsmbShare: () => Promise.reject(gone),
      },
    });
    await vsmb.unmapFromGuest((await mapped(vsmb, data)).id);
    expect(vsmb.shares).toEqual([]);
  });
});

describe("refusing a reservation", () => {
  it.each<[ShareConfig, string]>([
    [{ ...data, hostPath: "" }, 'hostPath is "", expected an absolute path'],
    [{ ...data, hostPath: "data" }, 'hostPath is "data", expected an absolute path'],
    [{ ...data, hostPath: "C:data" }, 'hostPath is "C:data"'],
    [{ ...data, hostPath: "C:\\a\0" }, 'hostPath is "C:\\\\a\\u0000"'],
    [{ ...file(""), hostPath: "C:\\" }, 'hostPath is "C:\\\\", expected a file in a directory'],
    [{ ...file(""), hostPath: "\\\\server\\share" }, "expected a file in a directory"],
  ])("%j", async (config, message) => {
    const { vsmb } = vsmbOn();
    const refused = vsmb.reserve(config);
    await expect(refused).rejects.toMatchObject({ code: "InvalidArgument" });
    await expect(refused).rejects.toThrow(message);
    expect(vsmb.shares).toEqual([]);
  });

  it("allows read-only shares alone where writing is forbidden", async () => {
    const { vsmb } = vsmbOn(undefined, { noWritableFileShares: true });
    for (const config of [{ ...data, readOnly: false }, file("hosts", false)]) {
      await expect(vsmb.reserve(config)).rejects.toMatchObject({ code: "FailedPrecondition" });
    }
    await vsmb.reserve(data);
    expect(vsmb.shares).toHaveLength(1);
  });
});
