import { readdirSync } from "node:fs";
import type { Finding } from "./pod.ts";

const folder = "\\\\.\\pipe\\";
const shimPipe = /^ProtectedPrefix\\Administrators\\containerd-shim-(.+)-pipe$/;

/** The pipes of shims on Windows, ours and hcsshim's. Which pod each serves, the shim tells, or else its name. */
export function shimPipes(names: readonly string[] = readdirSync(folder)): readonly Finding[] {
  return names.flatMap((name) => {
    const label = shimPipe.exec(name)?.[1];
    return label === undefined ? [] : [{ namespace: "", id: label, socket: folder + name }];
  });
}
