import { duplexPair } from "node:stream";
import { describe, expect, it } from "vitest";
import { GcsBridgeClient, GcsBridgeServer } from "./index.ts";

describe("smoke", () => {
  it("negotiates", async () => {
    const [a, b] = duplexPair();
    new GcsBridgeServer(b, {}, { capabilities: { SendHostCreateMessage: false, SendHostStartMessage: false, SupportedSchemaVersions: [{ Major: 2, Minor: 1 }], RuntimeOsType: "Linux", GuestDefinedCapabilities: { NamespaceAddRequestSupported: true, SignalProcessSupported: true, DumpStacksSupported: true, DeleteContainerStateSupported: true } } });
    const client = new GcsBridgeClient(a, { newActivityId: () => "a", onNotification: () => {} });
    expect((await client.negotiate()).RuntimeOsType).toBe("Linux");
    await expect(client.request("start", "c", {})).rejects.toMatchObject({ code: "Unimplemented" });
    await client.close();
  });
});
