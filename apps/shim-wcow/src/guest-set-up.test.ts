import type { VmComputeSystem } from "@uvm-shim/controller-vm";
import type { WindowsGuest } from "@uvm-shim/guest-wcow";
import { windowsHvsocketServices } from "@uvm-shim/hcs-schema";
import { describe, expect, it } from "vitest";
import { configuredVm, creatingInTurn } from "./guest-set-up.ts";

const system = { runtimeId: "00000000-0000-4000-8000-000000000001" } as VmComputeSystem;
const policy = { EnforcerType: "", EncodedSecurityPolicy: "e30=" };
const { signal } = new AbortController();

/** A guest that records what it is asked; `refuses` is what it refuses. */
function fakeGuest(refuses?: string, supportsLogForwarding = true) {
  const calls: string[] = [];
  const call = (name: string) => async (): Promise<void> => {
    calls.push(name);
    if (name === refuses) throw new Error(`${name} refused`);
  };
  const guest = {
    supportsLogForwarding,
    updateHvSocketAddress: call("address"),
    setSecurityPolicy: call("policy"),
    startLogForwarding: call("logs"),
  } as unknown as WindowsGuest;
  return { guest, calls };
}

describe("a guest that has connected", () => {
  const logs = { sources: "c291cmNlcw==", isRequired: false };
  const setUp = async (given: Parameters<typeof fakeGuest>, isRequired = false, confidential = false) => {
    const { guest, calls } = fakeGuest(...given);
    const warnings: unknown[] = [];
    const flavour = configuredVm({
      settings: { gcsService: windowsHvsocketServices.gcs, logForwarding: { ...logs, isRequired } },
      policy: confidential ? policy : undefined,
      warn: (...warning) => void warnings.push(warning),
    });
    const failure = await flavour.connected?.(guest, system, signal).then(() => undefined, String);
    return { calls, warnings, failure };
  };

  it("gets its address, then its policy, then what it is to log", async () => {
    expect(await setUp([], true, true)).toMatchObject({ calls: ["address", "policy", "logs"], failure: undefined });
    expect(await setUp([])).toMatchObject({ calls: ["address", "logs"] });
  });

  it("that refuses to forward logs is used all the same, and its shim says so", async () => {
    const { failure, warnings } = await setUp(["logs"]);
    expect([failure, warnings]).toEqual([
      undefined,
      [["the guest forwards no logs", { error: "Error: logs refused" }]],
    ]);
  });

  it("that refuses to forward logs where its policy asks for them is not used", async () => {
    expect(await setUp(["logs"], true, true)).toMatchObject({ failure: "Error: logs refused", warnings: [] });
  });

  it("that cannot forward logs is not asked, unless they are required", async () => {
    expect(await setUp([undefined, false])).toMatchObject({ calls: ["address"], failure: undefined });
    expect(await setUp([undefined, false], true)).toMatchObject({ calls: ["address", "logs"] });
  });

  it("is not used when it refuses its policy", async () => {
    expect(await setUp(["policy"], true, true)).toMatchObject({ calls: ["address", "policy"] });
    expect((await setUp(["policy"], true, true)).failure).toBe("Error: policy refused");
  });

  it("of a confidential VM dials another service", () => {
    const settings = { gcsService: windowsHvsocketServices.sidecarGcs, logForwarding: undefined };
    const { services } = configuredVm({ settings, policy, warn: () => {} });
    expect(services).toEqual({
      log: windowsHvsocketServices.log,
      bridge: windowsHvsocketServices.sidecarGcs,
    });
  });
});

it("a guest of a confidential VM creates one container after the other", async () => {
  const begun: string[] = [];
  const release = Promise.withResolvers<void>();
  const createContainer = async (id: string): Promise<never> => {
    begun.push(id);
    await release.promise;
    return undefined as never;
  };
  const guest = creatingInTurn({ createContainer } as unknown as WindowsGuest);
  const creations = ["a", "b"].map((id) => guest.createContainer(id, {}));
  await new Promise(setImmediate);
  expect(begun).toEqual(["a"]);
  release.resolve();
  await Promise.all(creations);
  expect(begun).toEqual(["a", "b"]);
});
