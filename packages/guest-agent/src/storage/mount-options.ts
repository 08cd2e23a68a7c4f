import { mountFlags } from "@uvm-shim/linux-calls";

const flagsByOption: ReadonlyMap<string, number> = new Map([
  ["ro", mountFlags.MS_RDONLY],
  ["nosuid", mountFlags.MS_NOSUID],
  ["nodev", mountFlags.MS_NODEV],
  ["noexec", mountFlags.MS_NOEXEC],
  ["noatime", mountFlags.MS_NOATIME],
  ["relatime", mountFlags.MS_RELATIME],
]);

/** Options that are the default. */
const defaults: ReadonlySet<string> = new Set(["rw", "suid", "dev", "exec", "atime", "defaults"]);

const contradictions: readonly (readonly [string, string])[] = [
  ["rw", "ro"],
  ["rrw", "rro"],
  ...["suid", "dev", "exec", "atime", "diratime", "relatime", "strictatime", "symfollow", "iversion", "mand"].flatMap(
    (name): (readonly [string, string])[] => [
      [name, `no${name}`],
      [`r${name}`, `rno${name}`],
    ],
  ),
  ["async", "sync"],
  ["loud", "silent"],
];
const opposites: ReadonlyMap<string, string> = new Map(
  contradictions.flatMap(
    ([a, b]) =>
      [
        [a, b],
        [b, a],
      ] as const,
  ),
);

/** Drops options that a later one reverts, since crun (1.8) can only set flags, not clear them. */
export function effectiveOptions(options: readonly string[]): readonly string[] {
  return options.filter((option, index) => {
    const opposite = opposites.get(option);
    return opposite === undefined || !options.includes(opposite, index + 1);
  });
}

/** Splits mount options into the flags of mount(2) and the file system's own data. */
export function parseMountOptions(options: readonly string[]): { readonly flags: number; readonly data: string } {
  let flags = 0;
  const data: string[] = [];
  for (const option of effectiveOptions(options)) {
    const flag = flagsByOption.get(option);
    if (flag !== undefined) flags |= flag;
    else if (!defaults.has(option)) data.push(option);
  }
  return { flags, data: data.join(",") };
}
