import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { EmulatedHost } from "../emulated-host.ts";
import { FakeKind, TestFiles } from "../testing/fake-guest.ts";
import { requestHost } from "./host-request.ts";
import { readSettings } from "./run-emulator.ts";
import { HostServer } from "./server.ts";

const files = new TestFiles();
const socketPath = join(files.directory, "host.sock");
let kind: FakeKind;
let host: EmulatedHost;
let server: HostServer;

afterAll(() => files.remove());
beforeEach(async () => {
  kind = new FakeKind();
  host = new EmulatedHost({ stateDirectory: files.directory, kinds: [kind], report: () => {} });
  server = new HostServer({ host, socketPath, idleMs: 60_000 });
  await server.listen();
});
afterEach(async () => {
  server.close();
  await host.close();
});

describe("freezing a guest from the command line", () => {
  it("has options to freeze and to thaw", () => {
    expect(readSettings([], {})).not.toHaveProperty("fault");
    expect(readSettings(["--freeze", "vm"], {})).toHaveProperty("fault", { system: "vm", isFrozen: true });
    expect(readSettings(["--thaw", "vm"], {})).toHaveProperty("fault", { system: "vm", isFrozen: false });
    expect(() => readSettings(["--thaw", "vm", "--freeze", "vm"], {})).toThrow(
      "--freeze and --thaw: expected only one",
    );
  });

  it("freezes and thaws a guest over the running host's socket", async () => {
    await host.create("vm", files.document()).start();
    await requestHost(socketPath, "freeze", { system: "vm", isFrozen: true });
    await requestHost(socketPath, "freeze", { system: "vm", isFrozen: false });
    expect(kind.machines[0]?.calls).toEqual(["boot", "freeze", "thaw"]);
  });

  it("reports what is impossible", async () => {
    const ask = requestHost(socketPath, "freeze", { system: "none", isFrozen: true });
    await expect(ask).rejects.toThrow("compute system none does not exist");
    host.create("vm", files.document());
    await expect(requestHost(socketPath, "freeze", { system: "vm", isFrozen: true })).rejects.toThrow(
      "cannot freeze a Created system",
    );
    await expect(requestHost(`${socketPath}-none`, "freeze", { system: "vm", isFrozen: true })).rejects.toThrow(
      "ENOENT",
    );
  });
});
