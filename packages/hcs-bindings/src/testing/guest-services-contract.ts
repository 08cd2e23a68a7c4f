import { checkGuid, resourcePaths } from "@uvm-shim/hcs-schema";
import { describe, expect, it } from "vitest";
import type { ComputeHost, ComputeSystem, WindowsGuestServices } from "../types.ts";

/** A host, real or fake, that is held to the contract. */
export interface GuestServicesContractHost {
  /** A new client of the host. */
  connect(): Promise<Pick<ComputeHost, "windows" | "close">>;
  makeDirectory(): string;
  makeDisk(): string;
}

const specification = '{"CmsPlugins":["ActiveDirectory"],"DomainJoinConfig":{"Sid":"S-1-5-21-1"}}';
const [systemId, otherId] = ["b1c7bf29-0000-4000-8000-00000000000a", "b1c7bf29-0000-4000-8000-00000000000b"];

/** The contract for what hosts do for Windows guests, beside their VMs. */
export function describeGuestServicesContract(
  on: () => GuestServicesContractHost,
  host: () => Pick<ComputeHost, "windows">,
  create: () => Promise<ComputeSystem>,
): void {
  let count = 0;
  const newId = (): string => `container-${++count}`;

  const windows = (of: Pick<ComputeHost, "windows"> = host()): WindowsGuestServices => of.windows;

  describe("credential guards", () => {
    it("are added once per container, listed and removed", async () => {
      const id = newId();
      const guard = await windows().addCredentialGuard(id, specification);
      expect(guard).toMatchObject({
        Id: id,
        CredentialGuard: { CredentialSpec: specification, Transport: "HvSocket" },
      });
      const { Cookie, RpcEndpoint } = guard.CredentialGuard;
      expect([Cookie, RpcEndpoint]).not.toContain("");
      expect(checkGuid(guard.HvSocketConfig?.ServiceId)).toBe(guard.HvSocketConfig?.ServiceId.toLowerCase());
      await expect(windows().addCredentialGuard(id, specification)).rejects.toMatchObject({ code: "AlreadyExists" });
      const other = newId();
      await windows().addCredentialGuard(other, "{}");
      expect(await windows().credentialGuards()).toContainEqual(guard);
      for (const known of [id, other]) await windows().removeCredentialGuard(known);
      const left = (await windows().credentialGuards()).map(({ Id }) => Id);
      expect([id, other].filter((known) => left.includes(known))).toEqual([]);
      await expect(windows().removeCredentialGuard(id)).rejects.toMatchObject({ code: "NotFound", gone: true });
    });

    it("outlive the client that added them", async () => {
      const id = newId();
      const client = await on().connect();
      const guard = await windows(client).addCredentialGuard(id, specification);
      await client.close();
      expect(await windows().credentialGuards()).toContainEqual(guard);
      await windows().removeCredentialGuard(id);
    });

    it("repeat no credential specification in errors", async () => {
      const id = newId();
      await windows().addCredentialGuard(id, "{}");
      const refused = await windows()
        .addCredentialGuard(id, "only for the guard")
        .catch((error: unknown) => error);
      await windows().removeCredentialGuard(id);
      expect(refused).toMatchObject({ name: "HostError", code: "AlreadyExists", id });
      expect(String(refused)).not.toContain("only for the guard");
    });
  });

  describe("redirections of hvsockets", () => {
    it("are made once per GUID, whatever its case, until they are closed", async () => {
      const { runtimeId } = await create();
      const redirection = await windows().redirectHvsockets(systemId, runtimeId);
      for (const spelled of [systemId, systemId.toUpperCase()]) {
        await expect(windows().redirectHvsockets(spelled, runtimeId)).rejects.toMatchObject({ code: "AlreadyExists" });
      }
      const other = await windows().redirectHvsockets(otherId, runtimeId);
      await redirection.close();
      await redirection.close();
      await other.close();
      await (await windows().redirectHvsockets(systemId, runtimeId)).close();
    });

    it("end with their client", async () => {
      const { runtimeId } = await create();
      const client = await on().connect();
      await windows(client).redirectHvsockets(systemId, runtimeId);
      await client.close();
      await expect
        .poll(async () => {
          const again = await windows()
            .redirectHvsockets(systemId, runtimeId)
            .catch(() => undefined);
          await again?.close();
          return again !== undefined;
        })
        .toBe(true);
    });

    it("are of GUIDs", async () => {
      const { runtimeId } = await create();
      for (const [system, vm] of [
        ["container", runtimeId],
        [`{${systemId}}`, runtimeId],
        [systemId, "vm"],
      ] as const) {
        await expect(windows().redirectHvsockets(system, vm)).rejects.toMatchObject({ code: "InvalidArgument" });
      }
    });
  });

  describe("layers", () => {
    it("have the same id for the same name", async () => {
      const [base, again, top] = [
        await windows().layerId("base"),
        await windows().layerId("base"),
        await windows().layerId("top"),
      ];
      expect(checkGuid(base)).toBe(base.toLowerCase());
      expect(again).toBe(base);
      expect(top).not.toBe(base);
    });

    it("get a scratch disk on parents that exist", async () => {
      const [scratch, top, base] = [on().makeDirectory(), on().makeDirectory(), on().makeDirectory()];
      await expect(windows().createScratchLayer(scratch, [top, `${base}-missing`])).rejects.toMatchObject({
        code: "NotFound",
        id: scratch,
      });
      await expect(windows().createScratchLayer(scratch, [])).rejects.toMatchObject({ code: "InvalidArgument" });
      await windows().createScratchLayer(scratch, [top, base]);
      await expect(windows().createScratchLayer(scratch, [top, base])).rejects.toMatchObject({ code: "AlreadyExists" });
    });

    it("get an id written into their disks", async () => {
      const disk = on().makeDisk();
      await windows().setDiskIdentifier(disk, systemId);
      await expect(windows().setDiskIdentifier(disk, "scratch")).rejects.toMatchObject({ code: "InvalidArgument" });
      const missing = disk.replace(/(\.\w+)?$/, "-missing$1");
      await expect(windows().setDiskIdentifier(missing, systemId)).rejects.toMatchObject({ code: "NotFound" });
    });
  });

  it("opens files to all VMs", async () => {
    const directory = on().makeDirectory();
    await windows().grantVmGroupAccess(directory);
    await expect(windows().grantVmGroupAccess(`${directory}-missing`)).rejects.toMatchObject({ code: "NotFound" });
  });

  it("knows the machine's time zone", async () => {
    const { Bias = 0, StandardDate, DaylightDate } = await windows().timeZone();
    expect(Math.abs(Bias)).toBeLessThanOrEqual(24 * 60);
    for (const date of [StandardDate, DaylightDate]) expect(Object.values(date)).not.toContain(0);
  });

  it("makes no call for a caller that has aborted", async () => {
    const aborted = AbortSignal.abort();
    const cancelled = { code: "Cancelled" };
    await expect(windows().addCredentialGuard("none", "{}", aborted)).rejects.toMatchObject(cancelled);
    await expect(windows().layerId("none", aborted)).rejects.toMatchObject(cancelled);
    await expect(windows().timeZone(aborted)).rejects.toMatchObject(cancelled);
    expect((await windows().credentialGuards()).map(({ Id }) => Id)).not.toContain("none");
  });

  describe("hvsocket services of a system", () => {
    const service = "0a1b2c3d-facb-4000-8000-0000000000ff";
    const config = { BindSecurityDescriptor: "D:P(A;;FA;;;SY)", ConnectSecurityDescriptor: "D:P(A;;FA;;;SY)" };
    const modify = (
      system: ComputeSystem,
      RequestType: "Add" | "Update" | "Remove",
      more: { readonly Settings?: unknown } = {},
      guid = service,
    ): Promise<void> => system.modify({ ResourcePath: resourcePaths.hvSocketService(guid), RequestType, ...more });

    it("are set, set again and removed while it runs", async () => {
      const system = await create();
      await expect(modify(system, "Update", { Settings: config })).rejects.toMatchObject({
        hresultName: "HCS_E_INVALID_STATE",
      });
      await system.start();
      await expect(modify(system, "Remove")).rejects.toMatchObject({ code: "NotFound", gone: true });
      await modify(system, "Update", { Settings: config });
      await modify(system, "Update", { Settings: { ...config, AllowWildcardBinds: true } }, service.toUpperCase());
      await modify(system, "Remove");
      await expect(modify(system, "Remove")).rejects.toMatchObject({ code: "NotFound", gone: true });
    });

    it("go when their descriptors are emptied, unless they are disabled", async () => {
      const system = await create();
      await system.start();
      await modify(system, "Update", { Settings: config });
      await modify(system, "Update", { Settings: { Disabled: true } });
      await modify(system, "Update", { Settings: {} });
      await expect(modify(system, "Remove")).rejects.toMatchObject({ code: "NotFound" });
    });

    it.each([
      ["Add", { Settings: config }, service, "E_INVALIDARG"],
      ["Remove", { Settings: config }, service, "E_INVALIDARG"],
      ["Update", {}, service, "HCS_E_INVALID_JSON"],
      ["Update", { Settings: { ...config, Allow: true } }, service, "HCS_E_INVALID_JSON"],
      ["Update", { Settings: { ...config, AllowWildcardBinds: "true" } }, service, "HCS_E_INVALID_JSON"],
      ["Update", { Settings: config }, "log", "E_INVALIDARG"],
    ] as const)("refuse %s with %j of %s", async (type, more, guid, hresultName) => {
      const system = await create();
      await system.start();
      await expect(modify(system, type, more, guid)).rejects.toMatchObject({ hresultName });
    });
  });
}
