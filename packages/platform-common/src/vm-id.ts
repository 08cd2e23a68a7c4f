import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";

/** The compute system's id derives from the sandbox's, so that the cleanup after a crash can find it. */
export function vmIdOf({ namespace, id }: { readonly namespace: string; readonly id: string }): string {
  return `${namespace}-${id}@vm`;
}

const fileName = "vm-id";
const form = /^ready-[0-9a-f-]{36}@vm$/;

/** Keeps, in the sandbox's bundle, the id of a VM that was ready before the sandbox. */
export async function keepVmId(bundle: string, id: string): Promise<void> {
  await writeFile(path.join(bundle, fileName), `${id}\n`, { mode: 0o600 });
}

/** The ids of all VMs that the sandbox may have. */
export async function vmIdsOf(sandbox: {
  readonly namespace: string;
  readonly id: string;
  readonly bundle: string;
}): Promise<readonly string[]> {
  const kept = await readFile(path.join(sandbox.bundle, fileName), "utf8").then(
    (text) => text.trim(),
    () => "",
  );
  return [vmIdOf(sandbox), ...(form.test(kept) ? [kept] : [])];
}
