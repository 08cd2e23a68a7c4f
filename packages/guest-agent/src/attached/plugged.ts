/** What is attached to a process guest: the emulated host plugs it in at places that it shares with the guest. */
import { existsSync } from "node:fs";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import { diskNode, guestFolders, nicInterface } from "@uvm-shim/host-protocol/guest";
import { MNT_DETACH, mount, mountFlags, setMountReadOnly, umount } from "@uvm-shim/linux-calls";
import type { NicFinder } from "../network/namespaces.ts";
import type { AttachedDisks, ShareMounter } from "../storage/storage.ts";

const interfaces = "/sys/class/net";

/** The host makes a node for each disk, and removes it with the disk. */
export const pluggedDisks: AttachedDisks = {
  find: (...address) => presentAt(diskNode(...address)),
  release: () => {},
};

/** The host moves the interface of each NIC into the guest, named by the NIC's GUID. */
export const findPluggedNic: NicFinder = ({ ID }) => {
  const name = nicInterface(ID);
  return presentAt(`${interfaces}/${name}`) && name;
};

/** The host mounts each share in a folder of the guest. */
export const mountPluggedShare: ShareMounter = async ({ ShareName, MountPath, ReadOnly }) => {
  const source = `${guestFolders.plan9Shares}/${ShareName}`;
  if (!existsSync(source)) {
    throw new GuestFault("ERROR_PATH_NOT_FOUND", `Request.Settings.ShareName: share ${ShareName} does not exist`);
  }
  mount(source, MountPath, "", mountFlags.MS_BIND | mountFlags.MS_REC);
  if (!ReadOnly) return;
  try {
    setMountReadOnly(MountPath, true);
  } catch (error) {
    umount(MountPath, MNT_DETACH);
    throw error;
  }
};

function presentAt(path: string): string | undefined {
  return existsSync(path) ? path : undefined;
}
