/** How the real guest treats containers before and after they run, and devices that never appear. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { describe, expect, it, vi } from "vitest";
import type { Machine } from "../testing/machine.ts";
import { bundleOf, specificationFor } from "../testing/specifications.ts";
import { machineForSuite } from "../testing/suite-machine.ts";

const mebibyte = 1024 * 1024;
/** Longer than the timeout that the guest once had for absent devices. */
const longWait = 6000;
const forever = ["sleep", "1000000"];

describeWith("root", "crun", "runc", "busybox", "mkfs.ext4").each(["crun", "runc"] as const)(
  "states of containers, with %s",
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

    /** A standalone container, in a network namespace of its own. */
    async function createStandalone(id: string, args: readonly string[] = forever) {
      const windows = { network: { networkNamespace: id } };
      const rootfs = await machine.shareRoot(id);
      await machine.create(id, { ...specificationFor(rootfs, { args }, { sysctl: {} }), windows });
    }

    async function inGuest(script: string): Promise<string> {
      return (await machine.inGuest(["sh", "-c", script])).stdout;
    }

    describe("the state of a container", () => {
      it("is forgotten even if it could not be removed because the root is still mounted", async () => {
        const id = newId();
        await createStandalone(id, ["true"]);
        await (await machine.execute(id)).exit;
        await expect(remove(id)).rejects.toMatchObject(failed(`${bundleOf(id)}/rootfs is a mount`));
        await expect(remove(id)).rejects.toMatchObject(notFound);
        expect(await inGuest(`ls ${bundleOf(id)} ${bundleOf(id)}/rootfs/bin/sh`)).toContain("bin/sh");
      });

      it("is forgotten while the container runs on", async () => {
        const id = newId();
        await createStandalone(id);
        const { pid } = await machine.execute(id);
        await expect(remove(id)).rejects.toMatchObject(failed("it is Running, expected Created or Stopped"));
        await expect(machine.client.request("signalProcess", id, { ProcessId: pid })).rejects.toMatchObject(notFound);
        expect(await inGuest(`cat /proc/${pid}/comm`)).toBe("sleep\n");
      });

      it("is Creating, which takes no shutdown, until the container is created", async () => {
        const id = newId();
        const rootfs = await machine.shareRoot(id);
        const windows = { network: { networkNamespace: id } };
        const made = machine.create(id, { ...specificationFor(rootfs, { args: forever }, { sysctl: {} }), windows });
        await expect(machine.client.request("shutdownForced", id, {})).rejects.toMatchObject({
          hresultName: "HCS_E_INVALID_STATE",
        });
        await made;
      });

      it("becomes Stopped without a notification if the container is killed before its start", async () => {
        const id = newId();
        await createStandalone(id);
        await machine.client.request("shutdownForced", id, {});
        // A start before the exit is collected could still succeed.
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

      it("is not checked by a Start, which succeeds for any id", async () => {
        expect(await machine.client.request("start", "nobody", {})).toMatchObject({});
      });
    });

    describe("an absent device", () => {
      /** The outcome of a request, or "no answer" after a long wait. */
      const outcomeOf = (request: Promise<unknown>): Promise<unknown> =>
        Promise.race([
          request.then(
            () => "done",
            (error: unknown) => error,
          ),
          delay(longWait, "no answer"),
        ]);

      it("is waited for without a timeout: a disk to mount or unmount", async () => {
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

      it("is waited for without a timeout: an assigned device", async () => {
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
