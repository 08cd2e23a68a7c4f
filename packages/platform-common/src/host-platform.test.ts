import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { PlatformContext, Sandbox, SandboxRequest } from "@uvm-shim/shim";
import { afterEach, beforeEach, expect, it } from "vitest";
import { hostPlatform } from "./host-platform.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "uvm-shim-host-platform-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

const sandbox = {} as Sandbox;
const readyVms = { take: async () => undefined };

/** Asks for a sandbox where no host runs at the address that is given for it. */
async function ask(more: Partial<PlatformContext>): Promise<Sandbox> {
  const env = { UVM_SHIM_HOST: `unix:${join(directory, "host.sock")}` };
  const context = { env, executableDirectory: directory, ...more } as PlatformContext;
  const platform = hostPlatform({ os: "linux", createSandbox: async () => sandbox, cleanUp: async () => {} }, context);
  try {
    return await platform.createSandbox({} as SandboxRequest);
  } finally {
    await platform.close();
  }
}

it("names a host that is not there before anything of a sandbox is looked at", async () => {
  await expect(ask({})).rejects.toThrow("host.sock");
});

it("leaves it to the sandbox whether to connect where a VM may be ready", async () => {
  expect(await ask({ readyVms })).toBe(sandbox);
});
