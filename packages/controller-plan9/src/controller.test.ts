import { plan9ShareFlags } from "@uvm-shim/hcs-schema";
import { windowsPaths } from "@uvm-shim/lifecycle";
import { ScriptedCalls, scriptedError } from "@uvm-shim/lifecycle/testing";
import { describe, expect, it } from "vitest";
import type { ShareConfig } from "./index.ts";
import { plan9On } from "./testing/index.ts";

const { readOnly, linuxMetadata, restrictFileAccess } = plan9ShareFlags;
const data = { hostPath: "/data", readOnly: true };

describe("mapping one directory", () => {
  it("adds and mounts, then unmounts and removes", async () => {
    const { vm, plan9 } = plan9On();
    const reservation = await plan9.reserve(data);
    expect(await plan9.mapToGuest(reservation)).toBe("/run/mounts/p9/0");
    expect(plan9.shares).toEqual([{ hostPath: "/data", name: "0", holders: 1, state: "Added", mount: "Mounted" }]);
    await plan9.unmapFromGuest(reservation);
    expect(vm.script.names).toEqual(["addShare", "mountShare", "unmountShare", "removeShare"]);
    expect(vm.shares.size + vm.mounted.size).toBe(0);
    expect(plan9.shares).toEqual([]);
  });

  it.each([
    [data, readOnly | linuxMetadata, undefined],
    [{ ...data, readOnly: false }, linuxMetadata, undefined],
    [{ ...data, allowedFiles: ["hosts"] }, readOnly | linuxMetadata | restrictFileAccess, ["hosts"]],
  ])("sends the host %j", async (config, flags, allowedFiles) => {
    const { vm, plan9 } = plan9On();
    await plan9.mapToGuest(await plan9.reserve(config));
    expect(vm.shares.get("0")).toEqual({
      Name: "0",
      AccessName: "0",
      Path: "/data",
      Port: 564,
      Flags: flags,
      ...(allowedFiles && { AllowedFiles: allowedFiles }),
    });
  });

  it("sends the guest source, target and read-only flag", async () => {
    const seen: unknown[] = [];
    const { plan9 } = plan9On(undefined, {
      guest: () => ({ mountShare: async (directory) => void seen.push(directory), unmountShare: async () => {} }),
    });
    await plan9.mapToGuest(await plan9.reserve({ ...data, readOnly: false }));
    expect(seen).toEqual([{ MountPath: "/run/mounts/p9/0", Port: 564, ShareName: "0", ReadOnly: false }]);
  });

  it("can be repeated in both directions", async () => {
    const { vm, plan9 } = plan9On();
    const reservation = await plan9.reserve(data);
    expect(await plan9.mapToGuest(reservation)).toBe(await plan9.mapToGuest(reservation));
    await Promise.all([plan9.unmapFromGuest(reservation), plan9.unmapFromGuest(reservation)]);
    await plan9.unmapFromGuest(reservation);
    await plan9.unmapFromGuest("never reserved");
    expect(vm.script.calls).toHaveLength(4);
  });

  it("calls neither host nor guest when an unused reservation is released", async () => {
    const { vm, plan9 } = plan9On();
    await plan9.unmapFromGuest(await plan9.reserve(data));
    expect(vm.script.calls).toEqual([]);
    expect(plan9.shares).toEqual([]);
  });

  it("refuses to map a directory that is not reserved, or no longer", async () => {
    const { plan9 } = plan9On();
    await expect(plan9.mapToGuest("r9")).rejects.toMatchObject({ code: "NotFound" });
    const reservation = await plan9.reserve(data);
    const unmapping = plan9.unmapFromGuest(reservation);
    await expect(plan9.mapToGuest(reservation)).rejects.toMatchObject({ code: "NotFound" });
    await unmapping;
  });
});

describe("sharing", () => {
  it("gives users of the same directory one share, and removes it with the last user", async () => {
    const { vm, plan9 } = plan9On();
    const config = { ...data, allowedFiles: ["a", "b"] };
    const users = await Promise.all(
      [config, config, { ...config, allowedFiles: ["b", "a"] }].map((each) => plan9.reserve(each)),
    );
    const paths = await Promise.all(users.map((user) => plan9.mapToGuest(user)));
    expect(new Set(paths).size).toBe(1);
    await Promise.all(users.slice(1).map((user) => plan9.unmapFromGuest(user)));
    expect(vm.script.names).toEqual(["addShare", "mountShare"]);
    await plan9.unmapFromGuest(users[0] ?? "");
    expect(vm.shares.size + vm.mounted.size).toBe(0);
  });

  it.each([
    { ...data, readOnly: false },
    { ...data, allowedFiles: ["a"] },
    { ...data, hostPath: "/Data" },
    { ...data, guestPath: "/run/mounts/p9/1" },
  ])("adds another share for %j", async (other) => {
    const { plan9 } = plan9On();
    const paths = [
      await plan9.mapToGuest(await plan9.reserve(data)),
      await plan9.mapToGuest(await plan9.reserve(other)),
    ];
    expect(paths).toEqual(["/run/mounts/p9/0", "/run/mounts/p9/1"]);
  });

  it("recognises a directory by the platform's path comparison", async () => {
    const { plan9 } = plan9On(undefined, { paths: windowsPaths });
    const config = { hostPath: "C:\\Data", readOnly: true, allowedFiles: ["hosts"] };
    await plan9.reserve(config);
    await plan9.reserve({ ...config, hostPath: "\\\\?\\c:\\data", allowedFiles: ["HOSTS", "hosts"] });
    expect(plan9.shares).toMatchObject([{ holders: 2 }]);
  });

  it("leaves the share to its other user when one releases it twice", async () => {
    const { vm, plan9 } = plan9On();
    const first = await plan9.reserve(data);
    const second = await plan9.reserve(data);
    await plan9.mapToGuest(second);
    await Promise.all([plan9.unmapFromGuest(first), plan9.unmapFromGuest(first)]);
    expect(vm.mounted.size).toBe(1);
    expect(plan9.shares).toMatchObject([{ holders: 1 }]);
  });

  it("mounts a share at the requested path, and shares it only there", async () => {
    const { vm, plan9 } = plan9On();
    const at = (guestPath: string, hostPath = data.hostPath) => plan9.reserve({ ...data, hostPath, guestPath });
    const reservations = [await at("/own/m0"), await at("/own/m0"), await at("/own/m1")];
    const paths = await Promise.all(reservations.map((reservation) => plan9.mapToGuest(reservation)));
    expect(paths).toEqual(["/own/m0", "/own/m0", "/own/m1"]);
    expect(vm.shares.size).toBe(2);
    await expect(at("/own/m0", "/other")).rejects.toMatchObject({
      code: "FailedPrecondition",
      message: expect.stringContaining(`guest path /own/m0 is in use by the share of ${data.hostPath}`),
    });
    await expect(at("own")).rejects.toThrow('guestPath is "own", expected an absolute path');
    for (const reservation of reservations) await plan9.unmapFromGuest(reservation);
    expect(vm.shares.size + vm.mounted.size).toBe(0);
    expect(await plan9.mapToGuest(await at("/own/m0", "/other"))).toBe("/own/m0");
  });

  it("never uses a name twice", async () => {
    const { plan9 } = plan9On();
    const first = await plan9.reserve(data);
    await plan9.mapToGuest(first);
    await plan9.unmapFromGuest(first);
    expect(await plan9.mapToGuest(await plan9.reserve(data))).toBe("/run/mounts/p9/1");
  });

  it("serves the next user under a new name when the first one's attempt was aborted", async () => {
    const abort = new AbortController();
    const { vm, plan9 } = plan9On(new ScriptedCalls(new Map([[0, "hangDone"]]), () => abort.abort()));
    const first = await plan9.reserve(data);
    const second = await plan9.reserve(data);
    const results = await Promise.allSettled([plan9.mapToGuest(first, abort.signal), plan9.mapToGuest(second)]);
    expect(results[0]).toMatchObject({ status: "rejected", reason: { code: "Cancelled" } });
    expect(results[1]).toEqual({ status: "fulfilled", value: "/run/mounts/p9/1" });
    expect(vm.script.names).toEqual(["addShare", "removeShare", "addShare", "mountShare"]);
  });

  it("keeps the share for a user that reserved it just before the last one released it", async () => {
    const { vm, plan9 } = plan9On();
    const first = await plan9.reserve(data);
    await plan9.mapToGuest(first);
    const unmapping = plan9.unmapFromGuest(first);
    const second = await plan9.reserve(data);
    await unmapping;
    expect(await plan9.mapToGuest(second)).toBe("/run/mounts/p9/0");
    expect(vm.script.names).toEqual(["addShare", "mountShare"]);
  });

  it("maps again for a user that reserved it while the guest unmounted it", async () => {
    const { vm } = plan9On();
    let second: Promise<string> | undefined;
    const { plan9 } = plan9On(undefined, {
      host: vm,
      guest: () => ({
        mountShare: (...call) => vm.mountShare(...call),
        unmountShare: (...call) => {
          second ??= plan9.reserve(data);
          return vm.unmountShare(...call);
        },
      }),
    });
    const first = await plan9.reserve(data);
    await plan9.mapToGuest(first);
    await plan9.unmapFromGuest(first);
    const reservation = (await second) ?? "";
    expect(await plan9.mapToGuest(reservation)).toBe("/run/mounts/p9/1");
    await plan9.unmapFromGuest(reservation);
    expect(vm.shares.size + vm.mounted.size).toBe(0);
    expect(plan9.shares).toEqual([]);
  });

  it("does not let one directory hold up another", async () => {
    const abort = new AbortController();
    const { plan9 } = plan9On(new ScriptedCalls(new Map([[0, "hang"]])));
    const slow = plan9.mapToGuest(await plan9.reserve(data), abort.signal);
    expect(await plan9.mapToGuest(await plan9.reserve({ ...data, hostPath: "/fast" }))).toBe("/run/mounts/p9/1");
    abort.abort();
    await expect(slow).rejects.toMatchObject({ code: "Cancelled" });
  });
});

describe("refusing a reservation", () => {
  it.each<[ShareConfig, string]>([
    [{ ...data, hostPath: "" }, 'hostPath is "", expected an absolute path'],
    [{ ...data, hostPath: "data" }, 'hostPath is "data", expected an absolute path'],
    [{ ...data, hostPath: "./data" }, 'hostPath is "./data"'],
    [{ ...data, hostPath: "/data\0" }, 'hostPath is "/data\\u0000"'],
    [{ ...data, allowedFiles: [] }, "at least one name"],
    [{ ...data, allowedFiles: ["ok", ""] }, 'allowedFiles holds ""'],
    [{ ...data, allowedFiles: ["ok", "."] }, 'allowedFiles holds "."'],
    [{ ...data, allowedFiles: ["ok", ".."] }, 'allowedFiles holds ".."'],
    [{ ...data, allowedFiles: ["ok", "a/b"] }, 'allowedFiles holds "a/b"'],
    [{ ...data, allowedFiles: ["ok", "a\0"] }, 'allowedFiles holds "a\\u0000"'],
  ])("%j", async (config, message) => {
    const { plan9 } = plan9On();
    const refused = plan9.reserve(config);
    await expect(refused).rejects.toMatchObject({ code: "InvalidArgument" });
    await expect(refused).rejects.toThrow(message);
    expect(plan9.shares).toEqual([]);
  });

  it("allows only read-only shares if writing is forbidden", async () => {
    const { plan9 } = plan9On(undefined, { noWritableFileShares: true });
    await expect(plan9.reserve({ ...data, readOnly: false })).rejects.toMatchObject({ code: "FailedPrecondition" });
    await plan9.reserve(data);
    expect(plan9.shares).toHaveLength(1);
  });
});

describe("an ended VM", () => {
  it("allows everything to be released, and nothing to be mapped", async () => {
    const gone = Object.assign(scriptedError("FailedPrecondition", "the VM has ended"), { gone: true });
    let ended = false;
    const { vm } = plan9On();
    const { plan9 } = plan9On(undefined, {
      host: {
        addShare: (...call) => vm.addShare(...call),
        removeShare: async (...call) => (ended ? Promise.reject(gone) : vm.removeShare(...call)),
      },
      guest: () => {
        if (ended) throw gone;
        return vm;
      },
    });
    const mapped = await plan9.reserve(data);
    await plan9.mapToGuest(mapped);
    ended = true;
    const late = await plan9.reserve({ ...data, hostPath: "/late" });
    await expect(plan9.mapToGuest(late)).rejects.toMatchObject({ code: "FailedPrecondition" });
    await Promise.all([plan9.unmapFromGuest(mapped), plan9.unmapFromGuest(late)]);
    expect(plan9.shares).toEqual([]);
  });
});
