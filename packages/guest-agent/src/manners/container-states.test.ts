/** The manners of the real Linux guest for what a container is before and after it runs, and for what never comes. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { describe, expect, it, vi } from "vitest";
import type { Machine } from "../testing/machine.ts";
import { bundleOf, specificationFor } from "../testing/specifications.ts";
import { machineForSuite } from "../testing/suite-machine.ts";

const mebibyte = 1024 * 1024;
/** Longer than the guest once waited for what does not appear. */
const longWait = 6000;
const forever = ["sleep", "1000000"];

describeWith("root", "crun", "runc", "busybox", "mkfs.ext4").each(["crun", "runc"] as const)(
  "containers with %s",
  (runtime) => {
    let machine: Machine;
    let ids = 0;

    machineForSuite(runtime, (booted) => {
      machine = booted;
    });

    const newId = (): string => `container-${++ids}`;
    const remove = (id: string) => machine.client.request("deleteContainerState", id, {});
    const failed = (words: string) => ({ hresultName: "E_FAIL", message: expect.stringContaining(words) });
    const notFound = { hresultName: "HCS_E_SYSTEM_NOT_FOUND" };

    /** A container by itself, in a network namespace of its own. */
    async function createStandalone(id: string, args: readonly string[] = forever) {
      const windows = { network: { networkNamespace: id } };
      const rootfs = await machine.shareRoot(id);
      await machine.create(id, { ...specificationFor(rootfs, { args }, { sysctl: {} }), windows });
    }

    async function inGuest(script: string): Promise<string> {
      return (await machine.inGuest(["sh", "-c", script])).stdout;
    }

    describe("the state of a container", () => {
      it("is forgotten although it could not be removed, where the root is mounted still", async () => {
        const id = newId();
        await createStandalone(id, ["true"]);
        await (await machine.execute(id)).exit;
        await expect(remove(id)).rejects.toMatchObject(failed(`${bundleOf(id)}/rootfs is a mount`));
        await expect(remove(id)).rejects.toMatchObject(notFound);
        expect(await inGuest(`ls ${bundleOf(id)} ${bundleOf(id)}/rootfs/bin/sh`)).toContain("bin/sh");
      });

      it("is forgotten of one that runs, which goes on", async () => {
        const id = newId();
        await createStandalone(id);
        const { pid } = await machine.execute(id);
        await expect(remove(id)).rejects.toMatchObject(failed("it is Running, expected Created or Stopped"));
        await expect(machine.client.request("signalProcess", id, { ProcessId: pid })).rejects.toMatchObject(notFound);
        expect(await inGuest(`cat /proc/${pid}/comm`)).toBe("sleep\n");
      });

      it("is that of one in the making, which answers nothing before it is made", async () => {
        const id = newId();
        const rootfs = await machine.shareRoot(id);
        const windows = { network: { networkNamespace: id } };
        const made = machine.create(id, { ...specificationFor(rootfs, { args: forever }, { sysctl: {} }), windows });
        await expect(machine.client.request("shutdownForced", id, {})).rejects.toMatchObject({
          hresultName: "HCS_E_INVALID_STATE",
        });
        await made;
      });

      it("ends without a notification where it was killed before its start", async () => {
        const id = newId();
        await createStandalone(id);
        await machine.client.request("shutdownForced", id, {});
        // A start that comes before its end could still be taken.
        const Query = JSON.stringify({ PropertyTypes: ["ProcessList"] });
        await vi.waitFor(async () => {
          const { Properties } = await machine.client.request("getProperties", id, { Query });
          expect(JSON.parse(Properties)).toMatchObject({ ProcessList: [] });
        });
        await vi.waitFor(() =>
          expect(machine.execute(id)).rejects.toMatchObject({ hresultName: "HCS_E_INVALID_STATE" }),
        );
        await machine.deleteContainer(id);
        expect(machine.notifications.filter(({ containerId }) => containerId === id)).toEqual([]);
      });

      it("means nothing to a start, which every name may have", async () => {
        expect(await machine.client.request("start", "nobody", {})).toMatchObject({});
      });
    });

    describe("what does not appear", () => {
      /** Whether an answer has come; one that has not is waited for. */
      const outcomeOf = (request: Promise<unknown>): Promise<unknown> =>
        Promise.race([
          request.then(
            () => "done",
            (error: unknown) => error,
          ),
          delay(longWait, "no answer"),
        ]);

      it("is waited for without end: a disk, to be mounted and to be unmounted", async () => {
        const disk = { MountPath: "/run/mounts/late", Controller: 0, Lun: 9, Partition: 0, BlockDev: true };
        const never = { ...disk, Lun: 10, MountPath: "/run/mounts/never" };
        const mounted = machine.modify("Add", "MappedVirtualDisk", disk);
        const unmounted = machine.modify("Remove", "MappedVirtualDisk", never);
        unmounted.catch(() => {});
        expect(await Promise.all([outcomeOf(mounted), outcomeOf(unmounted)])).toEqual(["no answer", "no answer"]);
        const path = join(machine.fixtures.folder, "late.img");
        writeFileSync(path, Buffer.alloc(mebibyte));
        machine.attachDisk(path, 9);
        await mounted;
        expect(await inGuest("stat -L -c %F /run/mounts/late")).toBe("block special file\n");
        await machine.modify("Remove", "MappedVirtualDisk", disk);
      });

      it("is waited for without end: an assigned device", async () => {
        const VMBusGUID = "6f9619ff-8b86-d011-b42d-00c04fc96400";
        const assigned = machine.modify("Add", "VPCIDevice", { VMBusGUID });
        expect(await outcomeOf(assigned)).toBe("no answer");
        machine.assignDevice(VMBusGUID, 1, 3);
        await assigned;
        expect(await inGuest(`ls /dev/vpci/${VMBusGUID}`)).toContain("device.json");
      });
    });
  },
);
