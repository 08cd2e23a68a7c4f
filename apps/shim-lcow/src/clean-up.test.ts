import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { cleanUp } from "./clean-up.ts";

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "clean-up-"));
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

function cleanUpWith(UVM_SHIM_HOST: string): Promise<void> {
  const request = { namespace: "ns", id: "c1", bundle: directory };
  return cleanUp(request, { env: { UVM_SHIM_HOST }, executableDirectory: directory });
}

describe("cleaning up", () => {
  it("does not start an emulated host just to find nothing left", async () => {
    await expect(cleanUpWith(`unix:${directory}/none.sock`)).resolves.toBeUndefined();
  });

  it("does nothing when no host is configured", async () => {
    await expect(cleanUpWith("none")).resolves.toBeUndefined();
  });

  it("reports what is wrong with the name of a host", async () => {
    await expect(cleanUpWith("tcp://host")).rejects.toMatchObject({ code: "InvalidArgument" });
  });
});
