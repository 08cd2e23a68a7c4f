import { readdirSync } from "node:fs";
import type { Finding } from "./pod.ts";

const folder = "\\\\.\\pipe\\";
const shimPipe = /^ProtectedPrefix\\Administrators\\containerd-shim-(.+)-pipe$/;

/**
 * The pipes of shims on Windows, ours and hcsshim's. Which pod each serves, the shim tells, or else its name. Undefined where
 * pipes cannot be listed, as under Wine.
 */
export function shimPipes(list: () => readonly string[] = () => readdirSync(folder)): readonly Finding[] | undefined {
  let names: readonly string[];
  try {
    names = list();
  } catch {
    return undefined;
  }
  return names.flatMap((name) => {
    const label = shimPipe.exec(name)?.[1];
    return label === undefined ? [] : [{ namespace: "", id: label, socket: folder + name }];
  });
}
