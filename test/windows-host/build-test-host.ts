/** Compiles the DLLs of the test host from test/windows-host/dlls. */
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { kernelFunctions, securityFunctions } from "../../packages/hcs-bindings/src/windows/native/kernel-functions.ts";
import { ole32Functions } from "../../packages/hcs-bindings/src/windows/native/ole32-functions.ts";
import { winsockFunctions } from "../../packages/hcs-bindings/src/windows/native/winsock-functions.ts";
import { compileForWindows } from "./compile.ts";
import { REPOSITORY } from "./wine-environment.ts";

export const dllSources = join(dirname(fileURLToPath(import.meta.url)), "dlls");

/** Windows 10 is the first that has all that the headers are asked for. */
export const headerOptions = ["-D_WIN32_WINNT=0x0A00"];

interface Dll {
  readonly sources: readonly string[];
  readonly libraries?: readonly string[];
  /** What a DLL that stands before others exports: functions of its own, and those of the others. */
  readonly exports?: { readonly own: readonly string[]; readonly forwarded: Readonly<Record<string, object>> };
}

const dlls: Readonly<Record<string, Dll>> = {
  testhost: {
    sources: ["testhost.c", "workers.c", "relay-client.c", "base64.c", "pipes.c"],
    libraries: ["-lws2_32", "-lole32"],
  },
  computecore: { sources: ["computecore.c", "operations.c", "subjects.c", "processes.c"] },
  computenetwork: { sources: ["computenetwork.c"], libraries: ["-lole32"] },
  computestorage: { sources: ["computestorage.c"] },
  vmcompute: { sources: ["vmcompute.c"], libraries: ["-lole32"] },
  virtdisk: { sources: ["virtdisk.c"], libraries: ["-lole32"] },
  winsock: {
    sources: ["winsock.c"],
    libraries: ["-lws2_32", "-lole32"],
    exports: {
      own: ["WSASocketW", "bind", "setsockopt", "closesocket", "WSAIoctl"],
      forwarded: { ws2_32: winsockFunctions },
    },
  },
  system: {
    sources: ["system.c"],
    libraries: ["-lole32"],
    exports: {
      own: [
        "LocalFree",
        "CoTaskMemFree",
        "CloseHandle",
        "CreateFileW",
        "DeviceIoControl",
        "OpenProcess",
        "K32EnumProcesses",
        "QueryFullProcessImageNameW",
        "K32GetProcessMemoryInfo",
        "OpenProcessToken",
        "GetTokenInformation",
      ],
      forwarded: { kernel32: kernelFunctions, advapi32: securityFunctions, ole32: ole32Functions },
    },
  },
};

/** The module definition of a DLL that stands before others; its own functions have the prefix `front_`. */
function definition({ own, forwarded }: NonNullable<Dll["exports"]>): string {
  const others = Object.entries(forwarded).flatMap(([library, functions]) =>
    Object.keys(functions)
      .filter((name) => !own.includes(name))
      .map((name) => `${name} = ${library}.${name}`),
  );
  return ["EXPORTS", ...own.map((name) => `${name} = front_${name}`), ...others, ""].join("\n");
}

async function build(name: string, folder: string): Promise<void> {
  const { sources, libraries = [], exports } = dlls[name] ?? { sources: [] };
  const files = sources.map((source) => join(dllSources, source));
  if (exports !== undefined) {
    const path = join(folder, `${name}.def`);
    writeFileSync(path, definition(exports));
    files.push(path);
  }
  await compileForWindows(files, join(folder, `${name}.dll`), ["-shared", "-s", ...headerOptions, ...libraries]);
}

/** What the DLLs are made of, as text: they are compiled again when it changes. */
function recipe(): string {
  const sources = readdirSync(dllSources).map((name) => readFileSync(join(dllSources, name), "utf8"));
  return JSON.stringify([dlls, sources, headerOptions]);
}

async function compileOnce(): Promise<string> {
  const built = join(REPOSITORY, "dist", "windows-test-host");
  const folder = join(built, createHash("sha256").update(recipe()).digest("hex").slice(0, 16));
  if (existsSync(folder)) return folder;
  mkdirSync(built, { recursive: true });
  const unfinished = mkdtempSync(join(built, "new-"));
  await Promise.all(Object.keys(dlls).map((name) => build(name, unfinished)));
  try {
    renameSync(unfinished, folder);
  } catch (error) {
    // Another run was faster.
    rmSync(unfinished, { recursive: true });
    if (!existsSync(folder)) throw error;
  }
  return folder;
}

/** Makes the folder that `librariesOf` takes. Compiling takes some seconds, and is done once. */
export async function buildTestHost(folder: string): Promise<void> {
  cpSync(await compileOnce(), folder, { recursive: true });
}
