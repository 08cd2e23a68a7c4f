import { mountFlags } from "@uvm-shim/linux-calls";

const flagsByOption: ReadonlyMap<string, number> = new Map([
  ["ro", mountFlags.MS_RDONLY],
  ["nosuid", mountFlags.MS_NOSUID],
  ["nodev", mountFlags.MS_NODEV],
  ["noexec", mountFlags.MS_NOEXEC],
  ["noatime", mountFlags.MS_NOATIME],
  ["relatime", mountFlags.MS_RELATIME],
]);

/** Options that say what holds anyway. */
const defaults: ReadonlySet<string> = new Set(["rw", "suid", "dev", "exec", "atime", "defaults"]);

/** Splits mount options as users write them into the flags of mount(2) and the file system's own data. */
export function parseMountOptions(options: readonly string[]): { readonly flags: number; readonly data: string } {
  let flags = 0;
  const data: string[] = [];
  for (const option of options) {
    const flag = flagsByOption.get(option);
    if (flag !== undefined) flags |= flag;
    else if (!defaults.has(option)) data.push(option);
  }
  return { flags, data: data.join(",") };
}
