import { randomUUID } from "node:crypto";
import { linuxNetworking, NetworkController } from "@uvm-shim/controller-network";
import { linuxGuestDisks, ScsiController } from "@uvm-shim/controller-scsi";
import { posixPaths } from "@uvm-shim/lifecycle";
import { ordinaryGuestLayout } from "@uvm-shim/sandbox-lcow";
import type { GrowthSubject } from "./growth.ts";

const instant = async (): Promise<void> => {};

const disks: GrowthSubject = {
  name: "map and unmap a disk",
  counts: [1, 16, 64, 256],
  async prepare(count) {
    const scsi = new ScsiController({
      id: "vm",
      host: { attachDisk: instant, detachDisk: instant },
      guest: () => ({ mountDisk: instant, unmountDisk: instant, ejectDisk: instant }),
      guestDisks: linuxGuestDisks(ordinaryGuestLayout),
      controllers: 4,
      reserved: [],
      paths: posixPaths,
      newId: randomUUID,
    });
    const map = async (number: number): Promise<string> => {
      const disk = { hostPath: `/disks/${number}.vhd`, readOnly: true, type: "VirtualDisk" } as const;
      const reservation = await scsi.reserve(disk, { partition: 0, readOnly: true });
      await scsi.mapToGuest(reservation);
      return reservation;
    };
    // With the one that is measured, there are as many.
    for (let number = 1; number < count; number++) await map(number);
    return { things: 1, operate: async () => await scsi.unmapFromGuest(await map(0)) };
  },
};

const guid = (number: number): string => `00000000-0000-4000-8000-${number.toString(16).padStart(12, "0")}`;

const networks: GrowthSubject = {
  name: "set up and tear down a network, each endpoint",
  counts: [1, 4, 16, 64],
  async prepare(count) {
    const endpoints = Array.from({ length: count }, (_, number) => ({
      ID: guid(number),
      Name: `eth${number}`,
      HostComputeNetwork: guid(0xffff),
      MacAddress: `00-15-5D-00-00-${number.toString(16).padStart(2, "0")}`,
      IpConfigurations: [{ IpAddress: `10.0.0.${number + 2}`, PrefixLength: 24 }],
    }));
    const byId = new Map(endpoints.map((endpoint) => [endpoint.ID, endpoint]));
    const namespace = {
      ID: guid(0xfffe),
      Resources: endpoints.map(({ ID }) => ({ Type: "Endpoint" as const, Data: { Id: ID } })),
    };
    const guest = { supportsNetworkNamespaces: true, addNetworkInterface: instant, removeNetworkInterface: instant };
    const operate = async (): Promise<void> => {
      let nics = 0x10000;
      const controller = new NetworkController({
        namespaceId: namespace.ID,
        networks: {
          queryNamespace: async () => namespace,
          queryEndpoint: async (id) => byId.get(id) as (typeof endpoints)[number],
        },
        host: { addNic: instant, removeNic: instant },
        guest: linuxNetworking({ guest: () => guest }),
        newId: () => guid(nics++),
      });
      await controller.setup();
      await controller.teardown();
    };
    return { things: count, operate };
  },
};

/** All whose cost must not grow with their number. A controller joins by a line. */
export const growthSubjects: readonly GrowthSubject[] = [disks, networks];
