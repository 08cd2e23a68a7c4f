import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { connectEmulatedHost } from "@uvm-shim/hcs-bindings";
import { hostVariables } from "@uvm-shim/host-protocol";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { cleanUp } from "./clean-up.ts";
import { recordOwnFiles } from "./own-files.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "clean-up-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function cleanUpWith(UVM_SHIM_HOST: string): Promise<void> {
  const request = { namespace: "ns", id: "c1", bundle: directory };
  return cleanUp(request, { env: { UVM_SHIM_HOST }, executableDirectory: directory });
}

describe("cleaning up", () => {
  it.each([() => `unix:${directory}/none.sock`, () => "none"])(
    "without a host removes the VM's own files",
    async (host) => {
      writeFileSync(join(directory, "own"), "");
      await recordOwnFiles(directory, [join(directory, "own")]);
      await cleanUpWith(host());
      expect(existsSync(join(directory, "own"))).toBe(false);
    },
  );

  it("removes the credential guard that a killed shim has left, and no other", async () => {
    const socketPath = join(directory, "host.sock");
    const program = fileURLToPath(new URL("../../../packages/host-emulator/src/main.ts", import.meta.url));
    const start = { command: process.execPath, args: [program], env: { [hostVariables.idleMs]: "100" } };
    const host = await connectEmulatedHost({ socketPath, start });
    try {
      const { windows } = host;
      if (windows === undefined) throw new Error("the emulated host serves no Windows guests");
      for (const id of ["c1", "c2"]) await windows.addCredentialGuard(id, "{}");
      await cleanUpWith(`unix:${socketPath}`);
      expect((await windows.credentialGuards()).map(({ Id }) => Id)).toEqual(["c2"]);
      await cleanUpWith(`unix:${socketPath}`);
      await windows.removeCredentialGuard("c2");
    } finally {
      await host.close();
    }
    await vi.waitFor(() => expect(existsSync(socketPath)).toBe(false), { timeout: 10_000 });
  });

  it("reports what is wrong with the name of a host", async () => {
    await expect(cleanUpWith("tcp://host")).rejects.toMatchObject({ code: "InvalidArgument" });
  });
});
