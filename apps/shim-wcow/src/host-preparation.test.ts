import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { HostPreparation } from "@uvm-shim/sandbox-wcow";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { withPreparation } from "./host-preparation.ts";
import { removeOwnFiles } from "./own-files.ts";

let folder: string;
let calls: string[];
let failing: string | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "preparation-"));
  [calls, failing] = [[], undefined];
  for (const name of ["bundle", "layer", "boot"]) mkdirSync(join(folder, name));
  writeFileSync(join(folder, "layer", "template.vhdx"), "template");
  writeFileSync(join(folder, "boot", "state.vmgs"), "state");
});
afterEach(() => rmSync(folder, { recursive: true }));

const call = async (what: string): Promise<void> => {
  calls.push(what);
  if (what === failing) throw new Error(`${what} failed`);
};
const host = {
  grantVmAccess: (file: string) => call(`grant ${file}`),
  services: {
    grantVmGroupAccess: (path: string) => call(`grant all ${path}`),
    setDiskIdentifier: (path: string, id: string) => call(`mark ${path} ${id}`),
  },
};
const scratch = () => join(folder, "scratch", "vm", "sandbox.vhdx");
const state = () => join(folder, "scratch", "state.vmgs");

const preparation = (): HostPreparation => ({
  folders: [join(folder, "scratch", "vm")],
  copies: [
    { from: join(folder, "layer", "template.vhdx"), to: scratch(), existing: "keep" },
    { from: join(folder, "boot", "state.vmgs"), to: state(), existing: "replace" },
  ],
  vmAccess: [scratch(), state()],
  vmGroupAccess: [join(folder, "dumps")],
  diskIdentifiers: [{ path: scratch(), identifier: "id" }],
});
const prepare = (): Promise<void> => withPreparation(preparation(), join(folder, "bundle"), host, () => call("create"));

describe("the preparation of a VM", () => {
  it("makes folders and copies, then grants access, marks disks, and has the VM created", async () => {
    await prepare();
    expect(readFileSync(scratch(), "utf8")).toBe("template");
    expect(readFileSync(state(), "utf8")).toBe("state");
    const grants = [`grant ${scratch()}`, `grant ${state()}`, `grant all ${join(folder, "dumps")}`];
    expect(calls).toEqual([...grants, `mark ${scratch()} id`, "create"]);
  });

  it("keeps a scratch disk that is there already, and replaces what another VM has left", async () => {
    mkdirSync(join(folder, "scratch", "vm"), { recursive: true });
    writeFileSync(scratch(), "of an earlier start");
    writeFileSync(state(), "of another VM");
    await prepare();
    expect([readFileSync(scratch(), "utf8"), readFileSync(state(), "utf8")]).toEqual(["of an earlier start", "state"]);
  });

  it.each(["create", "grant all", "mark", "grant"])(
    "that fails at %s leaves none of the VM's own files",
    async (step) => {
      const rehearsal = [`grant ${scratch()}`, `grant all ${join(folder, "dumps")}`, `mark ${scratch()} id`, "create"];
      failing = rehearsal.find((name) => name.startsWith(step === "grant" ? `grant ${scratch()}` : step));
      await expect(prepare()).rejects.toThrow(`${failing} failed`);
      expect([existsSync(state()), readdirSync(join(folder, "bundle"))]).toEqual([false, []]);
    },
  );

  it("leaves no half of a copy that cannot be made", async () => {
    rmSync(join(folder, "boot", "state.vmgs"));
    await expect(prepare()).rejects.toThrow("ENOENT");
    expect(readdirSync(join(folder, "scratch"))).toEqual(["vm"]);
    expect(calls).toEqual([]);
  });
});

describe("files that only one VM uses", () => {
  it("are found by the bundle alone, as after the death of the shim, and removed once", async () => {
    await prepare();
    expect(existsSync(state())).toBe(true);
    await removeOwnFiles(join(folder, "bundle"));
    expect([existsSync(state()), existsSync(scratch()), readdirSync(join(folder, "bundle"))]).toEqual([
      false,
      true,
      [],
    ]);
    await removeOwnFiles(join(folder, "bundle"));
    await removeOwnFiles(join(folder, "no", "bundle"));
  });
});
