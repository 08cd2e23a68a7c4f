/** What docs/linux.md gives people to copy; test/src/e2e loads its configurations of containerd. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCommand } from "@uvm-shim/test-support/command";
import { itWith } from "@uvm-shim/test-support/machine-needs";
import { expect, it } from "vitest";
import { readHostSettings } from "../../packages/host-protocol/src/index.ts";
import { root } from "../workspace.ts";

const text = readFileSync(join(root, "docs/linux.md"), "utf8");
const units = [...text.matchAll(/^```ini\n(.*?)^```$/gms)].map(([, unit = ""]) => unit);
const [hostUnit = ""] = units.filter((unit) => unit.includes("ExecStart="));

const systemd = "the unit of the emulated host is in order for systemd";
itWith(systemd, "systemd-analyze")(systemd, async () => {
  const folder = mkdtempSync(join(tmpdir(), "units-"));
  try {
    const file = join(folder, "uvm-shim-host.service");
    writeFileSync(file, hostUnit.replace("/opt/uvm-shim/hcs-emulator", "/bin/true"));
    const { status, stderr } = await runCommand("systemd-analyze", ["verify", "--man=no", file]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

it("the emulated host accepts what its unit sets", () => {
  const variables = [...hostUnit.matchAll(/^Environment=(\w+)=(.*)$/gm)].map(([, name, value]) => [name, value]);
  expect(readHostSettings(Object.fromEntries(variables))).toMatchObject({ idleMs: 999_999_999 });
});
