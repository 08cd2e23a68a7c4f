import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FakeWindows } from "../../testing/windows/fake-windows.ts";
import type { WindowsHost } from "../windows-host.ts";

const [systemId, vmId] = ["5ca1ab1e-1111-4222-8333-444455556666", "5ca1ab1e-1111-4222-8333-444455557777"];

let on: FakeWindows;
let host: WindowsHost;

beforeEach(async () => {
  on = new FakeWindows();
  host = await on.connect();
});
afterEach(async () => {
  await host.close();
  expect(await on.leftovers()).toEqual([]);
});

/** Every call of a function of computecore.dll is answered so. */
function answer(name: "HcsGetServiceProperties", document: string): void {
  Object.assign(on.machine.dlls.computecore ?? {}, {
    [name]: (_query: string, output: Buffer) => {
      output.writeBigUInt64LE(on.machine.giveText("computecore", document));
      return 0;
    },
  });
}

describe("a credential guard", () => {
  it.each([
    ["no list", "{}", "does not list"],
    ["a list without it", '{"Properties":[{"Instances":[]}]}', "does not list"],
    ["no document", "secret", "invalid answer"],
    ["a list of something else", '{"Properties":[{"Instances":[{"Id":"c","CredentialGuard":"secret"}]}]}', "Instances"],
  ])("is removed again when the host answers with %s", async (_what, document, problem) => {
    answer("HcsGetServiceProperties", document);
    const failure = await host.windows.addCredentialGuard("c", "secret").catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "Internal", message: expect.stringContaining(problem) });
    expect(String(failure)).not.toContain("secret");
    expect(on.service.guestServices.guards.size).toBe(0);
  });

  it("is removed again when its caller aborts meanwhile", async () => {
    const added = vi.spyOn(on.service.guestServices, "addGuard");
    const controller = new AbortController();
    const adding = host.windows.addCredentialGuard("c", "{}", controller.signal);
    controller.abort(new Error("enough"));
    await expect(adding).rejects.toMatchObject({ code: "Cancelled" });
    await host.close();
    expect(added).toHaveBeenCalledOnce();
    expect(on.service.guestServices.guards.size).toBe(0);
  });

  it("has the GUID of its service in lower case", async () => {
    const instance = {
      Id: "c",
      CredentialGuard: {},
      HvSocketConfig: { ServiceId: vmId.toUpperCase(), ServiceConfig: {} },
    };
    answer("HcsGetServiceProperties", JSON.stringify({ Properties: [{ Instances: [instance] }] }));
    expect(await host.windows.credentialGuards()).toEqual([
      { ...instance, HvSocketConfig: { ServiceId: vmId, ServiceConfig: {} } },
    ]);
  });
});

describe("a redirection of hvsockets", () => {
  it("is closed when its entry cannot be written", async () => {
    on.machine.failAt = on.machine.points + 1;
    await expect(host.windows.redirectHvsockets(systemId, vmId)).rejects.toMatchObject({
      operation: `redirect hvsockets to compute system ${vmId} of container`,
      id: systemId,
      message: expect.stringContaining("cannot write the entry"),
    });
    expect(on.machine.struck).toBe("DeviceIoControl");
    expect(on.guests.leftovers()).toEqual([]);
  });

  it("is closed with the host, which then makes no more", async () => {
    await host.windows.redirectHvsockets(systemId, vmId);
    await host.close();
    expect(on.guests.leftovers()).toEqual([]);
    await expect(host.windows.redirectHvsockets(systemId, vmId)).rejects.toMatchObject({ code: "Cancelled" });
  });
});

describe("a layer", () => {
  it("passes on each parent with the id of its last component, topmost first", async () => {
    const [top, base] = [on.makeDirectory(), on.makeDirectory()];
    await host.windows.createScratchLayer("C:\\scratch", [top, base]);
    expect(on.service.guestServices.scratchLayers.get("C:\\scratch")).toEqual([top, base]);
  });

  it.each([
    [".vhd", 2],
    [".vhdx", 3],
  ])("has an id of the kind that a %s disk has", async (extension, device) => {
    const path = `C:\\scratch${extension}`;
    await host.disks.create({ path, size: 1 << 30 });
    await host.windows.setDiskIdentifier(path, systemId);
    expect(on.disks.disks.get(path)).toMatchObject({ device, identifier: systemId });
  });

  it("has an id in a disk only", async () => {
    on.disks.disks.set("C:\\scratch.iso", { size: 1, device: 1, fixed: true });
    await expect(host.windows.setDiskIdentifier("C:\\scratch.iso", systemId)).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining(".vhdx"),
    });
  });
});

it("the time zone has no zeros", async () => {
  expect(await host.windows.timeZone()).toEqual({
    Bias: -60,
    StandardName: "W. Europe Standard Time",
    StandardDate: { Month: 10, Day: 5, Hour: 3 },
    DaylightName: "W. Europe Daylight Time",
    DaylightDate: { Month: 3, Day: 5, Hour: 2 },
    DaylightBias: -60,
  });
});
