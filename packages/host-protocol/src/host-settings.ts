import { hostVariables } from "./host-process.ts";

/** The variables of {@link hostVariables}, read; absent: not set. */
export interface HostSettings {
  readonly idleMs?: number;
  readonly devicesFile?: string;
  readonly wine?: string;
  readonly qemu?: string;
  /** By GUID in lower case: the processors as the kernel writes lists of them, such as `0-3,7`. */
  readonly cpuGroups: ReadonlyMap<string, string>;
}

/** Throws an Error that names the variable, its value and what is expected. An empty variable counts as not set. */
export function readHostSettings(env: { readonly [name: string]: string | undefined }): HostSettings {
  const idle = env[hostVariables.idleMs] ?? "";
  if (!/^\d{0,9}$/.test(idle)) throw wrong(hostVariables.idleMs, "milliseconds", idle);
  const devicesFile = pathOf(env, hostVariables.devices);
  const wine = pathOf(env, hostVariables.wine);
  const qemu = pathOf(env, hostVariables.qemu);
  return {
    ...(idle === "" ? {} : { idleMs: Number(idle) }),
    ...(devicesFile === undefined ? {} : { devicesFile }),
    ...(wine === undefined ? {} : { wine }),
    ...(qemu === undefined ? {} : { qemu }),
    cpuGroups: readCpuGroups(env[hostVariables.cpuGroups] ?? ""),
  };
}

function pathOf(env: { readonly [name: string]: string | undefined }, name: string): string | undefined {
  const value = env[name] || undefined;
  if (value !== undefined && !value.startsWith("/")) throw wrong(name, "an absolute path", value);
  return value;
}

function wrong(name: string, expected: string, value: string): Error {
  return new Error(`${name}: expected ${expected}, got ${JSON.stringify(value)}`);
}

/** Entries `<GUID>=<processors>`, separated by `;`. */
function readCpuGroups(text: string): ReadonlyMap<string, string> {
  const groups = new Map<string, string>();
  for (const entry of text.split(";").filter((part) => part.trim() !== "")) {
    const [, id, processors] = /^\s*([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})=([\d,-]+)\s*$/i.exec(entry) ?? [];
    if (id === undefined || processors === undefined) {
      const expected = "<GUID>=<processors>, for example …=0-3,7, separated by ;";
      throw wrong(hostVariables.cpuGroups, expected, entry);
    }
    groups.set(id.toLowerCase(), processors);
  }
  return groups;
}
