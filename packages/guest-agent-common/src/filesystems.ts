import { closeSync, openSync, readSync } from "node:fs";

/** The superblock signatures of file systems. */
const signatures: readonly { readonly name: string; readonly offset: number; readonly bytes: readonly number[] }[] = [
  { name: "ext4", offset: 1080, bytes: [0x53, 0xef] },
  { name: "xfs", offset: 0, bytes: [0x58, 0x46, 0x53, 0x42] },
  { name: "erofs", offset: 1024, bytes: [0xe2, 0xe1, 0xf5, 0xe0] },
  { name: "squashfs", offset: 0, bytes: [0x68, 0x73, 0x71, 0x73] },
  { name: "btrfs", offset: 65600, bytes: [0x5f, 0x42, 0x48, 0x52, 0x66, 0x53, 0x5f, 0x4d] },
];

/** The file system on a device, by its superblock; undefined if it is unknown. */
export function detectFilesystem(device: string): string | undefined {
  const descriptor = openSync(device, "r");
  try {
    const found = signatures.find(({ offset, bytes }) => {
      const read = Buffer.alloc(bytes.length);
      readSync(descriptor, read, 0, read.length, offset);
      return read.equals(Buffer.from(bytes));
    });
    return found?.name;
  } finally {
    closeSync(descriptor);
  }
}

/** Mount options that keep a read-only mount from replaying the journal. */
export function readOnlyOptionsOf(filesystem: string): readonly string[] {
  switch (filesystem) {
    case "ext4":
      return ["noload"];
    case "xfs":
      return ["norecovery"];
    default:
      return [];
  }
}
