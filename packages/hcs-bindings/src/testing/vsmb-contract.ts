import { type ModifyRequestType, resourcePaths, type VirtualSmbShare } from "@uvm-shim/hcs-schema";
import { describe, expect, it } from "vitest";
import type { ComputeSystem } from "../types.ts";

/** What the contract needs of the host's files. */
export interface VsmbContractHost {
  makeDirectory(): string;
  makeFile(directory: string): string;
}

/** The contract for VSMB shares and mapped pipes of a system. */
export function describeVsmbContract(on: () => VsmbContractHost, create: () => Promise<ComputeSystem>): void {
  const modify = (system: ComputeSystem, RequestType: ModifyRequestType, Settings: unknown): Promise<void> =>
    system.modify({ ResourcePath: resourcePaths.virtualSmbShares, RequestType, Settings });

  async function running(): Promise<ComputeSystem> {
    const system = await create();
    await system.start();
    return system;
  }

  function restricted(): VirtualSmbShare {
    const directory = on().makeDirectory();
    const Options = { ReadOnly: true, RestrictFileAccess: true, SingleFileMapping: true };
    return { Name: "s1", Path: directory, AllowedFiles: [on().makeFile(directory)], Options };
  }

  describe("VSMB shares", () => {
    it("are added once, with or without options, and removed by name", async () => {
      const system = await create();
      const share = { Name: "s1", Path: on().makeDirectory(), Options: { ReadOnly: true, NoDirectmap: true } };
      await expect(modify(system, "Add", share)).rejects.toMatchObject({ hresultName: "HCS_E_INVALID_STATE" });
      await system.start();
      await modify(system, "Add", share);
      await expect(modify(system, "Add", share)).rejects.toMatchObject({ hresultName: "ERROR_ALREADY_EXISTS" });
      await expect(modify(system, "Add", { ...share, Name: "S1" })).rejects.toMatchObject({ code: "AlreadyExists" });
      await modify(system, "Add", { Name: "s2", Path: share.Path, Options: {} });
      await modify(system, "Remove", { Name: "s1" });
      await expect(modify(system, "Remove", { Name: "s1" })).rejects.toMatchObject({ code: "NotFound", gone: true });
      await modify(system, "Add", share);
    });

    it("allow further files where they are restricted, and change in nothing else", async () => {
      const system = await running();
      const share = restricted();
      const { AllowedFiles: files = [], Options: options } = share;
      await expect(modify(system, "Update", share)).rejects.toMatchObject({ hresultName: "ERROR_NOT_FOUND" });
      await modify(system, "Add", share);
      await modify(system, "Update", { ...share, AllowedFiles: [...files, on().makeFile(share.Path)] });
      await modify(system, "Update", share);
      for (const changed of [
        { ...share, Options: { ...options, ReadOnly: false } },
        { ...share, Options: { ...options, NoDirectmap: true } },
        { ...restricted(), Name: "s1" },
      ]) {
        await expect(modify(system, "Update", changed)).rejects.toMatchObject({ hresultName: "E_INVALIDARG" });
      }
    });

    it("cannot be updated where they are not restricted", async () => {
      const system = await running();
      const share = { Name: "s1", Path: on().makeDirectory(), Options: {} };
      await modify(system, "Add", share);
      await expect(modify(system, "Update", share)).rejects.toMatchObject({ hresultName: "E_INVALIDARG" });
    });

    it("are of directories, with files that are in them", async () => {
      const system = await running();
      const share = restricted();
      const { AllowedFiles: files = [], Options: options } = share;
      for (const [wrong, hresultName] of [
        [{ ...share, Path: `${share.Path}-missing` }, "ERROR_FILE_NOT_FOUND"],
        [{ ...share, AllowedFiles: [`${files[0]}-missing`] }, "ERROR_FILE_NOT_FOUND"],
        [{ ...share, AllowedFiles: [on().makeFile(on().makeDirectory())] }, "E_INVALIDARG"],
        [{ ...share, AllowedFiles: [] }, "E_INVALIDARG"],
        [{ ...share, Options: { ...options, RestrictFileAccess: false } }, "E_INVALIDARG"],
      ] as const) {
        await expect(modify(system, "Add", wrong)).rejects.toMatchObject({ hresultName });
      }
      await modify(system, "Add", share);
    });

    it.each([
      ["Add", { Flags: 1 }],
      ["Add", { Name: "a/b" }],
      ["Add", { Name: "IPC$" }],
      ["Add", { Name: null }],
      ["Add", { Path: null }],
      ["Add", { Options: { Readonly: true } }],
      ["Add", { Options: { ReadOnly: "true" } }],
      ["Update", { Options: { RestrictFileAccess: true, Restricted: true } }],
      ["Remove", { Name: null }],
      ["Remove", { Force: true }],
    ] as const)("refuse %s with %j", async (type, wrong) => {
      const system = await running();
      const share = restricted();
      if (type !== "Add") await modify(system, "Add", share);
      await expect(modify(system, type, { ...share, ...wrong })).rejects.toMatchObject({
        code: "InvalidArgument",
        hresultName: "HCS_E_INVALID_JSON",
      });
    });
  });

  describe("mapped pipes", () => {
    const map = (system: ComputeSystem, RequestType: ModifyRequestType, path: string, more = {}): Promise<void> =>
      system.modify({ ResourcePath: resourcePaths.mappedPipe(path), RequestType, ...more });
    const pipe = "\\\\.\\pipe\\docker_engine";

    it("are mapped once, and removed", async () => {
      const system = await create();
      await expect(map(system, "Add", pipe)).rejects.toMatchObject({ hresultName: "HCS_E_INVALID_STATE" });
      await system.start();
      await expect(map(system, "Remove", pipe)).rejects.toMatchObject({ code: "NotFound", gone: true });
      await map(system, "Add", pipe);
      await expect(map(system, "Add", pipe.toUpperCase())).rejects.toMatchObject({ code: "AlreadyExists" });
      await map(system, "Remove", pipe);
      await map(system, "Add", pipe);
    });

    it("have neither settings nor updates, and are named pipes", async () => {
      const system = await running();
      for (const [type, path, more] of [
        ["Add", pipe, { Settings: {} }],
        ["Update", pipe, {}],
        ["Add", "docker_engine", {}],
        ["Add", "\\\\.\\pipe\\", {}],
      ] as const) {
        await expect(map(system, type, path, more)).rejects.toMatchObject({ hresultName: "E_INVALIDARG" });
      }
    });
  });
}
