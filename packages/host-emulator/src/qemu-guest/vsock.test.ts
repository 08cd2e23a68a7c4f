import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DescriptorListener, DescriptorSocket } from "@uvm-shim/linux-calls";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterEach, beforeEach, expect, it } from "vitest";
import { connectVsock, type ListenForMachine, type ListeningDevice } from "./vsock.ts";

type End = Awaited<ListeningDevice["ended"]>;

describeWith("Linux")("a machine's vsock device", () => {
  let folder: string;
  let ended: PromiseWithResolvers<End>;
  let arrived: PromiseWithResolvers<DescriptorSocket>;
  let closes: number;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "qemu-vsock-"));
    [ended, arrived, closes] = [Promise.withResolvers(), Promise.withResolvers(), 0];
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const listen: ListenForMachine = async ({ machineSocket, guestCid, socketBase }) => {
    expect([guestCid, socketBase]).toEqual([3, join(folder, "hv.vsock")]);
    const user = { arrived: arrived.resolve, failed: arrived.reject };
    const listener = new DescriptorListener(machineSocket, 1, user);
    const close = (): void => {
      closes++;
      listener.close();
    };
    return { ended: ended.promise, close };
  };

  it("is connected before its QEMU is started, and tells when it fails", async () => {
    const device = await connectVsock(listen, { name: "vm", directory: folder });
    const peer = await arrived.promise;
    const machine = new DescriptorSocket(device.descriptor, 1);
    machine.send(Buffer.from("x"));
    expect(peer.receive(Buffer.alloc(1))?.length).toBe(1);
    machine.close();
    peer.close();
    ended.resolve({ kind: "failed", error: new Error("hostile guest") });
    expect((await device.failed).message).toBe("hostile guest");
    await device.close();
    expect([closes, readdirSync(folder)]).toEqual([1, []]);
  });

  it("is closed if nobody takes the machine", async () => {
    const broken: ListenForMachine = async () => ({ ended: ended.promise, close: () => closes++ });
    await expect(connectVsock(broken, { name: "vm", directory: folder })).rejects.toThrow("ENOENT");
    expect(closes).toBe(1);
  });
});
