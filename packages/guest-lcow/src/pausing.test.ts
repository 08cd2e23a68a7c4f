import { GuestFault } from "@uvm-shim/gcs-bridge";
import { capabilities } from "@uvm-shim/gcs-bridge/testing";
import { describe, expect, it } from "vitest";
import { FakeGuest } from "./testing/fake-guest.ts";

const settings = {
  SchemaVersion: { Major: 2, Minor: 1 },
  OciBundlePath: "/b",
  OciSpecification: { ociVersion: "1.0.2" },
  ScratchDirPath: "",
};

describe("pausing", () => {
  const pausing = {
    GuestDefinedCapabilities: { ...capabilities.GuestDefinedCapabilities, PauseContainerSupported: true },
  };

  it("is requested from a guest that supports it", async () => {
    const fake = new FakeGuest({}, pausing);
    const guest = await fake.connect();
    const container = await guest.createContainer("c", settings);
    await container.pause();
    await container.resume();
    const request = (Frozen: boolean) => ({
      procedure: "modifySettings",
      containerId: "c",
      body: { Request: { ResourceType: "ContainerFreezer", RequestType: "Update", Settings: { Frozen } } },
    });
    expect(fake.seen.slice(1)).toEqual([request(true), request(false)]);
  });

  it("is refused for a guest that does not support it", async () => {
    const guest = await new FakeGuest().connect();
    const container = await guest.createContainer("c", settings);
    await expect(container.pause()).rejects.toMatchObject({ code: "Unimplemented" });
  });
});

describe("a ping", () => {
  it("is answered by an error too, and fails once the guest is gone", async () => {
    await (await new FakeGuest().connect()).ping();
    const guest = await new FakeGuest({
      getProperties: () => Promise.reject(new GuestFault("E_FAIL", "no")),
    }).connect();
    await guest.ping();
    await guest.close();
    await expect(guest.ping()).rejects.toMatchObject({ gone: true });
  });
});
