import { scsiControllerGuids } from "@uvm-shim/hcs-schema";
import { describe, expect, it } from "vitest";
import { describeComputeHostContract } from "./contract.ts";
import { FakeContractHost } from "./fake-contract-host.ts";
import { FakeComputeService } from "./fake-service.ts";

describeComputeHostContract("fake service", async () => new FakeContractHost());

describe("a fake service", () => {
  it("lists everything that is left, until nothing is", async () => {
    const on = new FakeContractHost();
    const service = new FakeComputeService();
    const host = service.connect();
    const system = await host.createComputeSystem("vm", on.document({ owner: "test", endsWithLastHandle: true }));
    await system.start();
    const listener = await system.listen(4000);
    await system.modify({
      ResourcePath: `VirtualMachine/Devices/Scsi/${scsiControllerGuids[0]}/Attachments/3`,
      RequestType: "Add",
      Settings: { Type: "VirtualDisk", Path: "/d" },
    });
    expect(service.leftovers()).toEqual([
      "system vm (Running)",
      "disk /d at 0:3",
      "listener 4000",
      "handle of vm",
      "claim on /d",
    ]);
    await listener.close();
    await system.close();
    expect(service.leftovers()).toEqual([]);
  });
});
