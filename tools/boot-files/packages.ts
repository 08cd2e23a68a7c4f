/** The packages of Debian that virtual machines are made of and run with. */
import type { WantedPackages } from "./debian-tree.ts";

/** What the guest consists of beside Node and the agent. */
export const guestPackages: WantedPackages = {
  name: "guest",
  whole: ["busybox-static", "crun", "e2fsprogs", "iproute2", "libatomic1", "libstdc++6"],
  behind: ["linux-image-amd64"],
};

/** With its libraries, but for the C library: the machine's loader fits only the machine's own. */
export const imagePackages: WantedPackages = {
  name: "image-tools",
  alone: ["erofs-utils", "liblz4-1", "libselinux1", "libpcre2-8-0", "libuuid1"],
};

/** What runs the guest, and unpacks its kernel. The folder has QEMU's own files where QEMU looks for them, by its own path. */
export const hostPackages: WantedPackages = {
  name: "qemu",
  whole: ["qemu-system-x86", "diod", "xz-utils"],
  without: ["libc6", "libc-bin"],
};
