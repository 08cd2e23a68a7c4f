import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { checkHostTimeZone, type HresultName, hresults } from "@uvm-shim/hcs-schema";
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { TestFiles } from "../testing/fake-guest.ts";
import { GuestServices } from "./guest-services.ts";
import { timeZoneAt } from "./time-zone.ts";

const files = new TestFiles();
afterAll(() => files.remove());

const specification = '{"CmsPlugins":["ActiveDirectory"]}';
const [container, vm] = ["b1c7bf29-0000-4000-8000-00000000000a", "b1c7bf29-0000-4000-8000-0000000000ff"];

let services: GuestServices;
beforeEach(() => {
  services = new GuestServices();
});

const failing = (result: HresultName): Error => expect.objectContaining({ hresult: hresults[result] }) as Error;

describe("credential guards", () => {
  it("exist once per container until they are removed, with a service of their own", () => {
    const guard = services.addCredentialGuard("c1", specification);
    expect(guard).toMatchObject({
      Id: "c1",
      CredentialGuard: { Transport: "HvSocket", CredentialSpec: specification },
    });
    const other = services.addCredentialGuard("c2", "{}");
    expect(other.HvSocketConfig?.ServiceId).not.toBe(guard.HvSocketConfig?.ServiceId);
    expect(other.CredentialGuard.Cookie).not.toBe(guard.CredentialGuard.Cookie);
    expect(services.credentialGuards).toEqual([guard, other]);
    expect(services.isEmpty).toBe(false);
    for (const id of ["c1", "c2"]) services.removeCredentialGuard(id);
    expect(services.credentialGuards).toEqual([]);
    expect(services.isEmpty).toBe(true);
  });

  it("are refused twice, without a specification, and when they are removed twice", () => {
    services.addCredentialGuard("c1", specification);
    expect(() => services.addCredentialGuard("c1", specification)).toThrow(failing("ERROR_ALREADY_EXISTS"));
    for (const bad of ["secret", "[]", "null", '{"a":']) {
      const adding = () => services.addCredentialGuard("c2", bad);
      expect(adding).toThrow(failing("HCS_E_INVALID_JSON"));
      expect(adding).toThrow("CredentialSpec: expected a JSON object as text");
    }
    services.removeCredentialGuard("c1");
    expect(() => services.removeCredentialGuard("c1")).toThrow(failing("ERROR_NOT_FOUND"));
  });
});

describe("redirections of hvsockets", () => {
  it("are made once per GUID, whatever its case", () => {
    const end = services.redirectHvsockets(container, vm);
    expect(() => services.redirectHvsockets(container.toUpperCase(), vm)).toThrow(failing("ERROR_FILE_EXISTS"));
    end();
    expect(() => services.redirectHvsockets(container, vm)).not.toThrow();
  });

  it.each([
    [`{${container}}`, vm],
    [container, "vm"],
  ])("are of GUIDs: not from %s to %s", (from, to) => {
    expect(() => services.redirectHvsockets(from, to)).toThrow(failing("E_INVALIDARG"));
  });
});

describe("layers", () => {
  it("have ids by their names", () => {
    expect(services.layerId("base")).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    expect(services.layerId("base")).toBe(services.layerId("base"));
    expect(services.layerId("base")).not.toBe(services.layerId("top"));
  });

  it("get an empty scratch disk in a folder that may be new, once, and without its bytes", () => {
    const scratch = join(files.directory, "snapshots", "7");
    services.createScratchLayer(scratch, [files.directory]);
    const disk = statSync(join(scratch, "sandbox.vhdx"));
    expect(disk.size).toBe(20 * 2 ** 30);
    expect(disk.blocks).toBe(0);
    expect(() => services.createScratchLayer(scratch, [files.directory])).toThrow(failing("ERROR_FILE_EXISTS"));
  });

  it.each<[string, readonly string[], HresultName]>([
    ["without a parent", [], "E_INVALIDARG"],
    ["on a missing parent", ["/", "/nowhere"], "ERROR_PATH_NOT_FOUND"],
  ])("get no scratch disk %s", (_what, parents, result) => {
    const path = join(files.directory, "refused");
    expect(() => services.createScratchLayer(path, parents)).toThrow(failing(result));
    expect(statSync(path, { throwIfNoEntry: false })).toBeUndefined();
  });

  it("have the id that is written into their disk, whose footer stays valid", () => {
    const footer = Buffer.alloc(512);
    footer.write("conectix", 0, "latin1");
    const disk = files.write("fixed.vhd", Buffer.concat([Buffer.alloc(1024), footer]));
    services.setDiskIdentifier(disk, container);
    const written = readFileSync(disk).subarray(1024);
    expect(written.toString("hex", 68, 84)).toBe(container.replaceAll("-", ""));
    const sum = written.reduce((total, byte, index) => total + (index >= 64 && index < 68 ? 0 : byte), 0);
    expect(written.readUInt32BE(64)).toBe(~sum >>> 0);
  });

  it("keep the bytes of a raw disk, which has no place for an id", () => {
    const disk = files.write("raw", Buffer.alloc(1024, 7));
    services.setDiskIdentifier(disk, container);
    expect(readFileSync(disk)).toEqual(Buffer.alloc(1024, 7));
  });

  it.each([
    ["/nowhere", container, "ERROR_FILE_NOT_FOUND"],
    [files.kernel, "scratch", "E_INVALIDARG"],
  ] as const)("get no id: %s, %s", (path, id, result) => {
    expect(() => services.setDiskIdentifier(path, id)).toThrow(failing(result));
  });
});

it("opens existing files to all VMs", () => {
  expect(() => services.grantVmGroupAccess(files.kernel)).not.toThrow();
  expect(() => services.grantVmGroupAccess("/nowhere")).toThrow(failing("ERROR_FILE_NOT_FOUND"));
});

describe("the time zone", () => {
  afterEach(() => vi.unstubAllEnvs());

  it.each([
    ["UTC", { StandardDate: {}, DaylightDate: {} }],
    ["Asia/Kolkata", { Bias: -330, StandardDate: {}, DaylightDate: {} }],
    [
      "Europe/Berlin",
      {
        Bias: -60,
        StandardDate: { Month: 10, Day: 5, Hour: 3 },
        DaylightDate: { Month: 3, Day: 5, Hour: 2 },
        DaylightBias: -60,
      },
    ],
    [
      "America/New_York",
      {
        Bias: 300,
        StandardDate: { Month: 11, Day: 1, Hour: 2 },
        DaylightDate: { Month: 3, Day: 2, Hour: 2 },
        DaylightBias: -60,
      },
    ],
    [
      "Australia/Sydney",
      {
        Bias: -600,
        StandardDate: { Month: 4, Day: 1, Hour: 3 },
        DaylightDate: { Month: 10, Day: 1, Hour: 2 },
        DaylightBias: -60,
      },
    ],
  ])("of %s is told as Windows tells it", (zone, expected) => {
    vi.stubEnv("TZ", zone);
    const told = timeZoneAt(new Date("2026-07-01T00:00:00Z"));
    const { StandardName, DaylightName, ...rest } = told;
    expect(rest).toEqual(expected);
    expect([StandardName, DaylightName]).not.toContain("");
    expect(checkHostTimeZone(told)).toEqual(told);
  });
});
