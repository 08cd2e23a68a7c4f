import { describe, expect, it } from "vitest";
import { LinuxGuest } from "./guest.ts";
import { FakeGuest, withoutPipes } from "./testing/fake-guest.ts";

/** A guest that expects nothing but the negotiation. */
async function guestAskedNothing(
  act: (fake: FakeGuest, guest: Awaited<ReturnType<FakeGuest["connect"]>>) => Promise<void>,
) {
  const fake = new FakeGuest();
  const guest = await fake.connect();
  const before = fake.seen.length;
  await act(fake, guest);
  expect(fake.seen.length).toBe(before);
  await guest.close();
}

describe("a request that crashes the real agent", () => {
  it.each([[undefined], [[]], [[""]]])(
    "is not sent: a process of the VM with the arguments %j",
    async (CommandArgs) => {
      await guestAskedNothing(async (fake, guest) => {
        const parameters = { ...withoutPipes, ...(CommandArgs === undefined ? {} : { CommandArgs }) };
        await expect(guest.execute(parameters)).rejects.toMatchObject({
          code: "InvalidArgument",
          message: expect.stringContaining("CommandArgs is empty: expected a program of the guest"),
        });
        expect(fake.ports.size).toBe(0);
      });
    },
  );

  it.each([4, -1, 0.5])("is not sent: a disk at SCSI controller %d", async (Controller) => {
    await guestAskedNothing(async (_, guest) => {
      const slot = { Controller, Lun: 0 };
      const disk = { ...slot, MountPath: "/run/disk", Partition: 0, ReadOnly: true };
      const refused = {
        code: "InvalidArgument",
        message: expect.stringContaining(`Controller ${Controller}: expected 0 to 3`),
      };
      await expect(guest.mountDisk(disk)).rejects.toMatchObject(refused);
      await expect(guest.unmountDisk(disk)).rejects.toMatchObject(refused);
      await expect(guest.ejectDisk(slot)).rejects.toMatchObject(refused);
    });
  });
});

describe("the messages to a guest", () => {
  it("begin at an id of their own, so that late answers to an earlier host do not match", async () => {
    const fake = new FakeGuest();
    const ids: bigint[] = [];
    const write = fake.hostStream.write.bind(fake.hostStream);
    fake.hostStream.write = ((bytes: Buffer, ...rest: []) => {
      ids.push(bytes.readBigUInt64LE(8));
      return write(bytes, ...rest);
    }) as typeof fake.hostStream.write;
    const guest = await LinuxGuest.connect(fake.hostStream, { ...fake.options, firstMessageId: 1n << 40n });
    expect(ids[0]).toBe(1n << 40n);
    await guest.close();
  });
});
